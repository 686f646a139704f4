import DPCollectives
import TestSupport
import Testing

/// Which algorithm is used for which length.
struct AlgorithmTableTests {
  /// Tables read back from their own text, and decide by the bounds that it shows.
  @Test func textIsReadAndWritten() throws {
    let text = "recursive-doubling:0-32K;ring:32K-1M;circulant:1M-max"
    let table = try AlgorithmTable(text)
    #expect(table.description == text)
    #expect(table.algorithm(forBytes: 0) == .recursiveDoubling)
    #expect(table.algorithm(forBytes: 32767) == .recursiveDoubling)
    #expect(table.algorithm(forBytes: 32768) == .ring)
    #expect(table.algorithm(forBytes: 1 << 20) == .circulant)
    #expect(table.algorithm(forBytes: 1 << 40) == .circulant)
    #expect(try AlgorithmTable("bruck").algorithm(forBytes: 5) == .bruck)
    #expect(try AlgorithmTable("ring:4-8").algorithm(forBytes: 100) == .ring)
    for algorithm in AllReduceAlgorithm.allCases {
      #expect(AllReduceAlgorithm(name: algorithm.name) == algorithm)
    }
  }

  /// Text that is no table is refused, with the entry named.
  @Test(arguments: [
    "", ";", "ring:", "ring:1", "ring:2-1", "ring:1-1", "what:0-max", "ring:0-1X", "ring:-1-5",
    "ring:0-max;", "ring:0-99999999999999999999", "ring:0-9999999999999G",
  ])
  func refusesWhatIsNoTable(text: String) {
    let error = #expect(throws: CollectiveError.self) { try AlgorithmTable(text) }
    #expect(error?.code == .invalidOption)
  }

  /// On a network like those it was made for, the choice is what the literature says: few rounds for
  /// short vectors, few bytes for long ones.
  @Test func choiceFollowsTheModel() throws {
    let cost = try LinkCost(latency: 20e-6, bandwidth: 2.9e9, sumBandwidth: 1e10)
    let table = AlgorithmTable(ranks: 64, cost: cost)
    #expect(table.algorithm(forBytes: 4) == .recursiveDoubling)
    #expect(
      table.algorithm(forBytes: 64 << 20) == .circulant
        || table.algorithm(forBytes: 64 << 20) == .halvingDoubling)
    for power in 3..<30 {
      let bytes = 1 << power
      let chosen = cost.seconds(table.algorithm(forBytes: bytes), ranks: 64, bytes: Double(bytes))
      for other in AllReduceAlgorithm.allCases.filter(\.sendsMessages) {
        let seconds = cost.seconds(other, ranks: 64, bytes: Double(bytes))
        #expect(chosen <= 1.5 * seconds, "\(other) at \(bytes)")
      }
    }
    #expect(table.description == AlgorithmTable(ranks: 64, cost: cost).description)
  }

  /// All ranks measure, and all choose what rank 0 measured.
  @Test(arguments: [TestLink.memory, .tcp], [1, 2, 3])
  func ranksTuneAlike(link: TestLink, ranks: Int) throws {
    let group = try link.group(ranks, ringBytes: 1 << 16)
    let tables = try RankThreads.run(ranks) { rank in
      let communicator = try group.communicator(rank)
      let cost = try communicator.tune(budget: .milliseconds(10))
      return ["\(cost)", communicator.algorithms.description]
    }
    #expect(Set(tables).count == 1)
  }
}
