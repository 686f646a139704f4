import Foundation

/// Finding the noise, the steps or the sampling rate that a target allows; no answer overshoots it.
///
/// Each search starts at what the central limit suggests and follows the secant of ln ε, kept inside
/// a bracket: about eight calls of the accountant.
public enum Calibration {
  /// The smallest noise multiplier with which T steps stay within a target.
  ///
  /// The answer never overshoots: it is rounded up to seven significant digits and its own ε, by
  /// the same accountant, is at most `target.epsilon`.
  ///
  /// | case | answer |
  /// |---|---|
  /// | no steps, or q = 0 | the lower end of the search, 1e-3 |
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
  public static func noiseMultiplier(
    for target: PrivacyTarget, steps: Int, accountant: some PrivacyAccountant,
    mechanism: (_ noiseMultiplier: Double) throws(PrivacyError) -> PoissonSubsampledGaussian
  ) throws(PrivacyError) -> Double {
    let aim = GaussianPrivacy.separation(for: target)
    guard steps > 0, try mechanism(1).samplingRate.value > 0 else {
      _ = try ComposedSteps(of: mechanism(1), count: steps)
      return searchStart
    }
    func excess(_ sigma: Double) throws(PrivacyError) -> Double {
      let composed = [try ComposedSteps(of: try mechanism(sigma), count: steps)]
      return log(try accountant.epsilon(of: composed, delta: target.delta).upper / target.epsilon)
    }
    func limit(_ sigma: Double) throws(PrivacyError) -> Double {
      let composed = [try ComposedSteps(of: try mechanism(sigma), count: steps)]
      return log(GaussianApproximation().separation(of: composed) / aim)
    }
    // The searched quantity is −ln σ: ε grows with it.
    let ends = -log(NoiseMultiplier.greatest)...(-log(searchStart))
    var guess = GrowingSearch(in: ends, start: 0, step: 2, tolerance: 1e-3)
    while let x = guess.next { guess.take(x, try limit(exp(-x))) }
    var search = GrowingSearch(
      in: ends, start: guess.allowed ?? ends.lowerBound, step: 0.05, tolerance: 1e-7)
    while let x = search.next { search.take(x, try excess(exp(-x))) }
    guard let found = search.allowed else {
      throw PrivacyError(
        .unreachableTarget,
        "epsilon \(target.epsilon) at delta \(target.delta) is out of reach of \(steps) steps; "
          + "take fewer steps, a smaller batch or a larger epsilon")
    }
    var answer = roundedUp(exp(-found), significantDigits: 7)
    // An ε that is no number is no proof either.
    for _ in 0..<1000 {
      if try excess(answer) <= 0 { return answer }
      answer = roundedUp(answer * (1 + 1e-6), significantDigits: 7)
    }
    throw PrivacyError(
      .unreachableTarget,
      "epsilon \(target.epsilon) at delta \(target.delta) is not proved at noise multiplier "
        + "\(answer) or a little more; choose a larger epsilon")
  }

  /// The largest number of steps that stay within a target.
  ///
  /// | case | answer |
  /// |---|---|
  /// | q = 0, or 2^40 steps are allowed | 2^40 |
  /// | not even one step is allowed | throws |
  ///
  /// - Parameters:
  ///   - target: (ε, δ) that must hold.
  ///   - mechanism: What each step releases.
  ///   - accountant: The method that computes ε.
  /// - Returns: T ≥ 1.
  /// - Throws: ``PrivacyError`` with `unreachableTarget`.
  public static func steps(
    for target: PrivacyTarget, mechanism: PoissonSubsampledGaussian,
    accountant: some PrivacyAccountant
  ) throws(PrivacyError) -> Int {
    let longest = 40 * log(2.0)
    guard mechanism.samplingRate.value > 0 else { return 1 << 40 }
    let one = GaussianApproximation().separation(of: [try ComposedSteps(of: mechanism, count: 1)])
    let start = 2 * log(GaussianPrivacy.separation(for: target) / one)
    var search = GrowingSearch(
      in: 0...longest, start: start.isFinite ? start : 0, step: 0.1, tolerance: 0, isInteger: true)
    while let x = search.next {
      let composed = [try ComposedSteps(of: mechanism, count: Int(exp(x).rounded()))]
      let spent = try accountant.epsilon(of: composed, delta: target.delta).upper
      search.take(x, log(spent / target.epsilon))
    }
    guard let found = search.allowed else {
      throw PrivacyError(
        .unreachableTarget,
        "epsilon \(target.epsilon) at delta \(target.delta) does not allow a single step; take "
          + "more noise, a smaller batch or a larger epsilon")
    }
    return Int(exp(found).rounded())
  }

  /// The largest sampling rate with which T steps stay within a target.
  ///
  /// - Parameters:
  ///   - target: (ε, δ) that must hold.
  ///   - steps: T ≥ 0; none allows 1.
  ///   - noiseMultiplier: σ.
  ///   - relation: Which two tables are compared.
  ///   - accountant: The method that computes ε.
  /// - Returns: q in (0, 1], rounded down to about seven digits.
  /// - Throws: ``PrivacyError`` with `unreachableTarget` when not even q = 1e-12 is allowed.
  public static func samplingRate(
    for target: PrivacyTarget, steps: Int, noiseMultiplier: NoiseMultiplier,
    relation: NeighbouringRelation = .zeroOut, accountant: some PrivacyAccountant
  ) throws(PrivacyError) -> Double {
    func composed(_ x: Double) throws(PrivacyError) -> [ComposedSteps] {
      let mechanism = PoissonSubsampledGaussian(
        samplingRate: try SamplingRate(min(1, exp(x))), noiseMultiplier: noiseMultiplier,
        relation: relation)
      return [try ComposedSteps(of: mechanism, count: steps)]
    }
    let ends = log(1e-12)...0
    let aim = GaussianPrivacy.separation(for: target)
    var guess = GrowingSearch(in: ends, start: -5, step: 2, tolerance: 1e-3)
    while let x = guess.next {
      guess.take(x, log(GaussianApproximation().separation(of: try composed(x)) / aim))
    }
    var search = GrowingSearch(
      in: ends, start: guess.allowed ?? ends.lowerBound, step: 0.05, tolerance: 1e-7)
    while let x = search.next {
      let spent = try accountant.epsilon(of: try composed(x), delta: target.delta).upper
      search.take(x, log(spent / target.epsilon))
    }
    guard let found = search.allowed else {
      throw PrivacyError(
        .unreachableTarget,
        "epsilon \(target.epsilon) at delta \(target.delta) is out of reach of \(steps) steps at "
          + "noise multiplier \(noiseMultiplier.value), whatever the sampling rate")
    }
    return min(1, exp(found))
  }

  /// The ε to state for composed steps: the accountant's upper bound, rounded up.
  ///
  /// - Parameters:
  ///   - composition: The steps.
  ///   - delta: δ, in (0, 1).
  ///   - accountant: The method that computes ε.
  ///   - significantDigits: How many digits are stated; at least 1.
  /// - Returns: A number not below the upper bound.
  /// - Throws: ``PrivacyError`` when `delta` is outside (0, 1).
  public static func epsilon(
    of composition: [ComposedSteps], delta: Double, accountant: some PrivacyAccountant,
    significantDigits: Int = 6
  ) throws(PrivacyError) -> Double {
    let bound = try accountant.epsilon(of: composition, delta: delta).upper
    return roundedUp(bound, significantDigits: significantDigits)
  }

  /// The lower end of the search for noise.
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
    // Below 1e-300 there may be no such power; the value itself is no less than the value.
    guard scale.isFinite else { return value }
    let rounded = (value * scale).rounded(.up) / scale
    return rounded >= value ? rounded : rounded.nextUp
  }
}
