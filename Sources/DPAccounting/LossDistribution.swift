import Foundation

/// A privacy loss distribution on a grid: P's mass at each loss, and at +∞.
struct LossDistribution {
  /// h: the loss of index i is s + i·h.
  let spacing: Double
  /// s.
  let offset: Double
  /// Ascending.
  let indices: [Int]
  /// P's mass at each index, not negative.
  let masses: [Double]
  /// P's mass at an infinite loss.
  let infiniteMass: Double

  /// The losses, ascending.
  var losses: [Double] { indices.map { offset + Double($0) * spacing } }
}

/// Points of one pair's loss on a grid, fine where most of the mass is and coarse in the tails.
///
/// A cell may be wider than h where P has little mass beyond it: the variance that the wide cells
/// add to a bound stays a small part of what cells of width h add, and no cell holds more than a
/// small part of the mass above it. A point lies at the loss of a step without the differing row,
/// where much of the mass can be: what h cannot resolve there then does no harm.
struct LossGrid {
  let pair: DominatingPair
  let spacing: Double
  let offset: Double
  private(set) var indices: [Int] = []
  private var points: [TailPoint] = []
  private var places: [Double] = []

  /// The largest mass beyond a cell, times the square of its width in units of h.
  private static let tailSpread = 2e-3
  /// Points beyond which a grid is not refined.
  private static let pointLimit = 1 << 17

  /// Chooses the points.
  ///
  /// - Parameters:
  ///   - pair: What is discretised.
  ///   - spacing: h > 0; the range of losses spans at most 2^50 of them.
  ///   - logTail: ln of the mass that may lie outside the points on either side.
  ///   - share: The largest share of the mass above a cell that a cell wider than h may hold.
  init(_ pair: DominatingPair, spacing: Double, logTail: Double, share: Double) {
    self.pair = pair
    self.spacing = spacing
    offset = pair.restingLoss(within: spacing)
    let range = pair.lossRange(logTail: logTail)
    let first = Int(((range.lowerBound - offset) / spacing).rounded(.down)) - 2
    let last = Int(((range.upperBound - offset) / spacing).rounded(.up)) + 2
    var y = pair.point(ofLoss: offset + Double(first) * spacing)
    append(first, y, pair.tails(atPoint: y))
    var width = max(1, (last - first) / 4096)
    var canGrow = false
    while let current = indices.last, current < last, let from = points.last {
      if canGrow { width *= 2 }
      width = min(width, last - current)
      let above = pair.pieceAbove(from).upper
      while true {
        let next = current + width
        let place = pair.point(
          ofLoss: offset + Double(next) * spacing, near: y.isFinite ? y : 0)
        let to = pair.tails(atPoint: place)
        let beyond = min(pair.pieceBelow(to).upper, above)
        let spread = beyond * Double(width) * Double(width) / LossGrid.tailSpread
        let held = next > 0 ? pair.piece(from: from, to: to).upper / (share * above) : 0
        let limit = indices.count < LossGrid.pointLimit ? 1.0 : 1e6
        if width == 1 || (spread <= limit && held <= limit) {
          append(next, place, to)
          y = place
          canGrow = spread <= 0.2 * limit && held <= 0.4 * limit
          break
        }
        width = max(1, width / 2)
      }
    }
  }

  /// The loss at a point.
  private func loss(_ point: Int) -> Double { offset + Double(indices[point]) * spacing }

  private mutating func append(_ index: Int, _ place: Double, _ tails: TailPoint) {
    indices.append(index)
    places.append(place)
    points.append(tails)
  }

  /// A distribution whose δ is nowhere below the pair's: "connect the dots".
  ///
  /// The mass of each cell is divided between its ends so that P and Q are both conserved, which
  /// puts on the chord what the curve δ(e^ε) has below it.
  ///
  /// - SeeAlso: Doroshenko, Ghazi, Kamath, Kumar, Manurangsi 2022, "Connect the Dots: Tighter
  ///   Discrete Approximations of Privacy Loss Distributions".
  func pessimistic() -> LossDistribution {
    var masses = [Double](repeating: 0, count: indices.count)
    for cell in 0..<(indices.count - 1) {
      let piece = pair.piece(from: points[cell], to: points[cell + 1])
      let width = Double(indices[cell + 1] - indices[cell]) * spacing
      let excess = piece.excess(overLoss: loss(cell))
      let raised = min(max(excess / -expm1(-width), 0), piece.upper)
      masses[cell + 1] += raised
      masses[cell] += piece.upper - raised
    }
    masses[0] += pair.pieceBelow(points[0]).upper
    let last = indices.count - 1
    let above = pair.pieceAbove(points[last])
    let infinite = max(0, above.excess(overLoss: loss(last)))
    masses[last] += max(0, above.upper - infinite)
    return LossDistribution(
      spacing: spacing, offset: offset, indices: indices, masses: masses, infiniteMass: infinite)
  }

  /// A distribution whose δ is nowhere above the pair's.
  ///
  /// Between two points of the grid the convex curve δ(e^ε) lies above its tangent at the loss half
  /// way. The least of two neighbouring tangents at each point, joined by chords, then its lower
  /// hull, is a curve below it with corners on the grid alone; the corners are the masses.
  func optimistic() -> LossDistribution {
    let n = indices.count
    let middles = middlePoints()
    let x = indices.indices.map(loss)
    let widths = (0..<(n - 1)).map { Double(indices[$0 + 1] - indices[$0]) * spacing }
    // Distances from each point's value to its right tangent (≤ 0) and to its left one (≥ 0).
    var toRight = [Double](repeating: 0, count: n)
    var toLeft = toRight
    var masses = toRight
    for i in 0..<n {
      let piece = pair.piece(from: middles[i], to: middles[i + 1])
      let gap = piece.excess(overLoss: x[i])
      toRight[i] = min(gap, 0)
      toLeft[i] = max(gap, 0)
      masses[i] = piece.upper - gap
    }
    // On the left the curve is at least 1 − e^ε, on the right at least 0; outside of `first` and
    // `last` these lines take over. They meet at ε = 0: no line is followed beyond it.
    func belowGap(_ i: Int) -> Double { pair.pieceBelow(middles[i + 1]).excess(overLoss: x[i]) }
    func aboveGap(_ i: Int) -> Double { pair.pieceAbove(middles[i]).excess(overLoss: x[i]) }
    let zero = x.lastIndex { $0 <= 0 } ?? 0
    let first = min(((0..<n).last { belowGap($0) > 0 } ?? -1) + 1, zero, n - 2)
    let last = max(
      ((first + 1)..<n).first { aboveGap($0) < 0 }.map { $0 - 1 } ?? (n - 1), first + 1)
    let leftEnd = min(belowGap(first), 0)
    let rightEnd = aboveGap(last)
    guard rightEnd >= 0 else { return almostPrivate(zero) }
    toRight[first] = leftEnd
    toLeft[last] = rightEnd
    // What a chord is flatter or steeper than the tangent of its cell, in P's units at its left.
    func bend(_ i: Int) -> Double { (toRight[i] + toLeft[i + 1]) / expm1(widths[i]) }
    for i in 0..<n where i < first || i > last { masses[i] = 0 }
    for i in (first + 1)..<last { masses[i] += bend(i - 1) * exp(widths[i - 1]) - bend(i) }
    masses[first] = pair.pieceBelow(middles[first + 1]).upper - leftEnd - bend(first)
    masses[last] =
      pair.pieceAbove(middles[last]).upper - rightEnd + bend(last - 1) * exp(widths[last - 1])
    LossGrid.takeLowerHull(&masses, x)
    // Where the curve is lower than the first point's chord to a last point below ε = 0, the first
    // mass would be negative. Without it P has more than 1; divided by that, the curve that is left
    // runs from 1 to below the first point's value, and below itself beyond it.
    let sum = masses.reduce(0, +)
    if sum > 1 { masses = masses.map { $0 / sum } }
    return LossDistribution(
      spacing: spacing, offset: offset, indices: indices, masses: masses, infiniteMass: 0)
  }

  /// max(0, 1 − e^(ε − ℓ)) for a loss ℓ ≤ 0, which is below every pair's curve.
  private func almostPrivate(_ point: Int) -> LossDistribution {
    var masses = [Double](repeating: 0, count: indices.count)
    masses[point] = 1
    return LossDistribution(
      spacing: spacing, offset: offset, indices: indices, masses: masses, infiniteMass: 0)
  }

  private func middlePoints() -> [TailPoint] {
    let n = indices.count
    return (0...n).map { i in
      let doubled =
        switch i {
        case 0: 2 * indices[0] - (indices[1] - indices[0])
        case n: 2 * indices[n - 1] + (indices[n - 1] - indices[n - 2])
        default: indices[i - 1] + indices[i]
        }
      let hint = places[min(i, n - 1)]
      let place = pair.point(
        ofLoss: offset + Double(doubled) * 0.5 * spacing, near: hint.isFinite ? hint : 0)
      return pair.tails(atPoint: place)
    }
  }

  /// Removes corners that bend the wrong way, giving their mass to both neighbours.
  private static func takeLowerHull(_ masses: inout [Double], _ x: [Double]) {
    let n = masses.count
    var previous = (0..<n).map { $0 - 1 }
    var next = (0..<n).map { $0 + 1 }
    var work = Array((0..<n).filter { masses[$0] < 0 }.reversed())
    while let i = work.popLast() {
      guard masses[i] < 0 else { continue }
      let a = previous[i]
      let b = next[i]
      guard a >= 0, b < n else {
        masses[i] = 0
        continue
      }
      // Moves P and Q from x[i] to the neighbours, both conserved.
      let share = expm1(x[i] - x[a]) / expm1(x[b] - x[a])
      masses[b] += masses[i] * share * exp(x[b] - x[i])
      masses[a] += masses[i] * (1 - share) * exp(x[a] - x[i])
      masses[i] = 0
      next[a] = b
      previous[b] = a
      if masses[a] < 0 { work.append(a) }
      if masses[b] < 0 { work.append(b) }
    }
  }
}
