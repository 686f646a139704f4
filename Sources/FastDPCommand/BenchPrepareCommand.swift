import ArgumentParser
import DPFiles
import FastDP
import Foundation

/// The subcommand `fastdp bench prepare`.
struct BenchPrepareCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "prepare",
    abstract: "Time the preparation of a table.",
    discussion: """
      Runs 'fastdp prepare' on the table as a process of its own, and measures it from its start to its \
      end: the file is written and synced. Rows and bytes per second are of the whole process; the \
      seconds and the peak memory too.

      With --peers the same table is read by other systems in turn with this program, --repeat times \
      each, and medians are printed, of whole processes and of what each says of itself (without its \
      start): pandas, Polars, DuckDB and Arrow, and with '--against seed' the loop of the project that \
      fastDP began from. DIR holds their Python, in torch/bin or in bin; their program, prep.py, is \
      looked for in --peer-programs. They drop rows with NA and make bytes of all columns, so the table \
      should hold small integers (or name with --against those that only read).

      Status 66: a Python or the program is missing; 69: a peer has failed.

      Examples:
        fastdp bench prepare people.csv --schema people.yaml
        fastdp bench prepare people.csv --schema people.yaml --peers peers --json
      """)

  @Argument(help: "The table to prepare, CSV or Parquet.")
  var table: String

  @Option(help: "The table's schema.")
  var schema: String

  @Option(help: "At most so many threads. (default: one for each processor)")
  var threads: Int?

  @Option(help: "How many timings.")
  var `repeat` = 5

  @Option(help: "Time other systems too: DIR has their Python.")
  var peers: String?

  @Option(name: .customLong("peer-programs"), help: "Where prep.py is.")
  var peerPrograms = "../shared/peers"

  @Option(help: "Which peers, of pandas, polars, polars-read, duckdb, arrow, seed.")
  var against = "pandas,polars,duckdb,arrow"

  @OptionGroup var output: OutputOptions

  func run() throws {
    try checkThreads(threads)
    guard (1...100).contains(`repeat`) else {
      throw CommandError.usage("repeat is \(`repeat`); it must be at least 1 and at most 100")
    }
    let systems = try peers.map { try PreparationPeer.all(in: $0, peerPrograms, named: against) }
    var own = PreparationTimes(name: "fastdp")
    var others = (systems ?? []).map { PreparationTimes(name: $0.name) }
    var report: PreparedTable?
    for round in 0..<`repeat` {
      Console.progress("fastdp \(round + 1)")
      let (measured, prepared) = try prepare()
      own.add(measured, inside: prepared.seconds)
      report = prepared
      for (place, system) in (systems ?? []).enumerated() {
        Console.progress("\(system.name) \(round + 1)")
        let (measured, inside) = try system.read(table)
        others[place].add(measured, inside: inside)
      }
    }
    Console.clearProgress()
    guard let report else { return }
    let comparison = PreparationComparison(table: report, own: own, others: others)
    output.json ? Console.print(.object(comparison.members)) : Console.print(comparison.rows)
  }

  /// What `prepare --json` says.
  struct PreparedTable: Decodable {
    let rowsRead: Int
    let bytesRead: Int
    let seconds: Double
  }

  /// Runs this program's own `prepare` once.
  private func prepare() throws -> (MeasuredProcess.Result, PreparedTable) {
    let folder = URL(fileURLWithPath: NSTemporaryDirectory())
      .appendingPathComponent("fastdp-bench-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let program = Bundle.main.executablePath ?? CommandLine.arguments[0]
    var arguments = [
      "prepare", table, "--schema", schema, "--json", "--out",
      folder.appendingPathComponent("d.safetensors").path,
    ]
    if let threads { arguments += ["--threads", "\(threads)"] }
    let measured = try MeasuredProcess.run(program, arguments)
    guard measured.status == 0,
      let prepared = try? JSONDecoder().decode(
        PreparedTable.self, from: Data(measured.output.utf8))
    else {
      throw CommandError(
        status: measured.status == 0 ? ExitStatus.internalFault : measured.status,
        message: "\(table): prepare ended with status \(measured.status); run it by hand to see why"
      )
    }
    return (measured, prepared)
  }
}

/// Another system that prepares the same table: a mode of `prep.py`.
struct PreparationPeer {
  /// What results call it.
  let name: String
  private let python: String
  private let program: String

  private static let known = ["pandas", "polars", "polars-read", "duckdb", "arrow", "seed"]

  /// The peers of a list of names.
  ///
  /// - Parameters:
  ///   - folder: Where `torch/bin/python` or `bin/python` is.
  ///   - programs: Where `prep.py` is.
  ///   - names: Names with commas between them.
  /// - Returns: The peers, in that order.
  /// - Throws: ``CommandError`` for an unknown name, or where a file is missing.
  static func all(
    in folder: String, _ programs: String, named names: String
  ) throws -> [PreparationPeer] {
    let pythons = ["\(folder)/torch/bin/python", "\(folder)/bin/python"]
    let python = pythons.first(where: FileManager.default.fileExists) ?? pythons[0]
    let program = "\(programs)/prep.py"
    for path in [python, program] where !FileManager.default.fileExists(atPath: path) {
      throw CommandError(
        status: ExitStatus.missingInput,
        message: "\(path): no such file; see 'fastdp bench prepare --help' for --peers and "
          + "--peer-programs")
    }
    return try names.split(separator: ",").map(String.init).map { name in
      guard known.contains(name) else {
        throw CommandError.usage(
          "against is '\(name)'; it must be of \(known.joined(separator: ", "))")
      }
      return PreparationPeer(name: name, python: python, program: program)
    }
  }

  /// Runs the peer once.
  ///
  /// - Parameter table: The table.
  /// - Returns: What was measured of the whole process, and the seconds that it prints.
  /// - Throws: ``CommandError`` when it fails or prints no seconds.
  func read(_ table: String) throws -> (MeasuredProcess.Result, Double) {
    let measured = try MeasuredProcess.run(python, [program, name, table])
    guard measured.status == 0, let seconds = measured.output.matches(of: /([0-9.]+) s\b/).last,
      let inside = Double(seconds.1)
    else {
      throw CommandError(
        status: ExitStatus.unavailable,
        message: "\(name): \(python) \(program) \(name) \(table) ended with status "
          + "\(measured.status) or printed no seconds; run it by hand to see why")
    }
    return (measured, inside)
  }
}

/// The timings of one system.
struct PreparationTimes {
  /// What results call it.
  let name: String
  /// Of whole processes, and of what they say of themselves.
  private(set) var whole = Timings()
  private(set) var inside = Timings()
  private(set) var peakMemory = 0

  init(name: String) { self.name = name }

  mutating func add(_ measured: MeasuredProcess.Result, inside seconds: Double) {
    whole.add(measured.seconds)
    inside.add(seconds)
    peakMemory = max(peakMemory, measured.peakMemory)
  }
}

/// Speeds of this program and of its peers.
struct PreparationComparison {
  let table: BenchPrepareCommand.PreparedTable
  let own: PreparationTimes
  let others: [PreparationTimes]

  /// For programs.
  var members: [(String, JSONValue)] {
    let seconds = own.whole.median
    let members: [(String, JSONValue)] = [
      ("rowsPerSecond", .number(Double(table.rowsRead) / seconds)),
      ("bytesPerSecond", .number(Double(table.bytesRead) / seconds)),
      ("seconds", .number(seconds)), ("secondsInside", .number(own.inside.median)),
      ("peakMemoryBytes", .integer(own.peakMemory)), ("rows", .integer(table.rowsRead)),
    ]
    guard !others.isEmpty else { return members }
    let peers = others.map { other -> (String, JSONValue) in
      (
        other.name,
        .object([
          ("seconds", .number(other.whole.median)),
          ("secondsInside", .number(other.inside.median)),
          ("ratio", .number(other.whole.median / seconds)),
          ("ratioInside", .number(other.inside.median / own.inside.median)),
          ("peakMemoryBytes", .integer(other.peakMemory)),
        ])
      )
    }
    return members + [("peers", .object(peers))]
  }

  /// For people.
  var rows: [(String, String)] {
    let seconds = own.whole.median
    let rate = (Double(table.rowsRead) / seconds).compact
    let bytes = (Double(table.bytesRead) / seconds).compact
    let memory = (Double(own.peakMemory) / 1e6).significant(3)
    return [
      ("rows", table.rowsRead.grouped),
      (
        "whole process",
        "\(seconds.significant(3)) s, \(rate) rows/s, \(bytes)B/s, \(memory) MB at most"
      ),
      ("inside it", "\(own.inside.median.significant(3)) s"),
    ]
      + others.map { other in
        let ratio = (other.whole.median / seconds).significant(3)
        let inside = (other.inside.median / own.inside.median).significant(3)
        return (
          other.name,
          "\(other.whole.median.significant(3)) s, this is \(ratio) times as fast; inside it "
            + "\(other.inside.median.significant(3)) s, \(inside) times"
        )
      }
  }
}
