import Foundation

/// A search for the largest x at which a growing function is not above 0: ask `next`, `take` the
/// value, until there is no next.
///
/// It walks away from its start in steps that double until the answer is bracketed, then follows the
/// secant; a secant that does not halve the bracket in two turns gives way to the middle.
struct GrowingSearch {
  /// The largest x so far at which the function was at most 0; nil where there is none.
  private(set) var allowed: Double?
  /// Where to evaluate next; nil when done.
  private(set) var next: Double?

  private let ends: ClosedRange<Double>
  private let tolerance: Double
  private let isInteger: Bool
  private var step: Double
  private var refused: Double?
  private var values: (allowed: Double, refused: Double) = (-.infinity, .infinity)
  private var widths: [Double] = []

  /// Starts a search.
  ///
  /// - Parameters:
  ///   - ends: Where x may lie.
  ///   - start: A guess.
  ///   - step: How far the guess may be off, roughly.
  ///   - tolerance: The bracket's width at which the search ends.
  ///   - isInteger: Whether e^x is an integer; then the search ends at neighbours.
  init(
    in ends: ClosedRange<Double>, start: Double, step: Double, tolerance: Double,
    isInteger: Bool = false
  ) {
    self.ends = ends
    self.tolerance = tolerance
    self.isInteger = isInteger
    self.step = step
    next = rounded(min(max(start, ends.lowerBound), ends.upperBound))
  }

  /// Takes the function's value at `next`.
  ///
  /// - Parameters:
  ///   - x: The place.
  ///   - value: The function there; NaN counts as above 0.
  mutating func take(_ x: Double, _ value: Double) {
    if value <= 0 {
      allowed = max(allowed ?? x, x)
      values.allowed = value
    } else {
      refused = min(refused ?? x, x)
      values.refused = value
    }
    next = place()
  }

  private mutating func place() -> Double? {
    switch (allowed, refused) {
    case (nil, let refused?):
      guard refused > ends.lowerBound else { return nil }
      return walk(from: refused, by: -step(values.refused), stuck: -1)
    case (let allowed?, nil):
      guard allowed < ends.upperBound else { return nil }
      return walk(from: allowed, by: step(-values.allowed), stuck: 1)
    case (let allowed?, let refused?):
      return inside(allowed, refused)
    case (nil, nil):
      return nil
    }
  }

  /// A step that the function's value suggests, were its slope 1, or twice the last one.
  private mutating func step(_ distance: Double) -> Double {
    defer { step *= 2 }
    return distance.isFinite ? max(min(distance, 8 * step), step / 50) : step
  }

  private func walk(from x: Double, by distance: Double, stuck: Double) -> Double {
    let place = rounded(min(max(x + distance, ends.lowerBound), ends.upperBound))
    guard isInteger, place == x else { return place }
    return log(max(1, exp(x).rounded() + stuck))
  }

  private mutating func inside(_ low: Double, _ high: Double) -> Double? {
    let width = high - low
    if isInteger {
      guard exp(high).rounded() - exp(low).rounded() > 1 else { return nil }
    } else {
      guard width > tolerance else { return nil }
    }
    widths.append(width)
    let isSlow = widths.count > 2 && width > 0.5 * widths[widths.count - 3]
    var place = 0.5 * (low + high)
    if !isSlow, values.allowed.isFinite, values.refused.isFinite {
      place = low - values.allowed * width / (values.refused - values.allowed)
      // Close to an end, the bracket is closed from the other side.
      let margin = min(0.4 * tolerance, 0.25 * width)
      place = min(max(place, low + margin), high - margin)
    }
    guard isInteger else { return place }
    let (first, last) = (exp(low).rounded() + 1, exp(high).rounded() - 1)
    return log(min(max(exp(place).rounded(), first), last))
  }

  private func rounded(_ x: Double) -> Double { isInteger ? log(max(1, exp(x).rounded())) : x }
}
