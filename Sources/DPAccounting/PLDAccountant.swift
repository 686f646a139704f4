import Foundation
import Synchronization

/// Accounting by privacy loss distributions: a proved upper and a proved lower bound, close together.
///
/// Each step's loss is put on a grid twice, once so that δ can only grow and once so that it can only
/// shrink; both are composed by Fourier transform, in both directions of the relation. Spacing,
/// tails, the stretch that is computed and its weighting follow from the accuracy asked for; where
/// the first answer is too wide, a finer grid follows, up to 2²¹ losses. What was cut off, folded
/// in or rounded is added to the upper bound and taken from the lower one.
///
/// | case | answer |
/// |---|---|
/// | no steps, or none with a chance to see the row | ε = 0, δ = 0 |
/// | full batches alone | closed form |
/// | one step | closed form |
/// | δ(0) ≤ δ | ε = 0 |
/// | any other | `lower` ≤ truth ≤ `upper`, δ never 0 |
///
/// - SeeAlso: Koskela, Jälkö, Honkela 2020, "Computing Tight Differential Privacy Guarantees Using
///   FFT"; Doroshenko et al. 2022, "Connect the Dots".
public struct PLDAccountant: PrivacyAccountant {
  /// The largest (upper − lower) / upper that is aimed for.
  public let relativeAccuracy: Double

  /// "pld".
  public var name: String { "pld" }

  /// Makes an accountant that aims for intervals of 0.1 %.
  public init() {
    relativeAccuracy = 1e-3
  }

  /// Makes an accountant of a chosen accuracy.
  ///
  /// - Parameter relativeAccuracy: From 1e-5 to 0.5; time grows with its inverse square root.
  /// - Throws: ``PrivacyError`` when it is out of range.
  public init(relativeAccuracy: Double) throws(PrivacyError) {
    guard relativeAccuracy >= 1e-5, relativeAccuracy <= 0.5 else {
      throw PrivacyError(
        .parameterOutOfRange,
        "relative accuracy is \(relativeAccuracy); it must be at least 1e-5 and at most 0.5")
    }
    self.relativeAccuracy = relativeAccuracy
  }

  /// The ε of composed steps at a given δ.
  ///
  /// - Parameters:
  ///   - composition: The steps, in any order, all of one relation; none gives ε = 0.
  ///   - delta: δ, in (0, 1).
  /// - Returns: An interval that holds the true value.
  /// - Throws: ``PrivacyError`` when `delta` is outside (0, 1), or relations differ.
  /// - Complexity: About 10 ms for usual plans; at most a second.
  public func epsilon(
    of composition: [ComposedSteps], delta: Double
  ) throws(PrivacyError) -> EpsilonBounds {
    try epsilon(of: PrivacyHistory(composition), delta: delta)
  }

  /// The ε of a history at a given δ.
  ///
  /// - Parameters:
  ///   - history: What was released.
  ///   - delta: δ, in (0, 1).
  /// - Returns: An interval that holds the true value.
  /// - Throws: ``PrivacyError`` when `delta` is outside (0, 1).
  public func epsilon(
    of history: PrivacyHistory, delta: Double
  ) throws(PrivacyError) -> EpsilonBounds {
    try PrivacyTarget.checkDelta(delta)
    guard history.stepCount > 0 else { return EpsilonBounds(upper: 0, lower: 0) }
    if let separation = history.separation {
      return GaussianPrivacy(separation: separation).epsilon(of: delta)
    }
    if history.stepCount == 1 {
      let step = SingleStep(history.directions.compactMap { $0.first?.pair })
      return EpsilonBounds(
        upper: Crossing.above(start: 1) { step.delta(of: $0).upper <= delta },
        lower: Crossing.below(start: 1) { step.delta(of: $0).lower <= delta })
    }
    if statisticalDistance(of: history) <= delta { return EpsilonBounds(upper: 0, lower: 0) }
    let bounds = composed(history, .epsilon(delta: delta))
    return EpsilonBounds(upper: bounds.upper, lower: bounds.lower)
  }

  /// The δ of composed steps at a given ε.
  ///
  /// - Parameters:
  ///   - composition: The steps, in any order, all of one relation; none gives δ = 0.
  ///   - epsilon: ε ≥ 0, finite.
  /// - Returns: An interval that holds the true value.
  /// - Throws: ``PrivacyError`` when `epsilon` is negative or not finite, or relations differ.
  public func delta(
    of composition: [ComposedSteps], epsilon: Double
  ) throws(PrivacyError) -> DeltaBounds {
    try delta(of: PrivacyHistory(composition), epsilon: epsilon)
  }

  /// The δ of a history at a given ε.
  ///
  /// - Parameters:
  ///   - history: What was released.
  ///   - epsilon: ε ≥ 0, finite.
  /// - Returns: An interval that holds the true value.
  /// - Throws: ``PrivacyError`` when `epsilon` is negative or not finite.
  public func delta(
    of history: PrivacyHistory, epsilon: Double
  ) throws(PrivacyError) -> DeltaBounds {
    guard epsilon >= 0, epsilon.isFinite else {
      throw PrivacyError(
        .parameterOutOfRange, "epsilon is \(epsilon); it must be finite and at least 0")
    }
    guard history.stepCount > 0 else { return DeltaBounds(upper: 0, lower: 0) }
    if let separation = history.separation {
      return GaussianPrivacy(separation: separation).delta(of: epsilon)
    }
    if history.stepCount == 1 {
      return SingleStep(history.directions.compactMap { $0.first?.pair }).delta(of: epsilon)
    }
    let bounds = composed(history, .delta(epsilon: epsilon))
    return DeltaBounds(
      upper: min(bounds.upper, statisticalDistance(of: history)), lower: bounds.lower)
  }

  /// The ε of each direction of the relation by itself, in the order of removing and adding.
  ///
  /// - Parameters:
  ///   - composition: Steps of one relation, subsampled, at least two in all.
  ///   - delta: δ, in (0, 1).
  /// - Returns: One interval for `replace`, two for the other relations.
  /// - Throws: ``PrivacyError`` when relations differ.
  package func epsilonByDirection(
    of composition: [ComposedSteps], delta: Double
  ) throws(PrivacyError) -> [EpsilonBounds] {
    try PrivacyHistory(composition).directions.map { parts in
      var direction = LossAccounting(parts, .epsilon(delta: delta))
      direction.refine(accuracy: relativeAccuracy)
      return EpsilonBounds(upper: direction.upper, lower: direction.lower)
    }
  }

  /// A bound on δ(0), and so on every δ: the sum of the steps' own.
  private func statisticalDistance(of history: PrivacyHistory) -> Double {
    history.directions.map { parts in
      parts.reduce(0) { $0 + Double($1.count) * SingleStep([$1.pair]).delta(of: 0).upper }
    }.max() ?? 0
  }

  /// The larger of both directions.
  private func composed(
    _ history: PrivacyHistory, _ query: LossQuery
  ) -> (upper: Double, lower: Double) {
    var result = (upper: 0.0, lower: 0.0)
    for parts in history.directions {
      var direction = LossAccounting(parts, query)
      direction.refine(accuracy: relativeAccuracy, floor: result.upper)
      result.upper = max(result.upper, direction.upper)
      result.lower = max(result.lower, direction.lower)
    }
    return result
  }

  /// The ε of T steps of one mechanism as a function of T.
  ///
  /// T is rounded up to a number of at most six binary digits, by less than 3.2 %; each such ε is
  /// computed when it is first asked for and kept, so a call costs about 10 ms or nothing.
  ///
  /// - Parameters:
  ///   - mechanism: What each step releases.
  ///   - delta: δ, in (0, 1).
  /// - Returns: A function from T ≥ 0 to an upper bound on ε, never below that of T steps.
  /// - Throws: ``PrivacyError`` when `delta` is outside (0, 1).
  public func spending(
    of mechanism: PoissonSubsampledGaussian, delta: Double
  ) throws(PrivacyError) -> @Sendable (_ steps: Int) -> Double {
    try PrivacyTarget.checkDelta(delta)
    let known = KnownSpending()
    return { steps in
      let rounded = PLDAccountant.roundedUp(max(0, steps))
      return known.value(rounded) {
        let composed = try? ComposedSteps(of: mechanism, count: rounded)
        return composed.flatMap { try? epsilon(of: [$0], delta: delta).upper } ?? .infinity
      }
    }
  }

  /// The least number not below `steps` that has at most six binary digits before its zeros.
  static func roundedUp(_ steps: Int) -> Int {
    let shift = max(0, Int.bitWidth - steps.leadingZeroBitCount - 6)
    return ((steps - 1) >> shift + 1) << shift
  }
}

/// Values of ε that were computed, shared between calls.
private final class KnownSpending: Sendable {
  private let values = Mutex<[Int: Double]>([:])

  func value(_ steps: Int, _ compute: () -> Double) -> Double {
    if let value = values.withLock({ $0[steps] }) { return value }
    let value = compute()
    values.withLock { $0[steps] = value }
    return value
  }
}

/// One step in closed form: the larger δ of both directions, with an allowance for rounding.
private struct SingleStep {
  private let pairs: [DominatingPair]

  init(_ pairs: [DominatingPair]) {
    self.pairs = pairs
  }

  func delta(of epsilon: Double) -> DeltaBounds {
    var upper = Double.leastNormalMagnitude
    var lower = 0.0
    for pair in pairs {
      let tails = pair.tails(atPoint: pair.point(ofLoss: epsilon))
      let piece = pair.pieceAbove(tails)
      let value = piece.excess(overLoss: epsilon)
      let weighted = epsilon < 300 ? expm1(epsilon) * piece.lower : piece.upper
      let slack =
        4 * pair.rounding(above: tails)
        + 4e-14 * (1 + epsilon) * SingleStep.digits(piece.lower) * min(weighted, 1)
        // What a tail below the normal numbers of Double may lack, weighted by e^ε.
        + exp(min(epsilon - 740, 0))
      upper = max(upper, min(value + slack, piece.upper * (1 + 1e-11) + .leastNormalMagnitude))
      lower = max(lower, value - slack)
    }
    return DeltaBounds(upper: min(1, upper), lower: min(1, lower))
  }

  /// How much larger a tail's relative error is than that of its place: about half the square of its
  /// distance in standard deviations.
  static func digits(_ tail: Double) -> Double { 1 - 0.5 * log(max(tail, 1e-300)) }
}

extension DominatingPair {
  /// What rounding may have added to or taken from P − Q above a point.
  fileprivate func rounding(above point: TailPoint) -> Double {
    let masses = centers.indices.map { point.isLower[$0] ? 1 - point.tails[$0] : point.tails[$0] }
    return centers.indices.reduce(0) { sum, k in
      let mass = max(masses[k], masses[0])
      return sum + 1e-15 * abs(upper[k] - lower[k]) * mass * SingleStep.digits(mass)
    }
  }
}
