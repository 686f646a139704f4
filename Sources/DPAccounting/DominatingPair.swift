import Foundation

/// Two mixtures of Gaussians on a line that are as hard to tell apart as a step's outputs can be.
///
/// `upper` is the distribution P with the differing row in one table, `lower` the distribution Q
/// with it in the other; the privacy loss ln(dP/dQ) increases along the line. What an accountant
/// finds for the pair bounds every pair of neighbouring tables in that direction.
///
/// Sources: Zhu, Dong, Wang 2022, "Optimal Accounting of Differential Privacy via Characteristic
/// Function" (removing and adding); Lebeda, Regehr, Kamath, Steinke 2024 (replacing);
/// Choquette-Choo et al. 2024, "Privacy Amplification for Matrix Mechanisms" (several shifts).
struct DominatingPair: Hashable {
  /// The means of the components, in units of the clipping norm; the first is the reference.
  let centers: [Double]
  /// The weights of P; they add up to 1.
  let upper: [Double]
  /// The weights of Q; they add up to 1.
  let lower: [Double]
  /// σ, the standard deviation of every component.
  let sigma: Double

  fileprivate let shape: Shape

  fileprivate enum Shape: Hashable {
    case gaussian
    case subsampled(q: Double)
    case replacing(q: Double)
    case mixture
    indirect case reflected(Shape)
  }

  /// A row is removed from a Poisson sample of rate q; q in (0, 1].
  static func removing(rate q: Double, sigma: Double) -> DominatingPair {
    guard q < 1 else {
      return DominatingPair(
        centers: [0, 1], upper: [0, 1], lower: [1, 0], sigma: sigma, shape: .gaussian)
    }
    return DominatingPair(
      centers: [0, 1], upper: [1 - q, q], lower: [1, 0], sigma: sigma, shape: .subsampled(q: q))
  }

  /// A row is replaced by one that points the other way.
  static func replacing(rate q: Double, sigma: Double) -> DominatingPair {
    guard q < 1 else {
      return DominatingPair(
        centers: [0, 1, -1], upper: [0, 1, 0], lower: [0, 0, 1], sigma: sigma, shape: .gaussian)
    }
    return DominatingPair(
      centers: [0, 1, -1], upper: [1 - q, q, 0], lower: [1 - q, 0, q], sigma: sigma,
      shape: .replacing(q: q))
  }

  /// The shift is drawn: `shifts[k]` ≥ 0 with probability `probabilities[k]`.
  static func removing(
    shifts: [Double], probabilities: [Double], sigma: Double
  ) -> DominatingPair {
    DominatingPair(
      centers: [0] + shifts, upper: [0] + probabilities, lower: [1] + shifts.map { _ in 0 },
      sigma: sigma, shape: .mixture)
  }

  /// The same pair in the other direction: P and Q change roles and the line is turned round.
  var reversed: DominatingPair {
    let turned: Shape = if case .reflected(let inner) = shape { inner } else { .reflected(shape) }
    return DominatingPair(
      centers: centers.map { -$0 }, upper: lower, lower: upper, sigma: sigma, shape: turned)
  }

  /// The privacy loss at a point, relatively accurate also where it is close to 0.
  func loss(at y: Double) -> Double {
    switch shape {
    case .gaussian: logRatio(upper, y) - logRatio(lower, y)
    case .subsampled, .mixture: logRatio(upper, y)
    case .replacing: logRatio(upper, y) - logRatio(lower, y)
    case .reflected: -reversed.loss(at: -y)
    }
  }

  /// ln of a mixture's density over the density of the component at 0.
  private func logRatio(_ weights: [Double], _ y: Double) -> Double {
    let scale = 0.5 / (sigma * sigma)
    var excess = 0.0
    for (center, weight) in zip(centers, weights) where weight > 0 && center != 0 {
      let z = center * (2 * y - center) * scale
      guard z < 30 else { return logSum(weights, y) }
      excess += weight * expm1(z)
    }
    return excess > -0.9 ? log1p(excess) : logSum(weights, y)
  }

  private func logSum(_ weights: [Double], _ y: Double) -> Double {
    var sum = LogSum()
    for (center, weight) in zip(centers, weights) where weight > 0 {
      sum.add(log(weight) + center * (2 * y - center) / (2 * sigma * sigma))
    }
    return sum.value
  }

  /// The point at which the loss takes a value.
  ///
  /// - Parameters:
  ///   - loss: Any value; −∞ or ∞ is returned where the loss stays above or below it.
  ///   - hint: A point close to the answer, where one is known.
  /// - Returns: The point.
  func point(ofLoss loss: Double, near hint: Double = 0) -> Double {
    DominatingPair.point(ofLoss: loss, near: hint, shape, self)
  }

  private static func point(
    ofLoss loss: Double, near hint: Double, _ shape: Shape, _ pair: DominatingPair
  ) -> Double {
    let variance = pair.sigma * pair.sigma
    switch shape {
    case .gaussian:
      let centers = zip(pair.centers, zip(pair.upper, pair.lower))
      let high = centers.first { $0.1.0 > 0 }?.0 ?? 0
      let low = centers.first { $0.1.1 > 0 }?.0 ?? 0
      return variance * loss / (high - low) + 0.5 * (high + low)
    case .subsampled(let q):
      if loss > 30 { return variance * (loss + log1p((q - 1) * exp(-loss)) - log(q)) + 0.5 }
      let excess = expm1(loss) + q
      return excess > 0 ? variance * log(excess / q) + 0.5 : -.infinity
    case .replacing(let q):
      let half = 0.5 * abs(loss)
      guard half > 0 else { return 0 }
      // asinh((1 − q)/q · e^{1/(2σ²)} sinh(half)), by logarithms.
      let z =
        log1p(-q) - log(q) + 0.5 / variance + half + log(-expm1(-2 * half)) - log(2)
      let root = 0.5 * logAddExp(0, 2 * z)
      let magnitude = variance * (half + (z < -20 ? exp(z) : logAddExp(root, z)))
      return loss < 0 ? -magnitude : magnitude
    case .mixture:
      return pair.searchPoint(ofLoss: loss, near: hint)
    case .reflected(.gaussian):
      return point(ofLoss: loss, near: hint, .gaussian, pair)
    case .reflected(let inner):
      return -point(ofLoss: -loss, near: -hint, inner, pair.reversed)
    }
  }

  /// Newton's method on a loss that is convex in y, kept inside a bracket.
  private func searchPoint(ofLoss target: Double, near hint: Double) -> Double {
    if let least = leastLoss, target <= least { return -.infinity }
    var low = hint - sigma
    var high = hint + sigma
    var width = sigma
    while loss(at: low) > target {
      low -= width
      width *= 2
      if width > 1e9 * sigma { return -.infinity }
    }
    width = sigma
    while loss(at: high) < target {
      high += width
      width *= 2
    }
    var y = min(max(hint, low), high)
    for _ in 0..<80 {
      let (value, slope) = lossAndSlope(at: y)
      if value > target { high = y } else { low = y }
      let next = y - (value - target) / slope
      let inside = next > low && next < high
      let step = inside ? next : 0.5 * (low + high)
      if abs(step - y) <= 1e-15 * (abs(y) + sigma) { return step }
      y = step
    }
    return y
  }

  private func lossAndSlope(at y: Double) -> (Double, Double) {
    let value = loss(at: y)
    var mean = 0.0
    for (center, weight) in zip(centers, upper) where weight > 0 && center != 0 {
      mean += center * weight * exp(center * (2 * y - center) / (2 * sigma * sigma) - value)
    }
    return (value, mean / (sigma * sigma))
  }

  /// The loss that a mixture of shifts nears where the differing row took no part: ln of the weight
  /// at 0; nil where it always takes part.
  private var leastLoss: Double? {
    var moved = 0.0
    var resting = 0.0
    for (center, weight) in zip(centers, upper) {
      if center == 0 { resting += weight } else { moved += weight }
    }
    return resting > 0 ? (resting > 0.5 ? log1p(-moved) : log(resting)) : nil
  }

  private static func logAddExp(_ a: Double, _ b: Double) -> Double {
    max(a, b) + log1p(exp(-abs(a - b)))
  }

  private init(
    centers: [Double], upper: [Double], lower: [Double], sigma: Double, shape: Shape
  ) {
    self.centers = centers
    self.upper = upper
    self.lower = lower
    self.sigma = sigma
    self.shape = shape
  }

  /// The range of losses outside of which P has at most a given mass on either side.
  func lossRange(logTail: Double) -> ClosedRange<Double> {
    let used = zip(centers, upper).filter { $0.1 > 0 }
    var left = Double.infinity
    var right = -Double.infinity
    for (center, weight) in used {
      // Each component may leave its part of the mass outside: an improbable one has a shorter reach.
      let share = logTail - log(weight * Double(used.count))
      let reach = NormalDistribution.upperQuantile(logMass: share) * sigma
      left = min(left, center - reach)
      right = max(right, center + reach)
    }
    let low = loss(at: left)
    let high = loss(at: right)
    return min(low, high)...max(low, high)
  }

  /// Mean and variance of the loss under P, by the trapezoid rule; a guide, not a bound.
  func lossMoments() -> (mean: Double, variance: Double) {
    let used = zip(centers, upper).filter { $0.1 > 0 }.map(\.0)
    let low = (used.min() ?? 0) - 10 * sigma
    let high = (used.max() ?? 0) + 10 * sigma
    let count = min(2000, max(200, Int(10 * (high - low) / sigma)))
    var weightSum = 0.0
    var mean = 0.0
    var square = 0.0
    for index in 0...count {
      let y = low + (high - low) * Double(index) / Double(count)
      var weight = 0.0
      for (center, share) in zip(centers, upper) where share > 0 {
        let x = (y - center) / sigma
        weight += share * exp(-0.5 * x * x)
      }
      let value = loss(at: y)
      guard weight > 0, value.isFinite else { continue }
      weightSum += weight
      mean += weight * value
      square += weight * value * value
    }
    mean /= weightSum
    return (mean, max(square / weightSum - mean * mean, 0))
  }
}

/// The tails of a pair's components at one point of the line.
struct TailPoint {
  /// For each component its smaller tail.
  var tails: [Double]
  /// For each component whether that is the lower tail.
  var isLower: [Bool]
}

/// P's mass, Q's mass and P − Q of a piece of the line, none of them by cancellation.
struct PieceMass {
  /// P's mass.
  var upper = 0.0
  /// Q's mass.
  var lower = 0.0
  /// P − Q, from differences between components.
  var excess = 0.0

  /// P − e^ℓ Q, for a loss ℓ close to the piece's own.
  func excess(overLoss loss: Double) -> Double {
    if loss < 300 { return excess - expm1(loss) * lower }
    return lower > 0 ? upper - exp(loss + log(lower)) : upper
  }
}

extension DominatingPair {
  /// The tails at the point with a given loss.
  func tails(atPoint y: Double) -> TailPoint {
    var result = TailPoint(tails: [], isLower: [])
    result.tails.reserveCapacity(centers.count)
    result.isLower.reserveCapacity(centers.count)
    for center in centers {
      let x = (y - center) / sigma
      result.tails.append(NormalDistribution.smallerTail(x))
      result.isLower.append(x < 0)
    }
    return result
  }

  /// The masses between two points.
  func piece(from a: TailPoint, to b: TailPoint) -> PieceMass {
    combine { k in
      if b.isLower[k] { return b.tails[k] - a.tails[k] }
      return a.isLower[k] ? 1 - a.tails[k] - b.tails[k] : a.tails[k] - b.tails[k]
    }
  }

  /// The masses above a point.
  func pieceAbove(_ a: TailPoint) -> PieceMass {
    combine { k in a.isLower[k] ? 1 - a.tails[k] : a.tails[k] }
  }

  /// The masses below a point.
  func pieceBelow(_ a: TailPoint) -> PieceMass {
    combine { k in a.isLower[k] ? a.tails[k] : 1 - a.tails[k] }
  }

  private func combine(_ mass: (Int) -> Double) -> PieceMass {
    let reference = mass(0)
    var piece = PieceMass()
    for k in centers.indices {
      let value = k == 0 ? reference : mass(k)
      piece.upper += upper[k] * value
      piece.lower += lower[k] * value
      piece.excess += (upper[k] - lower[k]) * (value - reference)
    }
    piece.upper = max(piece.upper, 0)
    piece.lower = max(piece.lower, 0)
    return piece
  }
}

extension DominatingPair {
  /// The loss of the outputs around those of a step in which the differing row took no part, taken
  /// together; 0 where it always takes part.
  ///
  /// - Parameter width: Losses up to half of this from the extreme one are taken together.
  /// - Returns: ln P/Q of those outputs together.
  func restingLoss(within width: Double) -> Double {
    switch shape {
    case .reflected(let inner): return inner.rests ? -reversed.restingLoss(within: width) : 0
    case .subsampled(let q): return restingLoss(from: log1p(-q), within: width)
    case .mixture: return leastLoss.map { restingLoss(from: $0, within: width) } ?? 0
    default: return 0
    }
  }

  /// The fixed point of "the mean loss of what lies up to half a width above it", and a little more,
  /// so that there the line 1 − e^ε is not above the next tangent.
  private func restingLoss(from base: Double, within width: Double) -> Double {
    var resting = base
    for _ in 0..<8 {
      let below = pieceBelow(tails(atPoint: point(ofLoss: resting + 0.5 * width)))
      // Far from everything that happens, a base of T times its size would cost digits for nothing.
      guard below.lower > 1e-9 else { return 0 }
      let next = log1p(max(below.excess / below.lower, expm1(base)))
      if abs(next - resting) <= 1e-12 * abs(base) { break }
      resting = next
    }
    return resting < 0 ? resting * (1 - 1e-8) : base
  }
}

extension DominatingPair.Shape {
  fileprivate var rests: Bool {
    switch self {
    case .subsampled, .mixture: true
    default: false
    }
  }
}
