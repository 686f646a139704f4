import ArgumentParser

/// The subcommand `fastdp bench`.
struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Measure this program's speed, alone or beside other systems.",
    subcommands: [
      BenchTrainCommand.self, BenchPrepareCommand.self, BenchPrivacyCommand.self,
      BenchAllReduceCommand.self,
    ])
}

/// The middle of several timings.
struct Timings {
  private var seconds: [Double] = []

  /// Adds a timing.
  mutating func add(_ timing: Double) { seconds.append(timing) }

  /// Times some work and adds it.
  mutating func measure<T>(_ work: () throws -> T) rethrows -> T {
    let clock = ContinuousClock()
    let start = clock.now
    let result = try work()
    add((clock.now - start) / .seconds(1))
    return result
  }

  /// The median in seconds, of an even number the lower of both in the middle; 0 of none.
  var median: Double {
    seconds.isEmpty ? 0 : seconds.sorted()[(seconds.count - 1) / 2]
  }
}
