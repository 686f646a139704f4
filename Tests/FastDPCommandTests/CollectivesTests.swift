import Foundation
import TestSupport
import Testing

#if canImport(Glibc)
import Glibc
#endif

/// What `fastdp bench allreduce` and `fastdp simulate` promise.
struct CollectivesTests {
  private static let rowKeys = [
    "bytes", "algorithm", "minMicroseconds", "p50Microseconds", "p95Microseconds", "algBandwidth",
    "busBandwidth",
  ]

  private func rows(_ outcome: Outcome, _ key: String = "results") throws -> [[String: Any]] {
    try #require(outcome.json()[key] as? [[String: Any]])
  }

  /// Ranks that the command starts find each other, sum rightly and are timed.
  @Test(arguments: ["shm", "tcp"])
  func benchTimesItsOwnRanks(transport: String) throws {
    let outcome = try succeed(
      "bench", "allreduce", "--ranks", "3", "--transport", transport, "--sizes", "4,4000000",
      "--json")
    let rows = try rows(outcome)
    #expect(rows.compactMap { $0["bytes"] as? Int } == [4, 4_000_000])
    for row in rows {
      expectKeys(row, CollectivesTests.rowKeys)
      let shortest = try #require(row["minMicroseconds"] as? Double)
      let median = try #require(row["p50Microseconds"] as? Double)
      #expect(shortest > 0 && shortest <= median)
    }
  }

  #if os(Linux)
  /// A rank that is stopped ends the benchmark within the timeout and a few seconds more, and is ended too.
  @Test func benchEndsWithARankThatIsStopped() throws {
    let bench = try RunningProgram(
      Program.path(),
      [
        "bench", "allreduce", "--ranks", "2", "--sizes", "4000000", "--repeats", "1000000",
        "--timeout", "2s",
      ], environment: [:])
    let ranks = try Children.wait(of: bench.process, count: 2)
    Thread.sleep(forTimeInterval: 0.5)
    kill(ranks[1], SIGSTOP)
    let start = ContinuousClock.now
    let outcome = try bench.wait()
    #expect(outcome.status == 69, "\(outcome.errors)")
    #expect(outcome.errors.contains("rank 1"), "\(outcome.errors)")
    #expect(ContinuousClock.now - start < .seconds(20))
    #expect(!ranks.contains(where: Children.isAlive))
  }
  #endif

  /// Every algorithm can be asked for, and the table of lengths can be set.
  @Test func benchTakesAlgorithms() throws {
    let all = try succeed(
      "bench", "allreduce", "--ranks", "2", "--algorithm", "all", "--sizes", "64", "--json")
    #expect(try rows(all).count == 12)
    let outcome = try fastdp(
      "bench", "allreduce", "--ranks", "2", "--transport", "tcp", "--sizes", "64,8192", "--json",
      environment: ["FASTDP_ALLREDUCE": "bruck:0-4K;ring:4K-max"])
    #expect(try rows(outcome).compactMap { $0["algorithm"] as? String } == ["bruck", "ring"])
    let wrong = try fastdp(
      "bench", "allreduce", "--ranks", "2", "--sizes", "64",
      environment: ["FASTDP_ALLREDUCE": "what:0-4K"])
    expectRefusal(wrong, 64, naming: ["what:0-4K"])
  }

  /// The system's MPI does the same work; without one the command says so.
  @Test func benchTimesTheSystemsMPI() throws {
    let outcome = try fastdp(
      "bench", "allreduce", "--ranks", "2", "--collectives", "mpi", "--sizes", "64", "--json")
    guard outcome.status != 69 else { return print("skipped: \(outcome.errors)") }
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(try rows(outcome).compactMap { $0["algorithm"] as? String } == ["mpi"])
  }

  /// Settings that make no sense are refused in one line.
  @Test(arguments: [
    ["bench", "allreduce"], ["bench", "allreduce", "--ranks", "0"],
    ["bench", "allreduce", "--ranks", "65"],
    ["bench", "allreduce", "--ranks", "2", "--algorithm", "what"],
    ["bench", "allreduce", "--ranks", "2", "--transport", "tcp", "--algorithm", "direct"],
    ["bench", "allreduce", "--ranks", "2", "--sizes", "3"],
    [
      "simulate", "allreduce", "--ranks", "0", "--bytes", "4", "--latency", "1", "--bandwidth", "1",
    ],
    [
      "simulate", "allreduce", "--ranks", "2", "--bytes", "4", "--latency", "-1", "--bandwidth",
      "1",
    ],
    [
      "simulate", "allreduce", "--ranks", "2", "--bytes", "4", "--latency", "0", "--bandwidth", "0",
    ],
    [
      "simulate", "allreduce", "--ranks", "2", "--bytes", "-4", "--latency", "0", "--bandwidth",
      "1",
    ],
    [
      "simulate", "training", "--ranks", "2", "--bytes", "4", "--examples", "5", "--batch-size",
      "9", "--examples-per-second", "1", "--latency", "0", "--bandwidth", "1",
    ],
  ])
  func refusesNonsense(arguments: [String]) throws {
    expectRefusal(try fastdp(arguments), 64)
  }

  /// Simulation names every algorithm and the best, also for thousands of ranks.
  @Test func simulatesClusters() throws {
    let outcome = try succeed(
      "simulate", "allreduce", "--ranks", "1024", "--bytes", "65536", "--latency", "20e-6",
      "--bandwidth", "2.9e9", "--json")
    let rows = try rows(outcome)
    #expect(rows.count == 11)
    let seconds = Dictionary(
      uniqueKeysWithValues: rows.compactMap { row in
        (row["algorithm"] as? String).flatMap { name in
          (row["seconds"] as? Double).map { (name, $0) }
        }
      })
    let best = try #require(outcome.json()["best"] as? String)
    #expect(seconds[best] == seconds.values.min())
    // Worked out by hand: 2 · 10 rounds of 20 µs, 2 · 65536 B at 2.9 GB/s, sums at 10 GB/s.
    let share = 65472.0
    let expected: Double = 400e-6 + 2 * share / 2.9e9 + share / 1e10
    #expect(abs((seconds["circulant"] ?? 0) / expected - 1) < 0.02)
    let training = try succeed(
      "simulate", "training", "--ranks", "4", "--bytes", "40000", "--examples", "100000",
      "--batch-size", "1000", "--examples-per-second", "1e6", "--latency", "20e-6", "--bandwidth",
      "2.9e9", "--json")
    #expect(try training.number("stepsPerEpoch") == 100)
    #expect(try abs(training.number("computeSecondsPerStep") - 250e-6) < 1e-12)
    #expect(try training.number("epochSeconds") > 100 * 250e-6)
    #expect(try training.number("speedUp") < 4)
  }
}
