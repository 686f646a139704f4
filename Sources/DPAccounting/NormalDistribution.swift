import Foundation

/// The standard normal distribution, accurate far into its tails.
enum NormalDistribution {
  /// Φ(x) for x ≤ 0 and 1 − Φ(x) for x > 0: the smaller of the two tails at a point.
  static func smallerTail(_ x: Double) -> Double { 0.5 * erfc(abs(x) * 0.5.squareRoot()) }

  /// ln Φ(x).
  ///
  /// | x | method |
  /// |---|---|
  /// | above −30 | the library's erfc |
  /// | from −30 down | the asymptotic series, whose first omitted term is below 1e-13 |
  static func logCumulative(_ x: Double) -> Double {
    if x > 0 { return log1p(-smallerTail(x)) }
    if x > -30 { return log(smallerTail(x)) }
    let inverse = 1 / (x * x)
    let series = -inverse * (1 - inverse * (3 - inverse * (15 - inverse * 105)))
    return -0.5 * x * x - log(-x) - 0.5 * log(2 * Double.pi) + log1p(series)
  }

  /// The k ≥ 0 beyond which the upper tail has at most a given mass.
  ///
  /// - Parameter logMass: ln of the mass; above ln ½ it counts as ln ½.
  /// - Returns: k with ln(1 − Φ(k)) ≤ `logMass`, above the least such k by at most 1e-9 of it.
  static func upperQuantile(logMass: Double) -> Double {
    var low = 0.0
    var high = (2 * max(0, -logMass)).squareRoot() + 1e-9
    for _ in 0..<60 where high - low > 1e-9 * high {
      let middle = 0.5 * (low + high)
      if logCumulative(-middle) > logMass { low = middle } else { high = middle }
    }
    return high
  }
}
