import Foundation

/// ln of the moment generating function of composed privacy losses, ln Σ P(ℓ) e^(tℓ).
struct LossCumulant {
  private let parts:
    [(losses: [Double], masses: [Double], count: Double, infinite: Double, offset: Double)]

  /// Adds up the parts' cumulants.
  init(_ parts: [(distribution: LossDistribution, count: Int)]) {
    self.parts = parts.map { part in
      let (all, masses) = (part.distribution.losses, part.distribution.masses)
      let used = masses.indices.filter { masses[$0] > 0 }
      return (
        used.map { all[$0] }, used.map { masses[$0] }, Double(part.count),
        part.distribution.infiniteMass, part.distribution.offset
      )
    }
  }

  /// K(t).
  func value(_ t: Double) -> Double {
    parts.reduce(0) { $0 + $1.count * LossCumulant.one($1.losses, $1.masses, t) }
  }

  /// ln Σ m e^(tℓ) of one part; losses ascend.
  ///
  /// The sum carries what its additions lose, so that its error is that of its terms.
  static func one(_ losses: [Double], _ masses: [Double], _ t: Double) -> Double {
    let shift = max(0, max(t * (losses.first ?? 0), t * (losses.last ?? 0)) - 600)
    var sum = 0.0
    var lost = 0.0
    for i in losses.indices {
      let term = masses[i] * exp(t * losses[i] - shift) - lost
      let next = sum + term
      lost = (next - sum) - term
      sum = next
    }
    return log(sum) + shift
  }

  /// A bound on the error of ``value(_:)``, of the weights m e^(tℓ − K) that it normalises, and of
  /// the masses' own sum.
  ///
  /// With u = 2⁻⁵³, a term has the relative error u(|s| + 3|tℓ| + |tℓ − shift − K| + 4), s = t times
  /// the offset: one rounding in each product and difference and one place in exp. The sum adds 3u,
  /// the logarithm u|K|. What the masses' sum lacks to 1 is an error of theirs.
  func error(_ t: Double) -> Double {
    parts.reduce(0) { sum, part in
      let k = LossCumulant.one(part.losses, part.masses, t)
      let lacking = abs(LossCumulant.sum(part.masses) - 1 + part.infinite)
      var size = 0.0
      for i in part.losses.indices {
        size += part.masses[i] * exp(t * part.losses[i] - k) * abs(t * part.losses[i])
      }
      let rounding = 16 + 2 * abs(t * part.offset) + 6 * size + 4 * abs(k)
      return sum + part.count * (lacking + 0x1p-53 * rounding)
    }
  }

  /// A sum that carries what its additions lose.
  private static func sum(_ values: [Double]) -> Double {
    var sum = 0.0
    var lost = 0.0
    for value in values {
      let term = value - lost
      let next = sum + term
      lost = (next - sum) - term
      sum = next
    }
    return sum
  }

  /// Mean and variance of the composed loss, each mass weighted by e^(tℓ).
  func moments(_ t: Double) -> (mean: Double, variance: Double) {
    var result = (mean: 0.0, variance: 0.0)
    for part in parts {
      let k = LossCumulant.one(part.losses, part.masses, t)
      var mean = 0.0
      var square = 0.0
      for i in part.losses.indices {
        let weight = part.masses[i] * exp(t * part.losses[i] - k)
        mean += weight * part.losses[i]
        square += weight * part.losses[i] * part.losses[i]
      }
      result.mean += part.count * mean
      result.variance += part.count * max(0, square - mean * mean)
    }
    return result
  }

  /// A bound on one side of the tilted loss: P_λ(ℓ beyond `place`) ≤ e^`logMass`, by Chernoff.
  ///
  /// - Parameters:
  ///   - side: 1 for the upper tail, −1 for the lower.
  ///   - tilt: λ.
  ///   - logMass: ln of the allowed mass.
  /// - Returns: The place, and the exponent t that proves it.
  func reach(
    side: Double, tilt: Double, logMass: Double
  ) -> (place: Double, exponent: Double) {
    let base = value(tilt)
    let (_, variance) = moments(tilt)
    let start = (-2 * logMass / max(variance, 1e-300)).squareRoot()
    let (t, least) = LossCumulant.minimum(from: start) { t in
      (value(tilt + side * t) - base - logMass) / t
    }
    return (side * least, t)
  }

  /// ln of a bound on the tilted mass beyond a place.
  func logMassBeyond(
    _ place: Double, side: Double, tilt: Double, exponent: Double
  ) -> Double {
    min(0, value(tilt + side * exponent) - value(tilt) - side * exponent * place)
  }

  /// ln of max over x ≥ 0 of e^(−λx)(1 − e^(−x)): what a mass just above ε adds to δ(ε) at most,
  /// weighted by the tilt.
  static func logPeak(_ tilt: Double) -> Double {
    tilt > 0 ? -tilt * log1p(1 / tilt) - log1p(tilt) : 0
  }

  /// The least ε that Rényi divergences prove for a δ, with its order less one.
  func renyiEpsilon(logDelta: Double) -> (epsilon: Double, tilt: Double) {
    let (mean, variance) = moments(0)
    let deviation = max(variance, 1e-300).squareRoot()
    let start = max(mean, (-2 * logDelta).squareRoot() * deviation) / max(variance, 1e-300)
    let (t, least) = LossCumulant.minimum(from: max(start, 1e-3)) { t in
      (value(t) + LossCumulant.logPeak(t) - logDelta) / t
    }
    return (max(0, least), t)
  }

  /// ln of the least δ that Rényi divergences prove for an ε, with its order less one.
  func renyiLogDelta(epsilon: Double) -> (logDelta: Double, tilt: Double) {
    let (mean, variance) = moments(0)
    let deviation = max(variance, 1e-300).squareRoot()
    let start = max(abs(epsilon - mean), deviation) / max(variance, 1e-300)
    let (t, least) = LossCumulant.minimum(from: start) { t in
      value(t) + LossCumulant.logPeak(t) - t * epsilon
    }
    return (min(0, least), t)
  }

  /// The minimum over t > 0 of a function that falls and then rises, to a few per cent in t.
  static func minimum(
    from start: Double, _ f: (Double) -> Double
  ) -> (t: Double, value: Double) {
    func g(_ t: Double) -> Double {
      let value = f(t)
      return value.isNaN ? .infinity : value
    }
    var middle = min(max(start, 1e-250), 1e250)
    var best = g(middle)
    var factor = 0.5
    var other = g(middle * factor)
    if other > best {
      factor = 2
      other = g(middle * factor)
    }
    while other < best, middle > 1e-280, middle < 1e280 {
      middle *= factor
      best = other
      other = g(middle * factor)
    }
    var low = middle / 2
    var high = middle * 2
    for _ in 0..<4 {
      for candidate in [(low * middle).squareRoot(), (middle * high).squareRoot()] {
        let value = g(candidate)
        guard value < best else { continue }
        if candidate < middle { high = middle } else { low = middle }
        middle = candidate
        best = value
      }
      low = max(low, middle / (high / low).squareRoot())
      high = min(high, middle * (high / low).squareRoot())
    }
    return (middle, best)
  }
}
