import DPModels
import Foundation
import Testing

@Suite struct LearningRateScheduleTests {
  private func factors(
    _ shape: LearningRateSchedule.Shape, warmup: Int = 0, of steps: Int
  ) -> [Double] {
    let schedule = LearningRateSchedule(shape, warmup: warmup)
    return (0..<steps).map { schedule.factor(step: $0, of: steps) }
  }

  private func expectEqual(_ values: [Double], _ expected: [Double]) {
    #expect(values.count == expected.count)
    #expect(zip(values, expected).allSatisfy { abs($0 - $1) < 1e-12 }, "\(values)")
  }

  /// Ten steps of a learning rate of 1 by PyTorch's recurrences for `SequentialLR` of the table's
  /// schedulers (torch.optim.lr_scheduler, closed forms as in its documentation).
  @Test func factorsAreThoseOfTheFormulas() {
    expectEqual(factors(.constant, of: 3), [1, 1, 1])
    expectEqual(factors(.linear, of: 4), [1, 0.75, 0.5, 0.25])
    expectEqual(
      factors(.cosine, of: 4), [1, (1 + 0.5.squareRoot()) / 2, 0.5, (1 - 0.5.squareRoot()) / 2])
    expectEqual(factors(.step, of: 7), [1, 1, 1, 0.1, 0.1, 0.1, 0.01])
    expectEqual(factors(.constant, warmup: 3, of: 5), [0.25, 0.5, 0.75, 1, 1])
    expectEqual(factors(.linear, warmup: 1, of: 5), [0.5, 1, 0.75, 0.5, 0.25])
    expectEqual(
      factors(.cosine, warmup: 4, of: 6), [0.2, 0.4, 0.6, 0.8, 1, 0.5])
    expectEqual(factors(.step, warmup: 2, of: 5), [1.0 / 3, 2.0 / 3, 1, 0.1, 0.01])
  }

  /// Every step that is paid for moves the parameters, and the full rate is reached and not passed.
  @Test(arguments: LearningRateSchedule.Shape.allCases, [0, 1, 9])
  func factorsArePositiveAndFallAfterTheWarmup(shape: LearningRateSchedule.Shape, warmup: Int) {
    for steps in [warmup + 1, warmup + 2, warmup + 50, 100_000] {
      let all = factors(shape, warmup: warmup, of: steps)
      #expect(all.allSatisfy { $0 > 0 && $0 <= 1 })
      #expect(all[warmup] == 1)
      #expect(zip(all[..<warmup], all[1...]).allSatisfy { $0 < $1 })
      #expect(zip(all[warmup...], all[(warmup + 1)...]).allSatisfy { $0 >= $1 })
      let schedule = LearningRateSchedule(shape, warmup: warmup)
      #expect(schedule.factor(step: steps + 5, of: steps) == all.last)
    }
  }
}
