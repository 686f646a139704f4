import ArgumentParser
import DPCollectives
import DPFiles
import FastDP

/// The subcommand `fastdp simulate`.
struct SimulateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "simulate",
    abstract: "Work out what sums over ranks cost on machines that are not here.",
    subcommands: [SimulateAllReduceCommand.self, SimulateTrainingCommand.self])
}

/// A cluster: what both simulations name.
struct ClusterOptions: ParsableArguments {
  @Option(help: "How many ranks, at most 4096.")
  var ranks: Int

  @Option(help: "Seconds that a message takes however short it is: 20e-6.")
  var latency: Double

  @Option(help: "Bytes per second of a link: 2.9e9 for 25 Gbit/s.")
  var bandwidth: Double

  @Option(
    name: .customLong("sum-bandwidth"),
    help: "Bytes per second that a rank adds to others. (default: 1e10)")
  var sumBandwidth: Double?

  @Option(
    name: .customLong("ranks-per-host"),
    help: "Ranks that share a host, for hierarchical. (default: 1)")
  var ranksPerHost: Int?

  @Option(
    name: .customLong("local-latency"), help: "Latency within a host. (default: 1e-6)")
  var localLatency: Double?

  @Option(
    name: .customLong("local-bandwidth"),
    help: "Bytes per second within a host. (default: 1e10)")
  var localBandwidth: Double?

  @OptionGroup var output: OutputOptions

  func validate() throws {
    guard (1...4096).contains(ranks) else {
      throw ValidationError("ranks is \(ranks); it must be at least 1 and at most 4096")
    }
    guard (1...ranks).contains(ranksPerHost ?? 1) else {
      throw ValidationError("ranks-per-host must be at least 1 and at most \(ranks)")
    }
  }

  /// The host of each rank.
  private var hosts: [Int] { (0..<ranks).map { $0 / (ranksPerHost ?? 1) } }

  /// Seconds of an allreduce by each algorithm: by events, and by formula where all links are alike.
  func times(bytes: Int) throws -> [AllReduceTime] {
    guard bytes >= 0, bytes <= 1 << 40 else {
      throw CommandError.usage("bytes is \(bytes); it must be at least 0 and at most 2^40")
    }
    let link = try LinkCost(
      latency: latency, bandwidth: bandwidth, sumBandwidth: sumBandwidth ?? 1e10)
    let local = try LinkCost(
      latency: localLatency ?? 1e-6, bandwidth: localBandwidth ?? 1e10,
      sumBandwidth: sumBandwidth ?? 1e10)
    let simulator = EventSimulator(link, local: local)
    return try AllReduceAlgorithm.allCases.filter(\.sendsMessages).map { algorithm in
      let schedule = Schedule(
        .allReduce(algorithm), ranks: ranks, count: bytes / 4, hosts: hosts)
      let isAlike = (ranksPerHost ?? 1) == 1
      return AllReduceTime(
        algorithm: algorithm.name, seconds: try simulator.seconds(schedule),
        formula: isAlike ? link.seconds(algorithm, ranks: ranks, bytes: Double(bytes)) : nil)
    }
  }
}

/// What an algorithm takes.
struct AllReduceTime {
  /// Its name.
  let algorithm: String
  /// Message by message.
  let seconds: Double
  /// By formula; nil where links differ.
  let formula: Double?
}

/// The subcommand `fastdp simulate allreduce`.
struct SimulateAllReduceCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "allreduce",
    abstract: "The time of each algorithm on a given network, and the best of them.",
    discussion: """
      A message of n bytes takes latency + n / bandwidth; a rank sends and receives at once, adds at \
      the sum bandwidth, and starts each further message of a round a quarter of the latency later. \
      Times are message by message; ranks that do the same at the same time are timed as one where \
      there are more than four million messages.

      Examples:
        fastdp simulate allreduce --ranks 8 --bytes 16777216 --latency 20e-6 --bandwidth 2.9e9
        fastdp simulate allreduce --ranks 4096 --bytes 65536 --latency 20e-6 --bandwidth 2.9e9 --json
      """)

  @Option(help: "Bytes of a vector of Float.")
  var bytes: Int

  @OptionGroup var cluster: ClusterOptions

  func run() throws {
    let times = try cluster.times(bytes: bytes)
    let best = times.min { $0.seconds < $1.seconds }
    guard cluster.output.json else {
      let rows = times.map { time in
        let formula = time.formula.map { "   by formula \($0.significant(4)) s" } ?? ""
        return (time.algorithm, "\(time.seconds.significant(4)) s\(formula)")
      }
      return Console.print(rows + [("best", best?.algorithm ?? "none")])
    }
    let results = times.map { time in
      JSONValue.object([
        ("algorithm", .string(time.algorithm)), ("seconds", .number(time.seconds)),
        ("formulaSeconds", .optional(time.formula)),
      ])
    }
    Console.print(
      .object([
        ("ranks", .integer(cluster.ranks)), ("bytes", .integer(bytes)),
        ("best", .string(best?.algorithm ?? "none")), ("results", .array(results)),
      ]))
  }
}

/// The subcommand `fastdp simulate training`.
struct SimulateTrainingCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "training",
    abstract: "The time of an epoch of a given model on a given cluster, by each algorithm.",
    discussion: """
      A step takes the time of batch-size / ranks examples on a rank, then an allreduce of the \
      model's bytes; an epoch has examples / batch-size steps.

      Example:
        fastdp simulate training --ranks 8 --bytes 40000 --examples 1000000 --batch-size 20000 \\
            --examples-per-second 2e6 --latency 20e-6 --bandwidth 2.9e9
      """)

  @Option(help: "Bytes of the model's gradient in Float: 4 for each parameter.")
  var bytes: Int

  @Option(help: "Examples in the training split.")
  var examples: Int

  @Option(name: .customLong("batch-size"), help: "Expected examples in a batch of all ranks.")
  var batchSize: Int

  @Option(
    name: .customLong("examples-per-second"),
    help: "What one rank trains, as 'fastdp bench train' says.")
  var examplesPerSecond: Double

  @OptionGroup var cluster: ClusterOptions

  func validate() throws {
    guard examples > 0, batchSize > 0, batchSize <= examples else {
      throw ValidationError("batch-size must be at least 1 and at most the \(examples) examples")
    }
    guard examplesPerSecond > 0, examplesPerSecond.isFinite else {
      throw ValidationError("examples-per-second is \(examplesPerSecond); it must be above 0")
    }
  }

  func run() throws {
    let times = try cluster.times(bytes: bytes)
    let steps = Double(examples) / Double(batchSize)
    let compute = Double(batchSize) / Double(cluster.ranks) / examplesPerSecond
    let best = times.min { $0.seconds < $1.seconds }
    let alone = Double(examples) / examplesPerSecond
    let epoch = steps * (compute + (best?.seconds ?? 0))
    guard cluster.output.json else {
      let rows = times.map {
        ($0.algorithm, "\((steps * (compute + $0.seconds)).significant(4)) s an epoch")
      }
      return Console.print(
        rows + [
          ("best", best?.algorithm ?? "none"),
          ("speed-up", "\((alone / epoch).significant(3)) over one rank"),
        ])
    }
    let results = times.map { time in
      JSONValue.object([
        ("algorithm", .string(time.algorithm)), ("allReduceSeconds", .number(time.seconds)),
        ("epochSeconds", .number(steps * (compute + time.seconds))),
      ])
    }
    Console.print(
      .object([
        ("ranks", .integer(cluster.ranks)), ("bytes", .integer(bytes)),
        ("stepsPerEpoch", .number(steps)), ("computeSecondsPerStep", .number(compute)),
        ("best", .string(best?.algorithm ?? "none")), ("epochSeconds", .number(epoch)),
        ("speedUp", .number(alone / epoch)), ("results", .array(results)),
      ]))
  }
}
