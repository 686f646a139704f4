import ArgumentParser
import DPCollectives
import DPFiles
import FastDP
import Foundation

/// Runs of `bench train` on several ranks, which are this program started again.
enum RankBenchmark {
  /// The file that rank 0 writes what it measured to.
  private static let resultVariable = "FASTDP_BENCH_RESULT"

  /// One run on several ranks.
  struct Result: Codable {
    var examplesPerSecond: Double
    var ranks: [RankReport]
  }

  /// Times a run on so many ranks.
  ///
  /// - Parameters:
  ///   - settings: The model and batch.
  ///   - ranks: How many processes.
  ///   - link: How they are linked.
  /// - Returns: What rank 0 measured.
  /// - Throws: ``CollectiveError``, ``FileError``, or ``ExitCode`` with the status of a rank that failed.
  static func run(
    _ settings: TrainingBenchmark.Settings, ranks: Int, link: RankProcesses.Link
  ) throws -> Result {
    let file = FileManager.default.temporaryDirectory.appendingPathComponent(
      "fastdp-bench-\(UUID().uuidString).json"
    ).path
    defer { try? FileManager.default.removeItem(atPath: file) }
    let program = Bundle.main.executablePath ?? CommandLine.arguments[0]
    let status = try RankProcesses.run(
      ranks: ranks, link: link, vectorBytes: settings.vectorBytes,
      command: [program] + CommandLine.arguments.dropFirst(),
      environment: ProcessInfo.processInfo.environment.merging([resultVariable: file]) { $1 })
    guard status == 0 else { throw ExitCode(status) }
    guard let bytes = FileManager.default.contents(atPath: file) else {
      throw CommandError(
        status: ExitStatus.internalFault, message: "rank 0 has left no result; please report it")
    }
    return try JSONDecoder().decode(Result.self, from: bytes)
  }

  /// Does a rank's part where this process is one.
  ///
  /// - Parameters:
  ///   - settings: The model and batch.
  ///   - seconds: How long the timing takes.
  ///   - algorithm: How sums are done; nil to choose.
  /// - Returns: Whether it is one.
  /// - Throws: ``CollectiveError``, or what a run throws.
  static func isRank(
    _ settings: TrainingBenchmark.Settings, seconds: Double, _ algorithm: String?
  ) throws -> Bool {
    let environment = ProcessInfo.processInfo.environment
    guard let place = environment[InheritedGroup.variable],
      let file = environment[resultVariable]
    else { return false }
    let group = try InheritedGroup(place).join()
    RankProcesses.endWithParent()
    RankProcesses.keepToShare(rank: group.rank, ranks: group.ranks)
    try group.tune()
    if let algorithm { group.algorithms = try AlgorithmTable(algorithm) }
    let ranks = TrainingRanks(group)
    let result = try TrainingBenchmark(settings, ranks: ranks).run(seconds: seconds)
    guard ranks.leads else { return true }
    let found = Result(examplesPerSecond: result.examplesPerSecond, ranks: result.ranks)
    try JSONEncoder().encode(found).write(to: URL(fileURLWithPath: file))
    return true
  }
}

extension TrainingBenchmark.Settings {
  /// Bytes of the sums over ranks of two engines, one that is timed and one that is taken apart, each
  /// with two vectors.
  fileprivate var vectorBytes: Int {
    let widths = [features] + hidden + [1]
    let parameters = zip(widths, widths.dropFirst()).reduce(0) { $0 + ($1.0 + 1) * $1.1 }
    return 4 * (8 * parameters + 4096)
  }
}

/// Counts of ranks on the command line.
struct RankCounts: ExpressibleByArgument {
  /// The counts, in their order.
  let counts: [Int]

  init?(argument: String) {
    let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
    counts = parts.compactMap { Int($0) }.filter { (1...64).contains($0) }
    guard counts.count == parts.count else { return nil }
  }
}

/// How fast several counts of ranks train with one batch, and what that costs.
struct ScalingTable {
  /// The counts of ranks.
  let counts: [Int]
  /// n.
  let examples: Int
  /// What an hour of a host costs, and how many hosts there are.
  let price: (perHostHour: Double, hosts: Int)?
  /// The runs of each count.
  var results: [[RankBenchmark.Result]]

  init(counts: [Int], examples: Int, price: (perHostHour: Double, hosts: Int)?) {
    self.counts = counts
    self.examples = examples
    self.price = price
    results = Array(repeating: [], count: counts.count)
  }

  /// The run of a count whose speed is in the middle.
  private func median(_ index: Int) -> RankBenchmark.Result {
    let sorted = results[index].sorted { $0.examplesPerSecond < $1.examplesPerSecond }
    return sorted[(sorted.count - 1) / 2]
  }

  private func secondsPerEpoch(_ index: Int) -> Double {
    Double(examples) / median(index).examplesPerSecond
  }

  private func cost(_ index: Int) -> Double? {
    price.map { $0.perHostHour * Double($0.hosts) * secondsPerEpoch(index) / 3600 }
  }

  private func speedup(_ index: Int) -> Double {
    median(index).examplesPerSecond / median(0).examplesPerSecond
  }

  /// The mean over ranks of a part of a step.
  private func mean(_ index: Int, _ part: (RankReport) -> Double) -> Double {
    let ranks = median(index).ranks
    return ranks.isEmpty ? 0 : ranks.reduce(0) { $0 + part($1) } / Double(ranks.count)
  }

  /// For programs.
  var json: [JSONValue] {
    counts.indices.map { index in
      let parts: [(String, JSONValue)] = [
        ("compute", .number(mean(index, \.computeMicroseconds))),
        ("wait", .number(mean(index, \.waitMicroseconds))),
        ("transfer", .number(mean(index, \.transferMicroseconds))),
      ]
      let members: [(String, JSONValue)] = [
        ("ranks", .integer(counts[index])),
        ("examplesPerSecond", .number(median(index).examplesPerSecond)),
        ("secondsPerEpoch", .number(secondsPerEpoch(index))),
        ("speedup", .number(speedup(index))), ("stepMicroseconds", .object(parts)),
      ]
      return .object(members + (cost(index).map { [("costPerEpoch", .number($0))] } ?? []))
    }
  }

  /// For people.
  var lines: [String] {
    let head = ["ranks", "examples/s", "s/epoch", "speedup", "compute µs", "wait µs", "sum µs"]
    return [line(head + (price == nil ? [] : ["cost/epoch"]))]
      + counts.indices.map { index in
        let parts = [\RankReport.computeMicroseconds, \.waitMicroseconds, \.transferMicroseconds]
        let cells = [
          "\(counts[index])", median(index).examplesPerSecond.compact,
          secondsPerEpoch(index).significant(3), speedup(index).fixed(2),
        ]
        return line(
          cells + parts.map { part in mean(index) { $0[keyPath: part] }.significant(3) }
            + (cost(index).map { [$0.significant(3)] } ?? []))
      }
  }

  private func line(_ cells: [String]) -> String {
    cells.map { String(repeating: " ", count: max(1, 12 - $0.count)) + $0 }.joined()
  }
}
