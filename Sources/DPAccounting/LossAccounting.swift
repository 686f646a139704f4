import Foundation

/// What is asked of a composition.
enum LossQuery {
  /// ε at this δ.
  case epsilon(delta: Double)
  /// δ at this ε.
  case delta(epsilon: Double)
}

/// One direction of a composition: the pairs and how often each is taken.
struct LossAccounting {
  private let parts: [(pair: DominatingPair, count: Int)]
  private let query: LossQuery
  private let total: Double
  /// Σ T Var(loss) / Σ T of one step, which the spacing follows.
  private let variance: Double
  /// The largest size of a loss of one step that has a probability in Double.
  private let widestLoss: Double

  /// The interval found so far.
  private(set) var upper = Double.infinity
  private(set) var lower = 0.0
  /// h over the standard deviation of a step's loss.
  private var fineness = LossAccounting.firstFineness
  /// ln of δ over what all steps together may leave outside of the grid on either side.
  private var tailMargin = 14.0
  private var isExhausted = false
  private var hasPassed = false

  /// No window holds more losses than this: 40 MB and a quarter of a second.
  private static let largestWindow = 1 << 20
  private static let firstFineness = 0.06

  /// Prepares a composition.
  ///
  /// - Parameters:
  ///   - parts: Pairs of one direction; counts at least 1.
  ///   - query: The question.
  init(_ parts: [(pair: DominatingPair, count: Int)], _ query: LossQuery) {
    self.parts = parts
    self.query = query
    total = parts.reduce(0) { $0 + Double($1.count) }
    variance = parts.reduce(0) { $0 + Double($1.count) * $1.pair.lossMoments().variance } / total
    widestLoss = parts.reduce(0) { widest, part in
      let range = part.pair.lossRange(logTail: -750)
      return max(widest, -range.lowerBound, range.upperBound)
    }
    if case .delta = query { upper = 1 }
  }

  /// Narrows the interval until it is no wider than asked for, or cannot be narrowed.
  ///
  /// - Parameters:
  ///   - accuracy: The largest (upper − lower) / upper that is wanted.
  ///   - floor: An answer of the other direction: nothing below it matters.
  mutating func refine(accuracy: Double, floor: Double = 0) {
    narrow(accuracy: accuracy, floor: floor, passes: 5)
    // Where single steps can have losses far above ε, their tail makes every weighted stretch long.
    // Giving a part of δ to that tail, as an infinite loss, costs less than it saves.
    for margin in [3.0, 1] where upper > max(floor, 1e-250) && upper > 1.5 * lower {
      tailMargin = margin
      fineness = LossAccounting.firstFineness
      isExhausted = false
      hasPassed = false
      narrow(accuracy: max(accuracy, 0.1), floor: floor, passes: 2)
    }
  }

  private mutating func narrow(accuracy: Double, floor: Double, passes: Int) {
    for _ in 0..<passes where !isExhausted {
      if hasPassed, upper <= floor { return }
      let width = hasPassed && upper.isFinite ? (upper - lower) / upper : .infinity
      if hasPassed, upper == 0 || width <= accuracy { return }
      if width.isFinite {
        fineness *= min(0.7, max(0.15, (0.5 * accuracy / width).squareRoot()))
      }
      pass()
      hasPassed = true
      if upper.isFinite, width.isFinite, (upper - lower) / upper > 0.8 * width {
        isExhausted = true
      }
    }
  }

  /// The tail that may be left out, and the answer so far, where there is one.
  private func expectedLogDelta() -> Double {
    switch query {
    case .epsilon(let delta): log(delta)
    case .delta: lower > 0 ? log(lower) : -30
    }
  }

  /// One discretisation, composition and answer.
  private mutating func pass() {
    var logDelta = expectedLogDelta()
    // A coarse distribution shows where the answer lies.
    var spacing = fineness * variance.squareRoot()
    guard spacing > 0, spacing.isFinite else {
      isExhausted = true
      return
    }
    spacing = max(spacing, widestLoss * 0x1p-48)
    var guide = distributions(spacing: 3 * spacing, logDelta: logDelta, share: 0.3)
    var cumulant = LossCumulant(guide.map { ($0.pessimistic, $0.count) })
    if case .delta(let epsilon) = query {
      let proved = cumulant.renyiLogDelta(epsilon: epsilon).logDelta - 4
      if lower == 0 { logDelta = max(proved, -680) }
      if logDelta < -40 {
        guide = distributions(spacing: 3 * spacing, logDelta: logDelta, share: 0.3)
        cumulant = LossCumulant(guide.map { ($0.pessimistic, $0.count) })
      }
    }
    let plan = WindowPlan(cumulant, query, logDelta: logDelta, known: lower, total: total)
    let offset = guide.reduce(0) { $0 + abs($1.pessimistic.offset) * Double($1.count) }
    guard plan.isRepresentable(spacing: spacing, offset: offset) else {
      // The answer is so far beyond what is probable that no grid holds it.
      prove(by: cumulant, guide)
      isExhausted = true
      return
    }
    if plan.span / spacing > Double(LossAccounting.largestWindow) * 0.97 {
      spacing = plan.span / (Double(LossAccounting.largestWindow) * 0.97)
      isExhausted = lower > 0
    }
    // The transform's length is a power of two: the spacing takes what room there is.
    let wanted = plan.span / spacing / 0.97
    let bits = max(6, Int((log2(max(wanted, 1)) + 0.8).rounded(.down)))
    let length = min(1 << bits, LossAccounting.largestWindow)
    spacing = max(plan.span / (0.97 * Double(length)), 0.5 * spacing)
    let share = 0.1 * min(1, fineness / 0.03)
    let fine = distributions(spacing: spacing, logDelta: logDelta, share: share)
    let above = fine.map { ($0.pessimistic, $0.count) }
    let below = fine.map { ($0.grid.optimistic(), $0.count) }
    let cumulants = (above: LossCumulant(above), below: LossCumulant(below))
    var window = CompositionWindow(
      tilt: plan.tilt, high: plan.high, transform: FourierTransform(count: length),
      exponents: plan.exponents)
    let upperLoss = ComposedLoss(above, window: window)
    // Where steps are many, the two bounds' means can lie apart by more than the spread.
    let shift =
      cumulants.below.moments(plan.tilt).mean - cumulants.above.moments(plan.tilt).mean
    if abs(shift) < 0x1p58 * spacing { window.high += shift }
    answer(upperLoss, ComposedLoss(below, window: window))
    prove(by: cumulants.above, fine)
  }

  /// Takes in the two bounds of a pass.
  private mutating func answer(_ above: ComposedLoss, _ below: ComposedLoss) {
    switch query {
    case .epsilon(let delta):
      upper = min(upper, above.epsilon(delta: delta, .upper))
      lower = max(lower, below.epsilon(delta: delta, .lower))
    case .delta(let epsilon):
      upper = min(upper, above.delta(epsilon: epsilon, .upper))
      lower = max(lower, below.delta(epsilon: epsilon, .lower))
    }
    // Ends that meet may cross by rounding; bounds that contradict each other prove nothing.
    lower = lower <= upper * (1 + 1e-9) ? min(lower, upper) : 0
  }

  /// Takes in what Rényi divergences of the same distribution prove.
  private mutating func prove(by cumulant: LossCumulant, _ parts: [Discretised]) {
    let finite = parts.reduce(0) { $0 + Double($1.count) * log1p(-$1.pessimistic.infiniteMass) }
    let infinite = -expm1(finite)
    switch query {
    case .epsilon(let delta):
      guard infinite < delta else { return }
      let (proved, tilt) = cumulant.renyiEpsilon(logDelta: log(delta - infinite))
      upper = min(upper, proved * (1 + 1e-9) + cumulant.error(tilt) / tilt)
    case .delta(let epsilon):
      let (logDelta, tilt) = cumulant.renyiLogDelta(epsilon: epsilon)
      let proved = exp(logDelta + cumulant.error(tilt)) * (1 + 1e-9)
      upper = max(min(upper, infinite + proved), Double.leastNormalMagnitude)
    }
  }

  private struct Discretised {
    let grid: LossGrid
    let pessimistic: LossDistribution
    let count: Int
  }

  private func distributions(
    spacing: Double, logDelta: Double, share: Double
  ) -> [Discretised] {
    parts.map { part in
      let grid = LossGrid(
        part.pair, spacing: spacing, logTail: logDelta - log(total) - tailMargin, share: share)
      return Discretised(grid: grid, pessimistic: grid.pessimistic(), count: part.count)
    }
  }
}

/// The stretch of composed losses that decides an answer, and the tilt that shows it.
private struct WindowPlan {
  var tilt = 0.0
  var low = 0.0
  var high = 0.0
  var span = Double.infinity
  var exponents = (below: 0.0, above: 0.0)

  /// Tries tilts from none to the one of Rényi's bound and keeps the one with the shortest
  /// stretch whose rounding is not visible in the answer.
  ///
  /// - Parameters:
  ///   - cumulant: Of a coarse discretisation.
  ///   - query: The question.
  ///   - logDelta: ln of the δ in question, or of something below it.
  ///   - known: A lower bound on the answer, or 0.
  ///   - total: T.
  init(
    _ cumulant: LossCumulant, _ query: LossQuery, logDelta: Double, known: Double, total: Double
  ) {
    let place: Double
    let largest: Double
    switch query {
    case .epsilon:
      let renyi = cumulant.renyiEpsilon(logDelta: logDelta)
      largest = renyi.tilt
      let (mean, variance) = cumulant.moments(0)
      let normal = GaussianPrivacy(separation: variance.squareRoot()).epsilon(of: exp(logDelta))
      let guess = (normal.lower ?? 0) + mean - variance / 2
      place = known > 0 ? known : max(0, min(guess, renyi.epsilon))
    case .delta(let epsilon):
      largest = cumulant.renyiLogDelta(epsilon: epsilon).tilt
      place = epsilon
    }
    let rounding = log(1e-15 * (20 + total * 60))
    var best = Double.infinity
    for share in [0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1] {
      let candidate = share * largest
      let amplified =
        cumulant.value(candidate) - candidate * place + LossCumulant.logPeak(candidate) - logDelta
      guard amplified.isFinite else { continue }
      let logMass = min(-max(amplified, 0) - 13, -13)
      let above = cumulant.reach(side: 1, tilt: candidate, logMass: logMass)
      let below = cumulant.reach(side: -1, tilt: candidate, logMass: logMass)
      // Where ε is far below every probable loss, δ is 1 for all purposes.
      let bottom = min(below.place, max(place, below.place - 40))
      let top = max(above.place, place)
      // A longer stretch means a coarser grid, whose error grows with its square.
      let score = log(top - bottom) + 0.5 * log1p(min(exp(amplified + rounding), 1e300) / 2e-4)
      guard score < best else { continue }
      best = score
      tilt = candidate
      low = bottom
      high = top
      span = top - bottom
      exponents = (below.exponent, above.exponent)
    }
  }

  /// Whether the stretch has indices on a grid.
  ///
  /// - Parameters:
  ///   - spacing: h.
  ///   - offset: The size of the loss of index 0, roughly.
  /// - Returns: Whether they fit.
  func isRepresentable(spacing: Double, offset: Double) -> Bool {
    span > 0 && span.isFinite && (max(abs(low), abs(high)) + offset) / spacing < 0x1p60
  }
}
