import ArgumentParser
import DPCollectives
import DPFiles
import FastDP
import Foundation

/// The subcommand `fastdp bench allreduce`.
struct BenchAllReduceCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "allreduce",
    abstract: "Time sums over ranks, which this command starts as processes of its own.",
    discussion: """
      Ranks start together; each takes the time from the start to its own end, in place; p50 is the \
      largest over ranks of each rank's median. Every length is checked before it is timed. Where \
      ranks do not outnumber processors, each keeps to its share of them.

      Algorithms: auto, all, naive, round-robin, round-robin-chunked, binomial, recursive-doubling, \
      halving-doubling, ring, segmented-ring, circulant, bruck, and direct (shared memory alone). \
      auto is direct in shared memory; over tcp it is what a tuner finds in 50 ms, or what \
      FASTDP_ALLREDUCE="recursive-doubling:0-32K;circulant:32K-max" says.

      --collectives mpi times the system's Open MPI by the same measure, through mpirun.

      Where a launcher ('fastdp launch', mpirun, srun, torchrun) has started the process, or --rank \
      and --master say its place, it is one of the ranks and starts none.

      Examples:
        fastdp bench allreduce --ranks 2
        fastdp bench allreduce --ranks 4 --transport tcp --algorithm all --sizes 1048576 --json
        fastdp bench allreduce --ranks 2 --collectives mpi
        fastdp launch --ranks 2 -- bench allreduce --sizes 65536
      """)

  @OptionGroup var group: GroupOptions

  @Option(help: "An algorithm's name, all, or auto. (default: auto)")
  var algorithm: String?

  @Option(help: "Lengths in bytes, multiples of 4. (default: 4,16,... to 67108864)")
  var sizes: ByteCounts?

  @Option(help: "Whose sums: native, mpi. (default: native)")
  var collectives: Collectives?

  @Option(help: "Sums of each length that are timed. (default: 2000, 200 or 12, as lengths grow)")
  var repeats: Int?

  @Flag(
    help: "Say beside each time what the cost model expects of the link that the tuner measured.")
  var model = false

  @OptionGroup var output: OutputOptions

  func validate() throws {
    if let ranks = group.ranks, !(1...64).contains(ranks) {
      throw ValidationError("ranks is \(ranks); it must be at least 1 and at most 64")
    }
    guard (1...1_000_000).contains(repeats ?? 1) else {
      throw ValidationError("repeats must be at least 1 and at most 1000000")
    }
    let choice = algorithm ?? "auto"
    guard choice == "auto" || choice == "all" || AllReduceAlgorithm(name: choice) != nil else {
      throw ValidationError("there is no algorithm '\(choice)'")
    }
    guard choice != "direct" || group.transport != .tcp else {
      throw ValidationError("direct needs shared memory; use --transport shm")
    }
    guard collectives != .mpi || choice == "auto" else {
      throw ValidationError("MPI chooses its own algorithms; leave --algorithm out")
    }
  }

  func run() throws {
    let environment = ProcessInfo.processInfo.environment
    if let place = environment[InheritedGroup.variable] { return try measure(place, environment) }
    // Refused here, before each rank says the same.
    if let table = environment["FASTDP_ALLREDUCE"] { _ = try AlgorithmTable(table) }
    if group.rank != nil || group.master != nil || group.ranks == nil {
      guard let place = try group.environment() else {
        throw CommandError.usage("how many ranks? give --ranks N, or start this by a launcher")
      }
      return try measure(place, environment)
    }
    let status = try start(group.ranks ?? 1, environment)
    if status != 0 { throw ExitCode(status) }
  }

  /// The part of a rank that a launcher has started.
  private func measure(_ place: LaunchEnvironment, _ environment: [String: String]) throws {
    let bytes = (lengths.max() ?? 4) + 4096
    let members = try group.join(place, vectorBytes: bytes)
    try members.agree(on: [
      "version": Version.current, "sizes": lengths.map(String.init).joined(separator: ","),
      "algorithm": algorithm ?? "auto", "repeats": repeats.map(String.init) ?? "",
    ])
    try measure(members.communicator, environment)
    members.close()
  }

  /// Starts the ranks, of which rank 0 prints.
  private func start(_ ranks: Int, _ environment: [String: String]) throws -> Int32 {
    let program = Bundle.main.executablePath ?? CommandLine.arguments[0]
    let command = [program] + CommandLine.arguments.dropFirst()
    guard collectives != .mpi else {
      return try RankProcesses.run(
        MPILaunch.prefix(ranks: ranks, overTCP: group.transport == .tcp) + command,
        environment: environment.merging([InheritedGroup.variable: MPILaunch.place]) { $1 })
    }
    return try RankProcesses.run(
      ranks: ranks, link: group.transport == .tcp ? .tcp : .shm, vectorBytes: lengths.max() ?? 4,
      command: command,
      environment: environment)
  }

  private var lengths: [Int] { sizes?.counts ?? CollectiveBenchmark.sizes }

  /// One rank's part.
  private func measure(_ place: String, _ environment: [String: String]) throws {
    let overMPI = place == MPILaunch.place
    let group =
      overMPI ? try Communicator.overMPI() : try InheritedGroup(place).join(timeout: group.patience)
    if !overMPI { RankProcesses.endWithParent() }
    RankProcesses.keepToShare(rank: group.rank, ranks: group.ranks)
    try measure(group, environment, overMPI: overMPI)
  }

  private func measure(
    _ group: Communicator, _ environment: [String: String], overMPI: Bool = false
  ) throws {
    let cost = overMPI ? nil : try prepare(group, environment)
    let vector = group.makeVector(of: Float.self, count: (lengths.max() ?? 4) / 4)
    var report = AllReduceReport(cost: model ? cost : nil)
    for bytes in lengths {
      for algorithm in algorithms(bytes, group) {
        let name = overMPI ? "mpi" : algorithm.name
        let row = try CollectiveBenchmark.row(
          bytes: bytes, repeats: repeats, algorithm: name, vector, group
        ) { span throws(CollectiveError) in
          try group.allReduce(&span, by: algorithm)
        }
        report.add(row, algorithm)
      }
    }
    if group.rank == 0 { report.print(output) }
  }

  private func prepare(
    _ group: Communicator, _ environment: [String: String]
  ) throws(CollectiveError) -> LinkCost? {
    let table = environment["FASTDP_ALLREDUCE"]
    let isAuto = algorithm == nil || algorithm == "auto"
    let cost = model || (isAuto && table == nil) ? try group.tune() : nil
    if let table { group.algorithms = try AlgorithmTable(table) }
    return cost
  }

  private func algorithms(_ bytes: Int, _ group: Communicator) -> [AllReduceAlgorithm] {
    switch algorithm ?? "auto" {
    case "auto": [group.algorithms.algorithm(forBytes: bytes)]
    case "all": AllReduceAlgorithm.allCases.filter { $0.sendsMessages || group.sharesMemory }
    case let name: AllReduceAlgorithm(name: name).map { [$0] } ?? []
    }
  }
}

/// How sums over ranks are done.
enum Collectives: String, ExpressibleByArgument, CaseIterable {
  /// By fastDP.
  case native
  /// By the system's Open MPI.
  case mpi
}

/// How mpirun is called.
enum MPILaunch {
  /// What stands where a place in a group of ours would.
  static let place = "mpi"

  /// The launcher's own words.
  static func prefix(ranks: Int, overTCP: Bool) -> [String] {
    let link = overTCP ? ["--mca", "btl", "tcp,self", "--mca", "btl_tcp_if_include", "lo"] : []
    return [
      "mpirun", "--allow-run-as-root", "--oversubscribe", "--mca", "oob_tcp_if_include", "lo",
    ]
      + link + ["-n", "\(ranks)"]
  }
}

/// Lengths on the command line.
struct ByteCounts: ExpressibleByArgument {
  /// The lengths, in their order.
  let counts: [Int]

  init?(argument: String) {
    let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
    let counts = parts.compactMap { Int($0) }.filter { $0 > 0 && $0 % 4 == 0 && $0 <= 1 << 34 }
    guard counts.count == parts.count else { return nil }
    self.counts = counts
  }
}

/// What `bench allreduce` prints.
private struct AllReduceReport {
  private let cost: LinkCost?
  private var rows: [(row: CollectiveBenchmark.Row, model: Double?)] = []

  init(cost: LinkCost?) { self.cost = cost }

  mutating func add(_ row: CollectiveBenchmark.Row, _ algorithm: AllReduceAlgorithm) {
    let model = cost?.seconds(algorithm, ranks: row.ranks, bytes: Double(row.bytes))
    rows.append((row, model))
  }

  func print(_ output: OutputOptions) {
    guard !output.json else {
      return Console.print(.object([("results", .array(rows.map(json)))]))
    }
    let head = ["bytes", "min µs", "p50 µs", "p95 µs", "bus MB/s", cost == nil ? "" : "model µs"]
    Console.print(line(head, "algorithm"))
    for (row, model) in rows {
      let times = [row.fastest, row.median, row.slow].map { ($0 * 1e6).fixed(2) }
      let cells = ["\(row.bytes)"] + times + [(row.busBandwidth / 1e6).fixed(0)]
      Console.print(line(cells + [model.map { ($0 * 1e6).fixed(2) } ?? ""], row.algorithm))
    }
  }

  private func line(_ cells: [String], _ name: String) -> String {
    cells.map { String(repeating: " ", count: max(1, 12 - $0.count)) + $0 }.joined() + "  " + name
  }

  private func json(_ row: CollectiveBenchmark.Row, _ model: Double?) -> JSONValue {
    let members: [(String, JSONValue)] = [
      ("bytes", .integer(row.bytes)), ("algorithm", .string(row.algorithm)),
      ("minMicroseconds", .number(row.fastest * 1e6)),
      ("p50Microseconds", .number(row.median * 1e6)),
      ("p95Microseconds", .number(row.slow * 1e6)),
      ("algBandwidth", .number(row.algorithmBandwidth)),
      ("busBandwidth", .number(row.busBandwidth)),
    ]
    return .object(members + (model.map { [("modelMicroseconds", .number($0 * 1e6))] } ?? []))
  }
}
