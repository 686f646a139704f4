package import DPKernels

/// The sum of per-example gradients, each first scaled to an L2 norm of at most C.
///
/// | example | contribution |
/// |---|---|
/// | a row that holds no example | zero |
/// | a gradient with an element or norm that is not finite | zero, and counted |
/// | layer inputs a with ‖a‖ · √outputs above 2¹¹⁸ C, too long for Float to scale | the same |
/// | norm at most C, or no bound | the gradient |
/// | norm above C | the gradient times C / norm, rounded down |
///
/// Rows are taken 16 at a time in the order given. A caller that compares two tables keeps a row
/// that contributes nothing in its place; then the two sums differ in one tile only, and in L2 norm
/// by at most C(1 + ``roundingExcess``) + √d·γ, γ being the grid's spacing:
///
/// * Norms are computed in Double from the same a and d that the products use, and the factor is
///   rounded down, so a contribution's exact norm is at most C up to a relative width · 2⁻⁵³; its two
///   roundings in Float (factor times d, that times a) add a relative 2 · 2⁻²⁴, and 2⁻³² C for each
///   layer where a factor times d is below the normal numbers.
/// * A Float sum of t = 16 terms of norm at most C is off by at most t² · 2⁻²⁴ · C, whatever its
///   order, and there are two sums to compare: 2t² · 2⁻²⁴.
/// * Rounding a tile's sum to the grid moves each of d coordinates by at most γ/2, twice.
/// * Between tiles sums are exact.
package struct ClippedGradientSum {
  /// The part of κ that does not depend on the grid: (2t² + 8) · 2⁻²⁴ for tiles of t = 16.
  package static let roundingExcess =
    Double(2 * Lanes.examples * Lanes.examples + 8) * 0x1p-24

  /// What a batch was like: un-noised facts about the data, for the operator alone.
  package struct Statistics: Hashable, Sendable {
    /// Rows that hold an example.
    package var examples = 0
    /// Examples that were scaled down.
    package var clipped = 0
    /// Examples whose gradient was not finite.
    package var nonFinite = 0
    /// The sum of their losses before the step.
    package var lossSum = 0.0

    package init() {}
  }

  /// C, or nil where nothing is clipped.
  package let clipNorm: Double?
  /// 1 / γ, or nil where sums are not rounded to a grid.
  package let unitsPerOne: Double?
  /// The running sum: d numbers, in units of the grid where there is one.
  package private(set) var sum: [Double]
  /// What the batch so far was like.
  package private(set) var statistics = Statistics()
  private let pass: TilePass

  /// Starts an empty sum.
  ///
  /// - Parameters:
  ///   - architecture: The network.
  ///   - clipNorm: C > 0, or nil not to clip.
  ///   - unitsPerOne: 1 / γ, a power of two, or nil not to round.
  package init(_ architecture: DenseArchitecture, clipNorm: Double?, unitsPerOne: Double?) {
    precondition(clipNorm.map { $0 > 0 && $0.isFinite } ?? true, "clip norm \(clipNorm ?? 0)")
    self.clipNorm = clipNorm
    self.unitsPerOne = unitsPerOne
    sum = [Double](repeating: 0, count: architecture.parameterCount)
    pass = TilePass(architecture)
  }

  /// Empties the sum.
  package mutating func reset() {
    for index in sum.indices { sum[index] = 0 }
    statistics = Statistics()
  }

  /// Adds the clipped gradients of some rows.
  ///
  /// - Parameters:
  ///   - rows: Indices of rows of `table`; tiles are cut from the first on.
  ///   - table: The examples.
  ///   - parameters: d numbers at which gradients are taken.
  /// - Complexity: About three multiply-adds for each parameter and row; no allocation of the size
  ///   of rows × parameters.
  package mutating func add(
    _ rows: Span<UInt32>, of table: ExampleTable, parameters: Span<Float>
  ) {
    precondition(parameters.count == sum.count, "\(parameters.count) of \(sum.count) parameters")
    var first = 0
    while first < rows.count {
      let end = min(first + Lanes.examples, rows.count)
      pass.forward(rows.extracting(first..<end), of: table, parameters)
      pass.backward(parameters)
      let (factors, broken) = factors()
      pass.addGradients(
        factors: factors, leavingOut: broken, unitsPerOne: unitsPerOne, to: &sum)
      first = end
    }
  }

  /// min(1, C / norm) for each lane, never rounded up; 0 where there is no example or no norm.
  ///
  /// The second value marks the lanes whose norm is not finite.
  private mutating func factors() -> (Lanes, SIMDMask<SIMD16<Int32>>) {
    let (squares, reach) = pass.squaredGradientNorms()
    let longestReach = clipNorm.map { $0 * 0x1p118 * ($0 * 0x1p118) } ?? .infinity
    let losses = pass.losses()
    var factors = Lanes()
    var broken = SIMDMask<SIMD16<Int32>>()
    for lane in 0..<Lanes.examples {
      let norm = squares[lane].squareRoot()
      let holdsExample = !pass.label(lane: lane).isNaN
      broken[lane] = !(norm.isFinite && reach[lane] <= longestReach)
      guard holdsExample else { continue }
      statistics.examples += 1
      guard !broken[lane] else {
        statistics.nonFinite += 1
        continue
      }
      statistics.lossSum += Double(losses[lane])
      factors[lane] = 1
      if let clipNorm, norm > clipNorm {
        statistics.clipped += 1
        factors[lane] = Float(clipNorm / norm)
        if Double(factors[lane]) * norm > clipNorm { factors[lane] = factors[lane].nextDown }
      }
    }
    return (factors, broken)
  }
}
