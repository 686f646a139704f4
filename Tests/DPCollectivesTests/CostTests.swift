import DPCollectives
import Testing

/// The cost model: formulas and the event simulator say the same where both apply.
struct CostTests {
  static let cost = try? LinkCost(latency: 20e-6, bandwidth: 2.9e9, sumBandwidth: 1e10, gap: 0)

  private func isClose(_ a: Double, _ b: Double, _ tolerance: Double) -> Bool {
    abs(a - b) <= tolerance * max(a, b)
  }

  /// Closed forms within 1 % of the event simulator, where chunks are equal.
  @Test(arguments: ScheduleTests.algorithms)
  func formulasAgreeWithEvents(algorithm: AllReduceAlgorithm) throws {
    for gap in [0, 5e-6] {
      try formulasAgreeWithEvents(
        algorithm, try LinkCost(latency: 20e-6, bandwidth: 2.9e9, gap: gap))
    }
  }

  private func formulasAgreeWithEvents(_ algorithm: AllReduceAlgorithm, _ cost: LinkCost) throws {
    for ranks in [1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 31, 64] {
      for count in [ranks * 64, ranks * 6400, ranks * 640_000] {
        let events = try EventSimulator(cost).seconds(
          Schedule(.allReduce(algorithm), ranks: ranks, count: count))
        let formula = cost.seconds(algorithm, ranks: ranks, bytes: Double(4 * count))
        #expect(isClose(events, formula, 0.01), "\(algorithm) \(ranks) \(count)")
      }
    }
  }

  /// Ranks that are alike take as long as one of them alone.
  @Test(arguments: [
    AllReduceAlgorithm.naive, .roundRobin, .roundRobinChunked, .ring, .segmentedRing, .circulant,
    .bruck,
  ])
  func ranksInStepTakeAsLongAsOne(algorithm: AllReduceAlgorithm) throws {
    let cost = try LinkCost(latency: 20e-6, bandwidth: 2.9e9)
    for ranks in [2, 5, 8, 64, 200] {
      let schedule = Schedule(.allReduce(algorithm), ranks: ranks, count: ranks * 1000)
      let events = try EventSimulator(cost).seconds(schedule)
      let one = EventSimulator(cost).secondsInStep(schedule.rank(0), elementSize: 4)
      #expect(isClose(events, one, 1e-9), "\(ranks)")
    }
  }

  /// Figures worked out by hand for 25 Gbit/s: α 20 µs, 2.9 GB/s, sums 10 GB/s.
  @Test(arguments: [
    (AllReduceAlgorithm.recursiveDoubling, 4, 4096, 0.0436e-3),
    (.ring, 4, 1 << 20, 0.741e-3), (.circulant, 6, 16 << 20, 11.2e-3),
    (.halvingDoubling, 64, 65536, 0.291e-3), (.circulant, 1000, 256 << 20, 212e-3),
    (.recursiveDoubling, 8, 4, 0.06e-3),
  ])
  func formulasGiveWorkedFigures(
    algorithm: AllReduceAlgorithm, ranks: Int, bytes: Int, seconds: Double
  ) throws {
    let cost = try #require(CostTests.cost)
    #expect(isClose(cost.seconds(algorithm, ranks: ranks, bytes: Double(bytes)), seconds, 0.01))
  }

  /// A model of 4,096 ranks is timed for every algorithm, in no time to speak of.
  @Test func simulatesThousandsOfRanks() throws {
    let cost = try #require(CostTests.cost)
    for algorithm in [.naive, .ring, .circulant, .recursiveDoubling] as [AllReduceAlgorithm] {
      let schedule = Schedule(.allReduce(algorithm), ranks: 4096, count: 4096 * 16)
      let events = try EventSimulator(cost).seconds(schedule)
      let formula = cost.seconds(algorithm, ranks: 4096, bytes: 4096 * 64)
      #expect(isClose(events, formula, 0.01), "\(algorithm)")
    }
  }

  /// Links within hosts count as such: fast ones make the sum between hosts the whole cost.
  @Test func localLinksAreTimedApart() throws {
    let slow = try LinkCost(latency: 1e-3, bandwidth: 1e6, sumBandwidth: .infinity)
    let fast = try LinkCost(latency: 0, bandwidth: .infinity, sumBandwidth: .infinity)
    let hosts = [0, 0, 1, 1]
    let schedule = Schedule(.allReduce(.hierarchical), ranks: 4, count: 1000, hosts: hosts)
    let seconds = try EventSimulator(slow, local: fast).seconds(schedule)
    // Two ranks per host, each with 500 elements: two messages of 250 elements after each other.
    #expect(isClose(seconds, 2 * (1e-3 + 1000e-6), 1e-9))
  }

  /// Numbers outside their range are refused by name.
  @Test(arguments: [(-1.0, 1.0, 1.0), (.nan, 1, 1), (0, 0, 1), (0, -1, 1), (0, 1, 0), (0, .nan, 1)])
  func refusesWhatIsNoCost(latency: Double, bandwidth: Double, sumBandwidth: Double) {
    #expect(throws: CollectiveError.self) {
      try LinkCost(latency: latency, bandwidth: bandwidth, sumBandwidth: sumBandwidth)
    }
  }
}
