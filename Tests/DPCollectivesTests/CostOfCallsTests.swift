import DPCollectives
import Foundation
import Synchronization
import TestSupport
import Testing

/// What operations cost beside their work: no memory after the first, no call of the system.
struct CostOfCallsTests {
  /// From the second operation of a kind on no rank allocates, over any transport.
  @Test(arguments: TestLink.allCases, [2, 3, 5])
  func nothingIsAllocatedFromTheSecondOperationOn(link: TestLink, ranks: Int) throws {
    guard ThreadWatch.allocations != nil else { return print("skipped: allocations not counted") }
    let group = try link.group(ranks, ringBytes: 1 << 16)
    let allocations = try RankThreads.run(ranks) { rank in
      let communicator = try group.communicator(rank)
      let algorithms = AllReduceAlgorithm.allCases.filter {
        $0.sendsMessages || communicator.sharesMemory
      }
      var guilty: [String] = []
      for count in [1, 700, 70_001] {
        var vector = [Float](repeating: 1e-30, count: count)
        for algorithm in algorithms {
          var before: Int64?
          for turn in 0..<6 {
            var span = vector.mutableSpan
            try communicator.allReduce(&span, by: algorithm)
            try communicator.barrier()
            if turn == 0 { before = ThreadWatch.allocations }
          }
          if ThreadWatch.allocations != before { guilty.append("\(algorithm) of \(count)") }
        }
      }
      return guilty
    }
    #expect(allocations.allSatisfy { $0.isEmpty }, "\(allocations)")
  }

  /// The count sees what Swift allocates, or the test above would prove nothing.
  @Test func allocationsAreCounted() {
    guard let before = ThreadWatch.allocations else { return }
    let array = [Int](repeating: 7, count: Int.random(in: 1000..<2000))
    #expect((ThreadWatch.allocations ?? 0) > before)
    #expect(array.last == 7)
  }

  #if os(Linux)
  /// Ranks that come soon sum short vectors in shared memory, and meet, without the system.
  @Test func shortSumsInSharedMemoryMakeNoSystemCall() async {
    await #expect(processExitsWith: .success) {
      CostOfCallsTests.sumInTwoThreads()
    }
  }

  /// One system call ends the process, or the test above would prove nothing.
  @Test func forbiddenSystemCallsEndTheProcess() async {
    await #expect(processExitsWith: .signal(SIGSYS)) {
      if ThreadWatch.forbidSystemCalls() {
        ThreadWatch.makeSystemCall()
      } else {
        raise(SIGSYS)
      }
    }
  }

  /// Ends the process when two ranks have done their sums.
  private static func sumInTwoThreads() -> Never {
    let layout = RegionLayout(ranks: 2, vectorBytes: 1 << 16)
    guard let region = try? SharedRegion.memoryFile(byteCount: layout.byteCount) else {
      exit(EXIT_FAILURE)
    }
    let ended = EndedRanks()
    for rank in 0..<2 {
      Thread.detachNewThread {
        // Looks for as long as it takes: how long that is depends on the machine's other work.
        let communicator = Communicator(
          region, layout, rank: rank, policy: WaitPolicy(looks: .max, yields: 0))
        let hasSummed = (try? CostOfCallsTests.sum(communicator)) != nil
        if hasSummed { ended.count.add(1, ordering: .releasing) }
        // Even the end of a thread is a system call.
        while true {}
      }
    }
    while ended.count.load(ordering: .acquiring) < 2 { usleep(1000) }
    exit(EXIT_SUCCESS)
  }

  /// Sums of four lengths by slots and in place, after a round of each that makes the plans.
  private static func sum(_ communicator: Communicator) throws {
    let vector = communicator.makeVector(of: Float.self, count: 4096)
    for turn in 0..<200 {
      if turn == 1, !ThreadWatch.forbidSystemCalls() { return }
      for count in [1, 16, 256, 4096] {
        try vector.withMutableSpan { span throws(CollectiveError) in
          var part = span.extracting(0..<count)
          try communicator.allReduce(&part)
        }
        try communicator.barrier()
      }
    }
  }
  #endif
}

/// How many ranks have come to their end.
private final class EndedRanks: Sendable {
  let count = Atomic<Int>(0)
}
