/// An exact sampler of the discrete Gaussian: P(x) ∝ e^(−x²/(2v)) on the integers.
///
/// There is no floating point in it: every probability is compared with random bits as a fraction,
/// to the last bit that matters. Algorithm 3 of Canonne, Kamath, Steinke 2020, "The Discrete Gaussian
/// for Differential Privacy": a discrete Laplace value Y of scale t is kept with probability
/// e^(−(|Y| − v/t)²/(2v)).
///
/// What it needs of random bits, and so its time, depends on the values that it makes.
package struct DiscreteGaussianSampler: Sendable {
  /// t, the scale of the Laplace values, near √v: about three of four are kept.
  private let laplaceScale: UInt64
  /// v / t = offset / stretch, in lowest terms.
  private let offset: UInt64
  private let stretch: UInt64
  /// (|Y| − v/t)²/(2v) = (|Y| · stretch − offset)² · weight / denominator.
  private let weight: UInt64
  private let denominator: UInt64

  /// A value is drawn anew beyond ± this: at least 15.9 standard deviations, a mass below 1e-55.
  private static let largestMagnitude = UInt64(Int32.max)
  /// Fractions are compared in 64 bits.
  private static let largestDenominator = UInt64(1) << 62

  /// The sampler of a standard deviation that is an integer.
  ///
  /// - Parameter standardDeviation: √v, at least 1 and at most 2²⁷.
  package init(standardDeviation: UInt64) {
    precondition(
      standardDeviation >= 1 && standardDeviation <= 1 << 27,
      "standard deviation \(standardDeviation)")
    laplaceScale = standardDeviation
    offset = standardDeviation
    stretch = 1
    weight = 1
    denominator = 2 * standardDeviation * standardDeviation
  }

  /// The sampler of a variance that is a small fraction, for comparison with tables.
  ///
  /// - Parameters:
  ///   - numerator: Of v; at least 1 and at most 2²⁴ times the denominator.
  ///   - divisor: The denominator of v, in 1 ... 2⁴.
  package init(variance numerator: UInt64, over divisor: UInt64) {
    precondition(
      numerator >= 1 && divisor >= 1 && divisor <= 1 << 4 && numerator <= divisor << 24,
      "variance \(numerator) / \(divisor)")
    // t = ⌊√v⌋ + 1, as in the paper.
    var root: UInt64 = 1
    while root * root * divisor <= numerator { root += 1 }
    laplaceScale = root
    let common = gcd(numerator, root * divisor)
    offset = numerator / common
    stretch = root * divisor / common
    weight = divisor
    denominator = 2 * numerator * stretch * stretch
  }

  /// One value.
  ///
  /// - Parameter words: A source of independent uniform 64-bit words.
  /// - Returns: A value that an Int32 holds.
  /// - Complexity: About 16 words on average, without a limit.
  package func next(using words: inout some RandomNumberGenerator) -> Int32 {
    while true {
      let (magnitude, negative) = laplace(using: &words)
      // Values that an Int32 cannot hold would be so rare that no run of any length meets one.
      guard magnitude <= DiscreteGaussianSampler.largestMagnitude else { continue }
      let distance = Int64(magnitude * stretch) - Int64(offset)
      let square = distance.magnitude.multipliedFullWidth(by: distance.magnitude)
      let weighted = (UInt128(square.high) << 64 | UInt128(square.low)) * UInt128(weight)
      let (whole, part) = weighted.quotientAndRemainder(dividingBy: UInt128(denominator))
      guard decaysThrough(units: whole, using: &words),
        decays(UInt64(part), denominator, using: &words)
      else { continue }
      return negative ? -Int32(magnitude) : Int32(magnitude)
    }
  }

  /// A discrete Laplace value, P(y) ∝ e^(−|y|/t), by algorithm 2 of the paper.
  private func laplace(
    using words: inout some RandomNumberGenerator
  ) -> (magnitude: UInt64, negative: Bool) {
    while true {
      // The standard library's draw below a bound is exact: it rejects what would be uneven.
      let low = words.next(upperBound: laplaceScale)
      guard decays(low, laplaceScale, using: &words) else { continue }
      var high: UInt64 = 0
      while decays(1, 1, using: &words) { high += 1 }
      let negative = words.next() & 1 == 1
      // Zero has one sign, or it would be twice as likely.
      guard !(negative && low == 0 && high == 0) else { continue }
      return (low + laplaceScale * high, negative)
    }
  }

  /// True with probability e^(−units).
  private func decaysThrough(
    units: UInt128, using words: inout some RandomNumberGenerator
  ) -> Bool {
    var left = units
    while left > 0 {
      guard decays(1, 1, using: &words) else { return false }
      left -= 1
    }
    return true
  }

  /// True with probability e^(−γ), γ = numerator / denominator in [0, 1].
  ///
  /// Algorithm 1 of the paper: count how many of the events of probability γ/1, γ/2, γ/3 ... happen
  /// in a row; the count is even with probability 1 − γ + γ²/2! − ... = e^(−γ).
  private func decays(
    _ numerator: UInt64, _ denominator: UInt64, using words: inout some RandomNumberGenerator
  ) -> Bool {
    var k: UInt64 = 1
    while true {
      let (product, overflow) = denominator.multipliedReportingOverflow(by: k)
      let happens =
        overflow || product > DiscreteGaussianSampler.largestDenominator
        ? happens(numerator, denominator, using: &words) && happens(1, k, using: &words)
        : happens(numerator, product, using: &words)
      guard happens else { return k % 2 == 1 }
      k += 1
    }
  }

  /// True with probability numerator / denominator, at most 1.
  ///
  /// Compares a random number in [0, 1) with the fraction, 64 binary digits at a time; the first 64
  /// decide but for one case in 2⁶⁴.
  private func happens(
    _ numerator: UInt64, _ denominator: UInt64, using words: inout some RandomNumberGenerator
  ) -> Bool {
    guard numerator < denominator else { return true }
    var remainder = numerator
    while remainder > 0 {
      let digits = denominator.dividingFullWidth((remainder, 0))
      let word = words.next()
      if word != digits.quotient { return word < digits.quotient }
      remainder = digits.remainder
    }
    return false
  }
}

/// The greatest common divisor of two numbers above 0.
private func gcd(_ a: UInt64, _ b: UInt64) -> UInt64 {
  b == 0 ? a : gcd(b, a % b)
}
