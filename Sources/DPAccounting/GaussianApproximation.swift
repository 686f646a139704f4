import Foundation

/// The central limit of many steps, for comparison and as a first guess: **not an upper bound**.
///
/// T steps of rate q tend to one Gaussian release with μ = q √(T (e^(1/σ²) − 1)) as T grows and q
/// shrinks with q √T fixed (Bu, Dong, Long, Su 2020, "Deep Learning with Gaussian Differential
/// Privacy"). At finite T the true ε can be several times larger, or smaller; only for q = 1 is it
/// exact. So it is no ``PrivacyAccountant``, and nothing may be trained by it.
public struct GaussianApproximation: Sendable {
  /// "gdp".
  public let name = "gdp"
  /// What to say beside every number of it.
  public static let caveat = "not an upper bound"

  /// Makes the approximation.
  public init() {}

  /// μ of composed steps.
  ///
  /// - Parameter composition: The steps.
  /// - Returns: √(Σ T μ₁²), μ₁ of one step.
  public func separation(of composition: [ComposedSteps]) -> Double {
    composition.reduce(0) { sum, steps in
      let mechanism = steps.mechanism
      let q = mechanism.samplingRate.value
      let sigma = mechanism.noiseMultiplier.value / (mechanism.relation == .replace ? 2 : 1)
      let square =
        mechanism.mixture.map(separationSquare)
        ?? (q == 1 ? 1 / (sigma * sigma) : q * q * expm1(1 / (sigma * sigma)))
      return sum + (q == 0 || steps.count == 0 ? 0 : Double(steps.count) * square)
    }.squareRoot()
  }

  /// The χ² divergence of a step with random shifts: E[e^(jk/σ²)] − 1 over independent shifts j, k.
  private func separationSquare(_ mixture: MixtureOfGaussians) -> Double {
    let sigma = mixture.noiseMultiplier.value
    let parts = zip(mixture.shifts, mixture.probabilities)
    return parts.reduce(0) { sum, left in
      parts.reduce(sum) { $0 + left.1 * $1.1 * expm1(left.0 * $1.0 / (sigma * sigma)) }
    }
  }

  /// An estimate of ε.
  ///
  /// - Parameters:
  ///   - composition: The steps.
  ///   - delta: δ, in (0, 1).
  /// - Returns: An estimate, on either side of the truth.
  /// - Throws: ``PrivacyError`` when `delta` is outside (0, 1).
  public func epsilon(of composition: [ComposedSteps], delta: Double) throws(PrivacyError) -> Double
  {
    try PrivacyTarget.checkDelta(delta)
    let separation = separation(of: composition)
    return separation.isFinite
      ? GaussianPrivacy(separation: separation).epsilon(of: delta).upper : .infinity
  }

  /// An estimate of δ.
  ///
  /// - Parameters:
  ///   - composition: The steps.
  ///   - epsilon: ε ≥ 0, finite.
  /// - Returns: An estimate, on either side of the truth.
  /// - Throws: ``PrivacyError`` when `epsilon` is negative or not finite.
  public func delta(
    of composition: [ComposedSteps], epsilon: Double
  ) throws(PrivacyError) -> Double {
    guard epsilon >= 0, epsilon.isFinite else {
      throw PrivacyError(
        .parameterOutOfRange, "epsilon is \(epsilon); it must be finite and at least 0")
    }
    let separation = separation(of: composition)
    return separation.isFinite
      ? GaussianPrivacy(separation: separation).delta(of: epsilon).upper : 1
  }
}
