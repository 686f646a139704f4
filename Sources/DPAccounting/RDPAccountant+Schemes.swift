import Foundation

/// How many runs a search makes before it returns the best: a number that is itself random, since a
/// fixed number would leak through the choice.
///
/// - SeeAlso: Papernot, Steinke 2022, "Hyperparameter Tuning with Renyi Differential Privacy",
///   Theorems 2 and 6.
public enum TrialCount: Hashable, Sendable {
  /// Poisson with a mean, at least 1; none at all is possible.
  case poisson(mean: Double)
  /// At least one; the probability of going on is the same after each. Mean at least 1.
  case geometric(mean: Double)
  /// At least one, with the logarithmic distribution. Mean greater than 1.
  case logarithmic(mean: Double)
}

extension RDPAccountant {
  /// The ε of steps with batches of fixed size, for replacing a row; no lower bound is proved.
  ///
  /// - Parameters:
  ///   - mechanism: The step.
  ///   - steps: T ≥ 0.
  ///   - delta: δ, in (0, 1).
  /// - Returns: An upper bound on ε.
  /// - Throws: ``PrivacyError`` when `steps` is negative or `delta` is outside (0, 1).
  public func epsilon(
    of mechanism: FixedSizeWithoutReplacement, steps: Int, delta: Double
  ) throws(PrivacyError) -> EpsilonBounds {
    try PrivacyTarget.checkDelta(delta)
    guard steps >= 0 else {
      throw PrivacyError(.parameterOutOfRange, "steps is \(steps); it must be at least 0")
    }
    let total = orders.map {
      Double(steps) * WithoutReplacement.divergence(of: mechanism, order: $0)
    }
    return EpsilonBounds(upper: convert(total, delta: delta), lower: nil)
  }

  /// The ε of training a random number of times and returning the best run alone.
  ///
  /// Every run is charged for, also those whose results are thrown away, and so is the choice.
  ///
  /// - Parameters:
  ///   - composition: One run.
  ///   - trials: How many runs are made.
  ///   - delta: δ, in (0, 1).
  /// - Returns: An upper bound on ε of the search as a whole.
  /// - Throws: ``PrivacyError`` when a mean is out of range or `delta` is outside (0, 1).
  public func epsilon(
    ofBestRun composition: [ComposedSteps], trials: TrialCount, delta: Double
  ) throws(PrivacyError) -> EpsilonBounds {
    try PrivacyTarget.checkDelta(delta)
    let one = divergences(of: composition)
    let total: [Double]
    switch trials {
    case .poisson(let mean):
      guard mean >= 1, mean.isFinite else { throw RDPAccountant.meanError(mean, "at least 1") }
      total = zip(orders, one).map { order, divergence in
        // δ of one run at the ε with e^ε = 1 + 1/(α − 1).
        let delta = smallestDelta(one, epsilon: log1p(1 / (order - 1)))
        return divergence + mean * delta + log(mean) / (order - 1)
      }
    case .geometric(let mean):
      guard mean >= 1, mean.isFinite else { throw RDPAccountant.meanError(mean, "at least 1") }
      total = selection(one, shape: 1, continuation: 1 / mean, mean: mean)
    case .logarithmic(let mean):
      guard mean > 1, mean.isFinite else { throw RDPAccountant.meanError(mean, "greater than 1") }
      total = selection(
        one, shape: 0, continuation: RDPAccountant.logarithmicParameter(mean: mean), mean: mean)
    }
    return EpsilonBounds(upper: convert(total, delta: delta), lower: nil)
  }

  private static func meanError(_ mean: Double, _ bound: String) -> PrivacyError {
    PrivacyError(
      .parameterOutOfRange, "mean number of trials is \(mean); it must be finite and \(bound)")
  }

  /// Divergences of repeat-and-select with a truncated negative binomial number of runs.
  private func selection(
    _ one: [Double], shape: Double, continuation: Double, mean: Double
  ) -> [Double] {
    // The auxiliary order is free: the best of those there are.
    let extra =
      zip(orders, one).map { order, divergence in
        (1 + shape) * ((1 - 1 / order) * divergence - log(continuation) / order)
      }.min() ?? .infinity
    return zip(orders, one).map { $1 + extra + log(mean) / ($0 - 1) }
  }

  /// γ of the logarithmic distribution with a mean, (1/γ − 1) / ln(1/γ), rounded down.
  private static func logarithmicParameter(mean: Double) -> Double {
    var low = -700.0
    var high = 0.0
    for _ in 0..<200 {
      let middle = 0.5 * (low + high)
      if expm1(-middle) / -middle > mean { low = middle } else { high = middle }
    }
    return exp(low)
  }

  /// The least δ that divergences prove for an ε.
  func smallestDelta(_ divergences: [Double], epsilon: Double) -> Double {
    zip(orders, divergences).reduce(1) { least, next in
      let (order, divergence) = next
      guard order > 1.01, divergence.isFinite else { return least }
      let first = (order - 1) * (divergence - epsilon + log1p(-1 / order)) - log(order)
      let second = divergence > 0 ? 0.5 * log(-expm1(-divergence)) : -.infinity
      return min(least, exp(min(first, second)))
    }
  }
}

/// The Rényi divergence of a step with a batch of fixed size, replacing one row.
///
/// For integer orders, with γ = B/n and s the noise in units of the 2C that a row moves:
/// A ≤ 1 + γ² C(α,2) min(4(e^(1/s²) − 1), 2e^(1/s²)) + Σ_{j≥3} γʲ C(α,j) 2e^(j(j−1)/(2s²)), where the
/// factor 2e^… may be replaced by 4√(Δ_a Δ_b), Δ_k = Σᵢ (−1)^(k−i) C(k,i) e^(i(i−1)/(2s²)) and a, b
/// the even numbers around j. (α − 1) times the divergence is convex in α, so between integers the
/// chord is a bound.
private enum WithoutReplacement {
  static func divergence(of mechanism: FixedSizeWithoutReplacement, order: Double) -> Double {
    let rate = Double(mechanism.batchSize) / Double(mechanism.populationSize)
    let noise = mechanism.noiseMultiplier.value / 2
    if rate == 0 { return 0 }
    if rate == 1 { return order / (2 * noise * noise) }
    let below = Int(order.rounded(.down))
    let low = logMoment(rate, noise, below)
    let part = order - Double(below)
    guard part > 0 else { return low / (order - 1) }
    let high = logMoment(rate, noise, below + 1)
    return ((1 - part) * low + part * high) / (order - 1)
  }

  private static func logMoment(_ rate: Double, _ noise: Double, _ order: Int) -> Double {
    guard order >= 2 else { return 0 }
    let scale = 1 / (2 * noise * noise)
    var sum = LogSum()
    sum.add(0)
    var logBinomial = log(Double(order))
    for j in 2...order {
      logBinomial += log(Double(order - j + 1) / Double(j))
      let plain = log(2) + Double(j * (j - 1)) * scale
      let refined =
        j == 2
        ? log(4) + log(expm1(2 * scale))
        : log(4) + 0.5 * (logDifference(j & ~1, scale) + logDifference((j + 1) & ~1, scale))
      sum.add(logBinomial + Double(j) * log(rate) + min(plain, refined))
    }
    return sum.value * (1 + 1e-12)
  }

  /// ln Δ_k, or ∞ where so much cancels that the sum says nothing.
  private static func logDifference(_ k: Int, _ scale: Double) -> Double {
    let largest = Double(k * (k - 1)) * scale
    guard k <= 60 else { return .infinity }
    var sum = 0.0
    var size = 0.0
    var logBinomial = 0.0
    for i in 0...k {
      if i > 0 { logBinomial += log(Double(k - i + 1) / Double(i)) }
      let term = exp(logBinomial + Double(i * (i - 1)) * scale - largest)
      sum += (k - i).isMultiple(of: 2) ? term : -term
      size += term
    }
    let bound = sum + 1e-13 * size
    return bound > 0 && sum > 1e-6 * size ? log(bound) + largest : .infinity
  }
}
