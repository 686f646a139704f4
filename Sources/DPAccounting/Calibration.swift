import Foundation

/// Finding the noise that a target allows.
public enum Calibration {
  /// The smallest noise multiplier with which T steps stay within a target.
  ///
  /// The answer never overshoots: it is rounded up to seven significant digits and its own ε, by
  /// the same accountant, is at most `target.epsilon`.
  ///
  /// | case | answer |
  /// |---|---|
  /// | less noise than 1e-3 would do (no steps, q = 0, a huge ε) | 1e-3, where the search begins |
  /// | no σ up to ``NoiseMultiplier/greatest`` is enough | throws |
  ///
  /// - Parameters:
  ///   - target: (ε, δ) that must hold.
  ///   - steps: T ≥ 0.
  ///   - accountant: The method that computes ε.
  ///   - mechanism: The step at a noise multiplier: decreasing in ε. A caller whose sensitivity
  ///     depends on σ states the effective σ here.
  /// - Returns: σ.
  /// - Throws: ``PrivacyError`` with `unreachableTarget`, or whatever `mechanism` throws.
  /// - Complexity: About 40 calls of the accountant.
  public static func noiseMultiplier(
    for target: PrivacyTarget, steps: Int, accountant: some PrivacyAccountant,
    mechanism: (_ noiseMultiplier: Double) throws(PrivacyError) -> PoissonSubsampledGaussian
  ) throws(PrivacyError) -> Double {
    func spends(_ sigma: Double) throws(PrivacyError) -> Bool {
      let composed = [try ComposedSteps(of: try mechanism(sigma), count: steps)]
      return try accountant.epsilon(of: composed, delta: target.delta).upper > target.epsilon
    }
    var low = 1.0
    while low > searchStart, try !spends(low) { low /= 2 }
    guard try spends(low) else { return searchStart }
    var high = low * 2
    while try spends(high) {
      low = high
      high *= 2
      if high > NoiseMultiplier.greatest {
        throw PrivacyError(
          .unreachableTarget,
          "epsilon \(target.epsilon) at delta \(target.delta) is out of reach of \(steps) steps; "
            + "take fewer steps, a smaller batch or a larger epsilon")
      }
    }
    while high > low * (1 + 1e-7) {
      let middle = (low * high).squareRoot()
      if try spends(middle) { low = middle } else { high = middle }
    }
    var answer = roundedUp(high, significantDigits: 7)
    while try spends(answer) { answer = roundedUp(answer * (1 + 1e-6), significantDigits: 7) }
    return answer
  }

  /// The lower end of the search.
  private static let searchStart = 1e-3

  /// The least number of so many significant decimal digits that is not below `value`.
  ///
  /// - Parameters:
  ///   - value: Finite and greater than 0; other values are returned as they are.
  ///   - significantDigits: At least 1.
  /// - Returns: A number in [`value`, `value` · (1 + 10^(1 − digits))], up to the last place of
  ///   Double.
  public static func roundedUp(_ value: Double, significantDigits: Int) -> Double {
    guard value > 0, value.isFinite else { return value }
    let scale = pow(10, Double(significantDigits - 1) - floor(log10(value)))
    let rounded = (value * scale).rounded(.up) / scale
    return rounded >= value ? rounded : rounded.nextUp
  }
}
