import DPKernels
import Synchronization
import Testing

@Suite struct ThreadTeamTests {
  /// Every piece is done once, by a thread of the team, before the job returns.
  @Test(arguments: [1, 2, 3, 8], [0, 1, 2, 7, 100])
  func everyPieceIsDoneOnce(threads: Int, pieces: Int) {
    let team = ThreadTeam(threads: threads)
    #expect(team.threads == threads)
    let done = Mutex([Int](repeating: 0, count: pieces))
    let strangers = Atomic<Int>(0)
    for job in 1...200 {
      team.run(pieces: pieces) { thread, piece in
        if !(0..<threads).contains(thread) { strangers.add(1, ordering: .relaxed) }
        done.withLock { $0[piece] += 1 }
      }
      #expect(done.withLock { $0.allSatisfy { $0 == job } })
    }
    #expect(strangers.load(ordering: .relaxed) == 0)
  }

  /// Threads that have gone to sleep wake up, and are all used.
  @Test func sleepersWakeUp() {
    let team = ThreadTeam(threads: 3)
    for pause in [0, 1_000, 100_000, 10_000_000] {
      let deadline = ContinuousClock.now + .nanoseconds(pause)
      while ContinuousClock.now < deadline {}
      let arrived = Atomic<Int>(0)
      // No piece ends before all three are begun: each needs a thread of its own.
      team.run(pieces: 3) { _, _ in
        arrived.add(1, ordering: .sequentiallyConsistent)
        while arrived.load(ordering: .sequentiallyConsistent) < 3 {}
      }
      #expect(arrived.load(ordering: .relaxed) == 3)
    }
  }

  /// What one job wrote, the next one reads, on whatever thread.
  @Test func jobsFollowEachOther() {
    let team = ThreadTeam(threads: 4)
    var values = [Int](repeating: 0, count: 64)
    for _ in 0..<500 {
      let before = values
      let after = Mutex(values)
      team.run(pieces: 64) { _, piece in
        after.withLock { $0[piece] = before[(piece + 1) % 64] + 1 }
      }
      values = after.withLock { $0 }
    }
    #expect(values.allSatisfy { $0 == 500 })
  }
}
