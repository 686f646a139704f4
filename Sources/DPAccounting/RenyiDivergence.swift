import Foundation

/// The Rényi divergence of one step of the Poisson-subsampled Gaussian.
///
/// With P the mixture that a differing row makes and Q the distribution without it, the divergence
/// of order α is ln(A) / (α − 1), A = E_Q[(P/Q)^α]. Both ways to compute it sum A − 1 from positive
/// terms, so that nothing cancels where A is close to 1.
///
/// | case | divergence |
/// |---|---|
/// | q = 0 | 0 |
/// | q > 0, too small for Double | the least normal number |
/// | q = 1 | m²α / (2σ²) for m rows, or 2α / σ² under `replace` |
///
/// For groups of m rows P is a mixture of m + 1 Gaussians. Which direction is worse is then not proved:
/// the larger of both is taken, by quadrature.
///
/// Source: Mironov, Talwar, Zhang 2019, "Rényi Differential Privacy of the Sampled Gaussian
/// Mechanism", whose Theorem 5 shows that removing a row is the worse direction; the pair for
/// `replace` is Lebeda, Regehr, Kamath, Steinke 2024, "Avoiding Pitfalls for Privacy Accounting of
/// Subsampled Mechanisms under Composition".
enum RenyiDivergence {
  /// Relative allowance for the rounding of the sums, which agree with 60-digit quadrature to
  /// 4e-14.
  private static let roundingAllowance = 1 + 1e-12

  /// Quadrature points beyond which an order is bounded by the next integer, or not at all: little
  /// noise and high orders, which decide nothing.
  private static let pointLimit = 40_000.0

  /// The divergence of one step.
  ///
  /// - Parameters:
  ///   - mechanism: The step.
  ///   - order: α > 1.
  /// - Returns: An upper bound on the divergence of order α, in nats; infinite where none is
  ///   computed.
  /// - Complexity: O(α) for integer orders, O(α/σ) quadrature points, at most 40,000, otherwise.
  static func oneStep(of mechanism: PoissonSubsampledGaussian, order: Double) -> Double {
    precondition(order > 1 && order.isFinite, "order is \(order), must be finite and > 1")
    let q = mechanism.samplingRate.value
    let sigma = mechanism.noiseMultiplier.value
    guard q > 0 else { return 0 }
    let replace = mechanism.relation == .replace
    let size = Double(mechanism.groupSize)
    guard q < 1 else { return (replace ? 4 : size * size) * order / (2 * sigma * sigma) }
    if let mixture = mechanism.mixture { return oneStep(of: mixture, order: order) }
    let hasSum = !replace && order == order.rounded()
    guard hasSum || quadraturePoints(sigma, order) <= pointLimit else {
      // Divergences grow with their order, and the next integer's is a sum.
      return replace ? .infinity : oneStep(of: mechanism, order: order.rounded(.up))
    }
    let logExcess =
      hasSum
      ? integerLogExcess(q, sigma, Int(order))
      : quadratureLogExcess(q, sigma, order, replace: replace)
    // A step that is not perfectly private has a divergence, however small.
    let divergence = softplus(logExcess) / (order - 1) * roundingAllowance
    return max(divergence, Double.leastNormalMagnitude)
  }

  /// The divergence of a step with random shifts: the larger of both directions.
  private static func oneStep(of mixture: MixtureOfGaussians, order: Double) -> Double {
    let sigma = mixture.noiseMultiplier.value
    let parts = zip(mixture.shifts, mixture.probabilities).filter { $1 > 0 }
    let reach = order * (parts.map(\.0).max() ?? 0) + 12 * sigma + 1
    let points = 2 * reach * 24 / sigma
    guard points <= pointLimit else { return .infinity }
    let logWeights = parts.map { (shift: $0.0, log: log($0.1)) }
    let step = sigma / 24
    var forward = LogSum()
    var backward = LogSum()
    for index in 0...Int(points) {
      let y = -reach + Double(index) * step
      let logP = logRatio(logWeights, at: y, sigma)
      let normal = -y * y / (2 * sigma * sigma)
      forward.add(logConvexExcess(logP, order) + normal)
      backward.add(logConvexExcess(-logP, order) + logP + normal)
    }
    let scale = log(step) - log(sigma) - 0.5 * log(2 * Double.pi)
    let logExcess = max(forward.value, backward.value) + scale
    return max(softplus(logExcess) / (order - 1) * roundingAllowance, .leastNormalMagnitude)
  }

  /// ln of a mixture's density over that of the component at 0, relatively accurate close to 0.
  private static func logRatio(
    _ parts: [(shift: Double, log: Double)], at y: Double, _ sigma: Double
  ) -> Double {
    var excess = 0.0
    var sum = LogSum()
    for (shift, log) in parts {
      let z = shift * (2 * y - shift) / (2 * sigma * sigma)
      sum.add(log + z)
      excess += z < 30 ? exp(log) * expm1(z) : .infinity
    }
    return abs(excess) < 0.5 ? log1p(excess) : sum.value
  }

  /// ln(A − 1) for an integer order, by the binomial sum whose terms are all positive.
  private static func integerLogExcess(_ q: Double, _ sigma: Double, _ order: Int) -> Double {
    var sum = LogSum()
    var logBinomial = log(Double(order))
    for i in 2...order {
      logBinomial += log(Double(order - i + 1) / Double(i))
      let exponent = Double(i * (i - 1)) / (2 * sigma * sigma)
      let logTail = Double(order - i) * log1p(-q)
      sum.add(logBinomial + Double(i) * log(q) + logTail + logExpm1(exponent))
    }
    return sum.value
  }

  /// ln(A − 1) for any order, by the trapezoid rule on E_Q[u^α − 1 − α(u − 1)], u = P/Q.
  ///
  /// The integrand is analytic and decays like a Gaussian, so the rule converges geometrically; a
  /// step of σ/24 over twelve standard deviations beyond the outermost mode leaves no visible error.
  private static func quadratureLogExcess(
    _ q: Double, _ sigma: Double, _ order: Double, replace: Bool
  ) -> Double {
    let variance = sigma * sigma
    let low = (replace ? -1 : 0) - 12 * sigma - 1
    let high = (replace ? 2 * order : order) + 12 * sigma + 1
    let step = sigma / 24
    var sum = LogSum()
    for index in 0...Int((high - low) / step) {
      let y = low + Double(index) * step
      let logP = logMixtureRatio(q, (2 * y - 1) / (2 * variance))
      let logQ = replace ? logMixtureRatio(q, (-2 * y - 1) / (2 * variance)) : 0
      sum.add(logConvexExcess(logP - logQ, order) + logQ - y * y / (2 * variance))
    }
    return sum.value + log(step) - log(sigma) - 0.5 * log(2 * Double.pi)
  }

  /// A bound on the number of points that the trapezoid rule needs.
  private static func quadraturePoints(_ sigma: Double, _ order: Double) -> Double {
    (2 * order + 24 * sigma + 3) * 24 / sigma
  }

  /// ln(1 − q + q e^z), without overflow or cancellation.
  private static func logMixtureRatio(_ q: Double, _ z: Double) -> Double {
    z < 30 ? log1p(q * expm1(z)) : log(q) + z + log1p((1 - q) / q * exp(-z))
  }

  /// ln(u^α − 1 − α(u − 1)) for u = e^t: the distance of a convex function from its tangent at 1.
  private static func logConvexExcess(_ t: Double, _ order: Double) -> Double {
    if abs(t) * order < 0.05 {
      // u^α − 1 − α(u − 1) = Σ_{k ≥ 2} (α^k − α) t^k / k!; for α > 1 the first term leads.
      var power = t * t / 2
      var orderPower = order * order
      var series = 0.0
      for k in 2..<14 {
        series += (orderPower - order) * power
        power *= t / Double(k + 1)
        orderPower *= order
      }
      return series > 0 ? log(series) : -.infinity
    }
    if order * t > 30 {
      // α e^t can exceed e^(αt) in no case here: α > 1, so e^(αt) is the largest term.
      return order * t + log1p(-exp(-order * t) * (1 - order) - order * exp(t - order * t))
    }
    let value = expm1(order * t) - order * expm1(t)
    return value > 0 ? log(value) : -.infinity
  }

  /// ln(e^x − 1) for x > 0.
  private static func logExpm1(_ x: Double) -> Double {
    x > 30 ? x + log1p(-exp(-x)) : log(expm1(x))
  }

  /// ln(1 + e^x).
  private static func softplus(_ x: Double) -> Double {
    x > 30 ? x + log1p(exp(-x)) : log1p(exp(x))
  }
}

/// ln of a sum of terms given by their logarithms, without overflow.
struct LogSum {
  private var largest = -Double.infinity
  private var scaled = 0.0

  /// Adds e^term.
  mutating func add(_ term: Double) {
    guard term != -.infinity else { return }
    guard term < .infinity, largest < .infinity else {
      // Infinite, or not a number: no bound is known.
      largest = .infinity
      scaled = 1
      return
    }
    if term <= largest {
      scaled += exp(term - largest)
    } else {
      scaled = scaled * exp(largest - term) + 1
      largest = term
    }
  }

  /// The logarithm of the sum; −∞ of none.
  var value: Double { scaled > 0 ? largest + log(scaled) : -.infinity }
}
