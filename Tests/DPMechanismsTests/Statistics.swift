import Foundation

/// Statistical tests whose probability of failing by chance is stated: at most 1e-6 each.
enum Statistics {
  /// |z| beyond which a standard normal value lies with probability 1e-6.
  static let normalLimit = 4.892
  /// √n·D beyond which the Kolmogorov-Smirnov statistic lies with probability 1e-6.
  static let kolmogorovLimit = 2.694

  /// Φ, the distribution function of the standard normal.
  static func normal(_ x: Double) -> Double { 0.5 * erfc(-x / 2.squareRoot()) }

  /// √n times the largest distance between the sample's distribution and the standard normal.
  static func kolmogorov(_ sample: [Double]) -> Double {
    let sorted = sample.sorted()
    let n = Double(sorted.count)
    var distance = 0.0
    for (index, value) in sorted.enumerated() {
      let expected = normal(value)
      distance = max(
        distance, expected - Double(index) / n, Double(index + 1) / n - expected)
    }
    return distance * n.squareRoot()
  }

  /// A χ² value of many degrees of freedom as a standard normal one (Wilson and Hilferty 1931).
  static func chiSquareScore(_ value: Double, degrees: Int) -> Double {
    let k = Double(degrees)
    return (cbrt(value / k) - (1 - 2 / (9 * k))) / (2 / (9 * k)).squareRoot()
  }

  /// The standard score of the correlation of two samples of standard normal values.
  static func correlationScore(_ x: [Double], _ y: [Double]) -> Double {
    zip(x, y).reduce(0) { $0 + $1.0 * $1.1 } / Double(x.count).squareRoot()
  }

  /// The standard score of the hypothesis that all cells are equally likely.
  static func uniformityScore(_ counts: [Int]) -> Double {
    let expected = Double(counts.reduce(0, +)) / Double(counts.count)
    let value = counts.reduce(0.0) { $0 + pow(Double($1) - expected, 2) / expected }
    return chiSquareScore(value, degrees: counts.count - 1)
  }
}
