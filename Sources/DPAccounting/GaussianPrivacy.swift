import Foundation

/// The privacy of a Gaussian release in closed form: means μ standard deviations apart.
///
/// δ(ε) = Φ(μ/2 − ε/μ) − e^ε Φ(−μ/2 − ε/μ) (Balle and Wang 2018, "Improving the Gaussian Mechanism
/// for Differential Privacy", Theorem 8). T releases with multipliers σᵢ have μ² = Σ 1/σᵢ².
struct GaussianPrivacy {
  /// μ ≥ 0, finite.
  let separation: Double

  /// Bounds on δ: the closed form with an allowance for its rounding.
  ///
  /// | case | δ |
  /// |---|---|
  /// | μ = 0 | 0 |
  /// | μ > 0 | `upper` is greater than 0 even where δ is too small for Double |
  ///
  /// - Parameter epsilon: ε ≥ 0.
  /// - Returns: An interval around δ(ε).
  func delta(of epsilon: Double) -> DeltaBounds {
    guard separation > 0 else { return DeltaBounds(upper: 0, lower: 0) }
    let a = separation / 2 - epsilon / separation
    let b = -separation / 2 - epsilon / separation
    let first = NormalDistribution.logCumulative(a)
    let second = epsilon + NormalDistribution.logCumulative(b)
    let value = exp(first) * -expm1(min(0, second - first))
    let slack = 2e-15 * (1 + a * a + b * b + epsilon) * exp(first)
    return DeltaBounds(
      upper: min(1, max(value + slack, Double.leastNonzeroMagnitude)), lower: max(0, value - slack))
  }

  /// Bounds on ε, each found by bisection on its own bound on δ.
  ///
  /// - Parameter delta: δ in (0, 1).
  /// - Returns: An interval around ε(δ); both ends are 0 exactly where δ(0) ≤ δ is proved.
  func epsilon(of delta: Double) -> EpsilonBounds {
    let start = separation * separation / 2 + separation
    return EpsilonBounds(
      upper: Crossing.above(start: start) { self.delta(of: $0).upper <= delta },
      lower: Crossing.below(start: start) { self.delta(of: $0).lower <= delta })
  }
}

/// Where a condition that holds from some ε on begins to hold.
enum Crossing {
  /// A point from which on the condition holds, close to the first: 0 where it holds at 0.
  static func above(start: Double, _ holds: (Double) -> Bool) -> Double {
    bracket(start, holds).high
  }

  /// A point up to which the condition does not hold, close to the last: 0 where it holds at 0.
  static func below(start: Double, _ holds: (Double) -> Bool) -> Double {
    bracket(start, holds).low
  }

  private static func bracket(
    _ start: Double, _ holds: (Double) -> Bool
  ) -> (low: Double, high: Double) {
    if holds(0) { return (0, 0) }
    var low = 0.0
    var high = max(start, Double.leastNormalMagnitude)
    while !holds(high) {
      low = high
      high *= 2
      if !high.isFinite { return (low, .infinity) }
    }
    for _ in 0..<1200 where high - low > 1e-13 * high {
      // Halving finds the scale of an answer that is far below the start.
      let middle = low == 0 ? high * 0.01 : 0.5 * (low + high)
      if holds(middle) { high = middle } else { low = middle }
    }
    return (low, high)
  }
}

extension GaussianPrivacy {
  /// The largest μ within a target, roughly: a first guess for searches.
  static func separation(for target: PrivacyTarget) -> Double {
    var search = GrowingSearch(in: -45...20, start: 0, step: 1, tolerance: 1e-3)
    while let x = search.next {
      let delta = GaussianPrivacy(separation: exp(x)).delta(of: target.epsilon).upper
      search.take(x, log(delta / target.delta))
    }
    return exp(search.allowed ?? -45)
  }
}
