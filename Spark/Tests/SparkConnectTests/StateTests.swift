import SparkConnect
import SparkProto
import SwiftProtobuf
import Testing

@Suite struct ProgressTotalsTests {
  private struct Generator: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return state
    }
  }

  /// Whatever a server reports: no number falls, and completed stays within tasks.
  @Test(arguments: 0..<50 as Range<UInt64>)
  func monotoneAndClamped(seed: UInt64) {
    var random = Generator(state: seed)
    var totals = ProgressTotals()
    for _ in 0..<100 {
      let before = totals
      totals.take(
        .with { report in
          report.stages = (0..<Int64.random(in: 0...4, using: &random)).map { _ in
            .with {
              $0.stageID = .random(in: 0...5, using: &random)
              $0.numTasks = .random(in: -2...20, using: &random)
              $0.numCompletedTasks = .random(in: -2...40, using: &random)
              $0.inputBytesRead = [.max, -1, 7, 1 << 40].randomElement(using: &random) ?? 0
              $0.done = .random(using: &random)
            }
          }
        })
      #expect(totals.stages >= before.stages && totals.stagesDone >= before.stagesDone)
      #expect(totals.tasks >= before.tasks && totals.completed >= before.completed)
      #expect(totals.bytesRead >= before.bytesRead && totals.completed >= 0)
      #expect(totals.completed <= totals.tasks && totals.stagesDone <= totals.stages)
    }
  }
}

@Suite struct ExecutionStateTests {
  /// A statement of which anything was seen is never run a second time.
  @Test func runAtMostOnce() {
    var state = ExecutionState()
    #expect(state.next == .execute)
    state.began()
    #expect(state.next == .reattach(after: nil))
    let mayRunAgain = state.unknown()
    #expect(mayRunAgain && state.next == .execute)
    state.began()
    let isNew = ["a", "a", "b", "a"].map { state.received($0) }
    #expect(isNew == [true, false, true, false])
    #expect(state.next == .reattach(after: "b"))
    let mayRunThen = state.unknown()
    #expect(!mayRunThen && state.next == .reattach(after: "b"))
    #expect(!state.isComplete)
    state.completed()
    #expect(state.isComplete)
  }
}

@Suite struct TimingTests {
  @Test func pausesGrowToABound() {
    #expect(Timing.pause(after: 1) == .milliseconds(50))
    for failures in 1..<100 {
      #expect(Timing.pause(after: failures + 1) >= Timing.pause(after: failures))
      #expect(Timing.pause(after: failures) <= .seconds(2))
    }
  }
}
