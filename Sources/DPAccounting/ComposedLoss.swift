import Foundation

/// Which stretch of the composed loss is computed, and how it is weighted.
struct CompositionWindow {
  /// λ ≥ 0: masses are weighted by e^(λℓ) while they are convolved, so that the part that decides
  /// the answer is not lost in the rounding of the rest.
  var tilt: Double
  /// The highest loss.
  var high: Double
  /// The transform, whose length is the number of losses.
  var transform: FourierTransform
  /// Exponents that prove how little lies below and above the stretch.
  var exponents: (below: Double, above: Double)
}

/// The distribution of a sum of privacy losses over a stretch of the grid, with all its errors.
///
/// With μ the composed distribution weighted by e^(λℓ − K), the circular convolution holds μ folded
/// on itself. Folding adds mass, so an upper bound stays one; from a lower bound the most that can
/// have been folded in is subtracted, by Chernoff's bound. Rounding enters both.
struct ComposedLoss {
  private let spacing: Double
  /// The loss of index 0.
  private let offset: Double
  private let first: Int
  private let tilt: Double
  private let logScale: Double
  /// Masses of μ on the circle.
  private let weighted: [Double]
  /// Where the stretch starts in it.
  private let start: Int
  private let infiniteMass: Double
  /// The mass that folding may have added, in units of μ.
  private let folded: Double
  /// What lies above the stretch, in units of δ.
  private let above: Double
  /// What rounding may have moved, in units of μ.
  let rounding: Double
  /// Largest effect on δ(ε) of a unit of μ at or above ε, over e^(K − λε).
  private let peak: Double

  /// The number of losses.
  var count: Int { weighted.count }

  /// Composes.
  ///
  /// - Parameters:
  ///   - parts: Distributions on one grid, each with the number of times it is taken.
  ///   - window: Where.
  /// - Complexity: O(L log L) for a window of L losses.
  init(
    _ parts: [(distribution: LossDistribution, count: Int)], window: CompositionWindow
  ) {
    spacing = parts.first?.distribution.spacing ?? 1
    offset = parts.reduce(0) { $0 + Double($1.count) * $1.distribution.offset }
    let top = ((window.high - offset) / spacing).rounded(.up)
    first = Int(top) - window.transform.count + 1
    tilt = window.tilt
    let transform = window.transform
    let length = transform.count
    let cumulant = LossCumulant(parts)
    logScale = cumulant.value(tilt)

    var spectrum = LogSpectrum(length: length, parts: parts.count)
    for part in parts {
      spectrum.add(part.distribution, count: part.count, tilt: tilt, transform: transform)
    }
    let (re, im, energy, energyBeside) = spectrum.exponentiated()
    var folded = transform.inverse(re, im)
    if spectrum.isConcentrated { folded[0] += 1 }
    weighted = folded
    start = spectrum.position(of: first)
    // Each is a bound on Σ |error| over the stretch, by Cauchy's inequality from the errors' squares
    // in the transform: of the parts' coefficients, of their powers, of the transform back, and of
    // e^(K − λℓ), which turns weighted masses back into masses.
    let far = max(abs(window.high), abs(offset + Double(first) * spacing))
    let allowed = spectrum.absoluteError < 0.1 ? 1.0 : .infinity
    rounding =
      allowed
      * (1.2 * energyBeside.squareRoot() * spectrum.absoluteError
        + energy.squareRoot() * transform.relativeError + cumulant.error(tilt)
        + 0x1p-50 * (abs(logScale) + tilt * far + tilt * abs(offset)) + 1e-15)
    let low = offset + (Double(first) - 0.5) * spacing
    let high = offset + (Double(first + length) - 0.5) * spacing
    let beyond = cumulant.logMassBeyond(
      high, side: 1, tilt: tilt, exponent: window.exponents.above)
    let below = cumulant.logMassBeyond(
      low, side: -1, tilt: tilt, exponent: window.exponents.below)
    self.folded = exp(beyond) + exp(below)
    let span = -expm1(-(high - low))
    peak = min(exp(LossCumulant.logPeak(tilt)), span)
    // Chernoff's e^(tx) also outweighs what a mass at x above the stretch adds to δ.
    let farPeak = LossCumulant.logPeak(tilt + (beyond < 0 ? window.exponents.above : 0))
    above = exp(logScale - tilt * high + beyond) * min(1, exp(farPeak) + span)
    let finite = parts.reduce(0) { $0 + Double($1.count) * log1p(-$1.distribution.infiniteMass) }
    infiniteMass = -expm1(finite)
  }

  /// A direction in which an answer may be wrong.
  enum Side { case upper, lower }

  /// ε at which δ(ε) falls to a target.
  ///
  /// - Returns: A value not below (`upper`) or not above (`lower`) the ε of these parts; ∞ where
  ///   infinite losses alone exceed the target.
  func epsilon(delta exact: Double, _ side: Side) -> Double {
    let target = exact * (side == .upper ? 1 - walkError : 1 + walkError)
    var answer = side == .upper ? max(0, offset + Double(first) * spacing) : 0
    walk(downTo: -.infinity, side) { loss, base, state in
      guard base + state.delta + state.reach > target else { return true }
      let left = target - base - state.delta
      guard left > 0, state.reach > 0 else {
        answer = state.isTop ? .infinity : max(0, loss + spacing)
        return false
      }
      // Within the cell δ(ε) = δ' + V (1 − e^(ε − ℓ')), ℓ' its upper end.
      let share = min(left / state.mass, -expm1(-spacing))
      answer = max(0, loss + spacing + log1p(-share))
      return false
    }
    return answer * (side == .upper ? 1 + 1e-13 : 1 - 1e-13)
  }

  /// δ at an ε.
  ///
  /// - Returns: A value not below (`upper`) or not above (`lower`) the δ of these parts.
  func delta(epsilon: Double, _ side: Side) -> Double {
    guard epsilon >= offset + Double(first) * spacing || side == .lower else { return 1 }
    var answer = 0.0
    walk(downTo: epsilon, side) { loss, base, state in
      let within = max(0, loss + spacing - epsilon)
      answer = base + state.delta + state.mass * -expm1(-min(within, spacing))
      return true
    }
    return min(1, max(0, answer * (side == .upper ? 1 + walkError : 1 - walkError)))
  }

  /// A bound on what the roundings of a walk add up to, relative to δ: five for each loss.
  private var walkError: Double { 1e-12 + 5 * 0x1p-53 * Double(weighted.count) }

  private struct WalkState {
    /// δ at the cell's upper end.
    var delta = 0.0
    /// V = Σ P(ℓ) e^(ℓ' − ℓ) over the losses from the cell's upper end ℓ' on.
    var mass = 0.0
    /// What the cell adds to δ.
    var reach = 0.0
    var isTop = true
  }

  /// Visits cells from the highest loss down until the visitor has seen enough.
  private func walk(
    downTo end: Double, _ side: Side,
    _ visit: (_ loss: Double, _ base: Double, _ state: WalkState) -> Bool
  ) {
    var state = WalkState()
    let cell = -expm1(-spacing)
    let decay = exp(-spacing)
    let growth = exp(tilt * spacing)
    var factor = 0.0
    let top = first + weighted.count - 1
    for index in stride(from: top - 1, through: first, by: -1) {
      let upperLoss = offset + Double(index + 1) * spacing
      if (top - 1 - index) & 63 == 0 {
        factor = exp(logScale - tilt * upperLoss)
      } else {
        factor *= growth
      }
      state.mass =
        state.mass * decay + weighted[(start + index + 1 - first) & (weighted.count - 1)] * factor
      state.reach = cell * max(0, state.mass)
      let scale = factor * growth * peak
      let base =
        side == .upper
        ? infiniteMass + above + rounding * scale : -(rounding + folded) * scale
      let loss = offset + Double(index) * spacing
      guard visit(loss, base, state), loss > end, loss > -spacing else { return }
      state.delta += cell * state.mass
      state.isTop = false
    }
  }
}

/// ln of a composed distribution's Fourier transform, built up part by part.
private struct LogSpectrum {
  private var logSize: [Double]
  private var angle: [Double]
  /// Where index 0 of the composed losses stands in the circle.
  private var offset = 0
  /// Σ T times a bound on the error of a part's coefficients and of their logarithms.
  private(set) var absoluteError = 0.0
  /// The least ln |F| of the parts at each coefficient; of a single part it is `logSize` over T.
  private var logLeast: [Double]
  private var leastShare = 0.0
  /// Σ T times the weighted mass beside each part's mode.
  private var spread = 0.0

  /// Whether most of the composed mass is in one place: then 1, its transform, is left out of the
  /// transform and of its rounding.
  var isConcentrated: Bool { spread < 1 }

  init(length: Int, parts: Int) {
    logSize = [Double](repeating: 0, count: length / 2 + 1)
    angle = logSize
    logLeast = parts > 1 ? logSize : []
    self.length = length
  }
  private let length: Int

  /// Where a loss stands in the circle.
  func position(of index: Int) -> Int { modulo(index - offset) }

  private func modulo(_ value: Int) -> Int {
    let rest = value % length
    return rest < 0 ? rest + length : rest
  }

  /// Adds T times ln of the transform of a distribution weighted by e^(λℓ).
  ///
  /// The transform of the weighted masses less 1 at their mode is computed, so that T · ln(1 + G)
  /// has an error of T times that of G, which is small where most of the mass is in one place.
  mutating func add(
    _ part: LossDistribution, count: Int, tilt: Double, transform: FourierTransform
  ) {
    let losses = part.losses
    let k = LossCumulant.one(losses, part.masses, tilt)
    let weighted = part.masses.indices.map { part.masses[$0] * exp(tilt * losses[$0] - k) }
    let mode = weighted.indices.max { weighted[$0] < weighted[$1] } ?? 0
    let center = part.indices.isEmpty ? 0 : part.indices[mode]
    var circle = [Double](repeating: 0, count: length)
    for i in weighted.indices where i != mode {
      circle[modulo(part.indices[i] - center)] += weighted[i]
    }
    let beside = weighted.indices.reduce(0) { $1 == mode ? $0 : $0 + weighted[$1] }
    // Less 1 at the mode, as the mode itself has 1 − `beside`.
    var (re, im) = transform.forward(circle)
    for i in re.indices { re[i] -= beside }
    let times = Double(count)
    let floor = max(exp(-90 / times), 1e-300)
    for i in re.indices where logSize[i] > -45 {
      let excess = 2 * re[i] + re[i] * re[i] + im[i] * im[i]
      let rest = 1 + re[i]
      // Where little is left of 1, it is squared itself.
      let square = excess > -0.5 ? 1 + excess : rest * rest + im[i] * im[i]
      guard square > floor else {
        logSize[i] = -.infinity
        continue
      }
      let logSquare = excess > -0.5 ? log1p(excess) : log(square)
      logSize[i] += 0.5 * times * logSquare
      if !logLeast.isEmpty { logLeast[i] = min(logLeast[i], 0.5 * logSquare) }
      angle[i] += (times * atan2(im[i], 1 + re[i])).remainder(dividingBy: 2 * Double.pi)
    }
    offset = modulo(offset + modulo(count % length * modulo(center)))
    spread += times * beside
    leastShare = 1 / times
    // Σ |x| of what is transformed is `beside`; a coefficient less `beside` is at most twice that, and
    // its squares, sums, logarithm, angle and their multiples by T add at most 42 units of 2⁻⁵³ of it.
    absoluteError += times * beside * (transform.relativeError + 42 * 0x1p-53)
  }

  /// The composed transform, less 1 where it is concentrated, the sum of its squared sizes over all L
  /// coefficients, and that of what all parts but one step leave of them at most.
  func exponentiated() -> (re: [Double], im: [Double], energy: Double, energyBeside: Double) {
    var re = [Double](repeating: 0, count: logSize.count)
    var im = re
    var energy = 0.0
    var energyBeside = 0.0
    for i in logSize.indices where logSize[i] > -45 {
      let size = exp(logSize[i])
      if isConcentrated {
        let half = sin(0.5 * angle[i])
        re[i] = expm1(logSize[i]) - 2 * size * half * half
      } else {
        re[i] = size * cos(angle[i])
      }
      im[i] = size * sin(angle[i])
      let least = logLeast.isEmpty ? leastShare * logSize[i] : logLeast[i]
      let times = i == 0 || i == logSize.count - 1 ? 1.0 : 2
      energy += times * (re[i] * re[i] + im[i] * im[i])
      energyBeside += times * exp(2 * min(0, logSize[i] - least))
    }
    return (re, im, energy, energyBeside)
  }
}
