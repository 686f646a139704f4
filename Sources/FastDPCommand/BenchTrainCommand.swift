import ArgumentParser
import DPCollectives
import DPFiles
import FastDP
import Foundation

/// The subcommand `fastdp bench train`.
struct BenchTrainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "train",
    abstract: "Time training on a table of random bits.",
    discussion: """
      Trains as 'fastdp train' does: Poisson sampling, per-example clipping, secure noise, charges. \
      Prints examples per second of a whole run, the share of the processor's multiply-adds that the \
      useful ones are, and what part of a step takes how long.

      With --peers the same model is trained by other systems in turn with this program, --repeat \
      times each, and medians and ratios are printed: JAX (SGD, and DP-SGD by vmap) and PyTorch (SGD, \
      Opacus with hooks and with ghost clipping, and the loop of the project that fastDP began from). \
      DIR holds their Pythons, in torch/bin and jax/bin; the programs train_jax.py and train_torch.py \
      are looked for in --peer-programs. That takes some minutes.

      With --ranks the same run is timed on so many ranks, processes of this host with --threads \
      threads each, which share one batch of B: strong scaling. A list of counts gives a table: seconds \
      for a pass over the rows, speed beside the first count, where a step's time goes, and what a pass \
      costs by --price-per-host-hour.

      Status 66: a Python or a program is missing; 69: a peer has failed.

      Examples:
        fastdp bench train
        fastdp bench train --features 784 --hidden 256,128 --batch-size 512 --examples 60000
        fastdp bench train --ranks 1,2,4 --batch-size 4096 --price-per-host-hour 0.17
        fastdp bench train --peers peers --peer-programs ../shared/peers --json
      """)

  @Option(help: "Features of a row.")
  var features = 9

  @Option(help: "Widths of the hidden layers, as in 50 or 256,128, or 'none'.")
  var hidden = "50"

  @Option(help: "Nonlinearity: relu (what peers use), tanh.")
  var activation = Activation.relu

  @Option(name: .customLong("batch-size"), help: "B, the expected batch size.")
  var batchSize = 256

  @Option(help: "n, the rows of the table.")
  var examples = 979_200

  @Option(help: "About how long each timing takes.")
  var seconds = 5.0

  @Option(help: "At most so many threads.")
  var threads = 1

  @Option(help: "fast, canonical.")
  var numerics = Numerics.fast

  @Flag(name: .customLong("non-private"), help: "No clipping and no noise.")
  var nonPrivate = false

  @Option(help: "How many timings. (default: 1; with peers 5)")
  var `repeat`: Int?

  @Option(
    help: """
      Take so many steps with randomness that is always the same, time nothing, and print the \
      examples drawn: to count instructions.
      """)
  var steps: Int?

  @Option(help: "Time other systems too: DIR/torch and DIR/jax have their Pythons.")
  var peers: String?

  @Option(name: .customLong("peer-programs"), help: "Where train_jax.py and train_torch.py are.")
  var peerPrograms = "../shared/peers"

  @Option(help: "Which peers, of jax-sgd, jax-vmap, torch-sgd, hooks, ghost, seed. (default: all)")
  var against: String?

  @Option(help: "Counts of ranks that share the batch, as in 2 or 1,2,4.")
  var ranks: RankCounts?

  @Option(help: "How ranks are linked: shm, tcp. (default: shm)")
  var transport: RankProcesses.Link?

  @Option(help: "How ranks' sums are done: an algorithm's name. (default: chosen by the link)")
  var algorithm: String?

  @Option(
    name: .customLong("price-per-host-hour"), help: "What an hour of a host costs, in any currency."
  )
  var price: Double?

  @OptionGroup var output: OutputOptions

  func validate() throws {
    guard ranks != nil || (price == nil && algorithm == nil && transport == nil) else {
      throw ValidationError(
        "--price-per-host-hour, --transport and --algorithm are about ranks; give --ranks")
    }
    guard ranks == nil || peers == nil else {
      throw ValidationError("peers train on one rank; leave --peers or --ranks out")
    }
    guard algorithm.map({ AllReduceAlgorithm(name: $0) != nil }) ?? true else {
      throw ValidationError("there is no algorithm '\(algorithm ?? "")'")
    }
    guard (price ?? 0) >= 0 else { throw ValidationError("the price must be at least 0") }
    guard seconds > 0, seconds <= 3600 else {
      throw ValidationError("seconds is \(seconds); it must be above 0 and at most 3600")
    }
    guard (1...100).contains(`repeat` ?? 1) else {
      throw ValidationError("repeat is \(`repeat` ?? 0); it must be at least 1 and at most 100")
    }
    guard (steps ?? 1) >= 1 else {
      throw ValidationError("steps is \(steps ?? 0); it must be at least 1")
    }
    guard features >= 1, examples >= 1 else {
      throw ValidationError("features and examples must be at least 1")
    }
  }

  private func show(steps: Int, drawn: Int) {
    output.json
      ? Console.print(
        .object([
          ("steps", .integer(steps)), ("examplesDrawn", .integer(drawn)),
          ("instructionSet", .string(TrainingBenchmark.instructionSet)),
        ]))
      : Console.print([("steps", steps.grouped), ("examples drawn", drawn.grouped)])
  }

  func run() throws {
    try checkThreads(threads)
    var settings = TrainingBenchmark.Settings()
    settings.features = features
    settings.hidden = try layerWidths(hidden)
    settings.activation = activation
    settings.batchSize = batchSize
    settings.examples = examples
    settings.isPrivate = !nonPrivate
    settings.numerics = numerics
    settings.threads = threads
    if try RankBenchmark.isRank(settings, seconds: seconds, algorithm) { return }
    if let ranks { return try time(settings, ranks.counts) }
    let systems = try peers.map { try TrainingPeer.all(in: $0, peerPrograms, named: against) } ?? []
    let benchmark = try TrainingBenchmark(settings)
    if let steps { return show(steps: steps, drawn: try benchmark.take(steps: steps)) }
    var comparison = TrainingComparison(peers: systems.map(\.name))
    for index in 0..<(`repeat` ?? (systems.isEmpty ? 1 : 5)) {
      Console.progress("fastdp \(index + 1)")
      comparison.results.append(try benchmark.run(seconds: seconds))
      for (place, system) in systems.enumerated() {
        Console.progress("\(system.name) \(index + 1)")
        comparison.rates[place].append(try system.examplesPerSecond(settings))
      }
    }
    Console.clearProgress()
    output.json ? Console.print(.object(comparison.members)) : Console.print(comparison.rows)
  }

  /// Times each count of ranks, as often as is asked for, in turn.
  private func time(_ settings: TrainingBenchmark.Settings, _ counts: [Int]) throws {
    var scaling = ScalingTable(
      counts: counts, examples: settings.examples, price: price.map { ($0, 1) })
    for _ in 0..<(`repeat` ?? 1) {
      for (index, count) in counts.enumerated() {
        Console.progress("\(count) ranks")
        scaling.results[index].append(
          try RankBenchmark.run(settings, ranks: count, link: transport ?? .shm))
      }
    }
    Console.clearProgress()
    if output.json {
      Console.print(.object([("results", .array(scaling.json))]))
    } else {
      for line in scaling.lines { Console.print(line) }
    }
  }
}

/// Speeds of this program and of its peers.
struct TrainingComparison {
  /// The peers' names.
  let peers: [String]
  var results: [TrainingBenchmark.Result] = []
  /// Examples per second of each peer.
  var rates: [[Double]]

  init(peers: [String]) {
    self.peers = peers
    rates = Array(repeating: [], count: peers.count)
  }

  /// The result whose speed is in the middle.
  private var result: TrainingBenchmark.Result {
    results.sorted { $0.examplesPerSecond < $1.examplesPerSecond }[(results.count - 1) / 2]
  }

  private func median(_ peer: Int) -> Double {
    let sorted = rates[peer].sorted()
    return sorted[(sorted.count - 1) / 2]
  }

  /// For programs.
  var members: [(String, JSONValue)] {
    let rate = result.examplesPerSecond
    let own: [(String, JSONValue)] = [
      ("examplesPerSecond", .number(rate)), ("nanosecondsPerExample", .number(1e9 / rate)),
      ("peakFraction", .number(result.peakFraction)),
      ("phases", .object(result.phases.map { ($0.name, .number($0.seconds * 1e9)) })),
      ("threads", .integer(result.threads)), ("instructionSet", .string(result.instructionSet)),
    ]
    guard !peers.isEmpty else { return own }
    let others = peers.indices.map { peer -> (String, JSONValue) in
      (
        peers[peer],
        .object([
          ("examplesPerSecond", .number(median(peer))), ("ratio", .number(rate / median(peer))),
        ])
      )
    }
    return own + [("peers", .object(others))]
  }

  /// For people.
  var rows: [(String, String)] {
    let rate = result.examplesPerSecond
    let parts = result.phases.map { "\($0.name) \(($0.seconds * 1e9).significant(3)) ns" }
    let threads = result.threads == 1 ? "1 thread" : "\(result.threads) threads"
    let own = [
      ("examples per second", "\(Int(rate).grouped) (\(threads), \(result.instructionSet))"),
      ("per example", "\((1e9 / rate).significant(3)) ns: \(parts.joined(separator: ", "))"),
      ("of multiply-add peak", "\((100 * result.peakFraction).significant(3)) %"),
    ]
    return own
      + peers.indices.map { peer in
        let times = (rate / median(peer)).significant(3)
        return (
          peers[peer], "\(Int(median(peer)).grouped) per second, this is \(times) times as fast"
        )
      }
  }
}
