import DPCollectives
import Testing

/// The checker finds what is wrong with a schedule.
struct CheckerTests {
  private static let schedule = Schedule(.allReduce(.circulant), ranks: 5, count: 13)

  private func ranks(_ algorithm: AllReduceAlgorithm = .circulant) -> [RankSchedule] {
    let schedule = Schedule(.allReduce(algorithm), ranks: 5, count: 13)
    return (0..<5).map { schedule.rank($0) }
  }

  private func fault(_ ranks: [RankSchedule]) -> String {
    do {
      _ = try ScheduleChecker.check(ranks, CheckerTests.schedule)
      return ""
    } catch {
      return error.description
    }
  }

  /// Every single message of every algorithm is needed.
  @Test(arguments: ScheduleTests.algorithms)
  func noMessageCanBeLeftOut(algorithm: AllReduceAlgorithm) {
    let ranks = ranks(algorithm)
    for rank in ranks.indices {
      for round in ranks[rank].rounds.indices {
        for (index, send) in ranks[rank].rounds[round].sends.enumerated() {
          var wrong = ranks
          wrong[rank].rounds[round].sends.remove(at: index)
          #expect(!fault(wrong).isEmpty, "\(rank) \(round) \(send)")
        }
      }
    }
  }

  /// Every sum is needed, and none twice.
  @Test(arguments: [AllReduceAlgorithm.naive, .recursiveDoubling, .segmentedRing, .bruck])
  func noSumCanBeLeftOutOrDoneTwice(algorithm: AllReduceAlgorithm) {
    let ranks = ranks(algorithm)
    for rank in ranks.indices {
      for round in ranks[rank].rounds.indices {
        for step in ranks[rank].rounds[round].prepare {
          var wrong = ranks
          wrong[rank].rounds[round].prepare.removeAll { $0 == step }
          #expect(!fault(wrong).isEmpty, "left out \(step)")
          guard case .add = step else { continue }
          wrong = ranks
          wrong[rank].rounds[round].prepare.append(step)
          #expect(!fault(wrong).isEmpty, "twice \(step)")
        }
      }
    }
  }

  /// Ranks that each wait for the other one's message first are found.
  @Test func findsRanksThatWaitForEver() {
    let pair = Schedule(.allReduce(.binomial), ranks: 2, count: 3)
    var ranks = (0..<2).map { pair.rank($0) }
    ranks[1].rounds.reverse()
    let error = #expect(throws: ScheduleFault.self) { try ScheduleChecker.check(ranks, pair) }
    #expect(error?.description.contains("waiting for ever") == true)
  }

  /// Sums that are complete but differ between ranks are found: they would drift apart.
  @Test func findsRanksThatSumDifferently() {
    var ranks = ranks(.naive)
    // Rank 4 folds (x1 + x0) + ... like the others; adding x3 before x2 changes its tree alone.
    ranks[4].rounds[1].prepare.swapAt(1, 2)
    #expect(fault(ranks).contains("different ways"))
  }

  /// Memory that is changed while it is on its way is found.
  @Test func findsMemoryThatChangesUnderWay() {
    var ranks = ranks(.naive)
    let steps = ranks[2].rounds[1].prepare
    ranks[2].rounds[0].meanwhile = [steps[0]]
    #expect(fault(ranks).contains("in one round"))
  }

  /// Memory that was never written is not read.
  @Test func findsMemoryThatWasNeverWritten() {
    var ranks = ranks(.bruck)
    ranks[3].rounds[0].prepare = []
    #expect(fault(ranks).contains("before it is written"))
  }
}
