internal import Foundation

/// How the learning rate changes over a run: a function of the step and T alone, so that a run that
/// was resumed agrees with one that was not.
///
/// With W steps of warm-up, t the step from 0, s = t − W and M = T − W, the learning rate is
/// multiplied by
///
/// | | factor | in PyTorch |
/// |---|---|---|
/// | t < W | (t + 1) / (W + 1) | `LinearLR(start_factor=1/(W+1), total_iters=W)` |
/// | `constant` | 1 | `ConstantLR(factor=1)` |
/// | `linear` | 1 − s / M | `LinearLR(start_factor=1, end_factor=0, total_iters=M)` |
/// | `cosine` | (1 + cos(π s / M)) / 2 | `CosineAnnealingLR(T_max=M)` |
/// | `step` | 0.1^⌊s / ⌈M / 3⌉⌋ | `StepLR(step_size=⌈M/3⌉, gamma=0.1)` |
///
/// joined as by `SequentialLR(milestones=[W])`. Every factor is greater than 0: no step that is paid
/// for is lost.
public struct LearningRateSchedule: Hashable, Sendable, Codable {
  /// What comes after the warm-up.
  public enum Shape: String, Hashable, Sendable, Codable, CaseIterable {
    /// The same rate to the end.
    case constant
    /// Falls in a straight line.
    case linear
    /// Falls along half a cosine.
    case cosine
    /// Falls to a tenth after each third.
    case step
  }

  /// What comes after the warm-up.
  public var shape: Shape
  /// W, the number of steps below the full rate at the start.
  public var warmup: Int

  /// Describes a schedule.
  ///
  /// - Parameters:
  ///   - shape: What comes after the warm-up.
  ///   - warmup: W ≥ 0.
  public init(_ shape: Shape = .constant, warmup: Int = 0) {
    precondition(warmup >= 0, "\(warmup) steps of warm-up")
    self.shape = shape
    self.warmup = warmup
  }

  /// What the learning rate is multiplied by.
  ///
  /// - Parameters:
  ///   - step: t ≥ 0; from T on the answer is that of the last step.
  ///   - steps: T > W.
  /// - Returns: A factor in (0, 1].
  public func factor(step: Int, of steps: Int) -> Double {
    precondition(
      step >= 0 && warmup < steps, "step \(step) of \(steps), \(warmup) of them warm-up")
    guard step >= warmup else { return Double(step + 1) / Double(warmup + 1) }
    let length = steps - warmup
    let done = min(step - warmup, length - 1)
    switch shape {
    case .constant: return 1
    case .linear: return Double(length - done) / Double(length)
    // (1 + cos x) / 2 without cancellation at the end.
    case .cosine: return pow(cos(.pi / 2 * Double(done) / Double(length)), 2)
    case .step: return pow(0.1, Double(done / ((length + 2) / 3)))
    }
  }
}
