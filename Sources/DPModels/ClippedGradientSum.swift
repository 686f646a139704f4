package import DPKernels

/// The sum of per-example gradients, each first scaled to an L2 norm of at most C.
///
/// | example | contribution |
/// |---|---|
/// | a row that holds no example | zero |
/// | a gradient with an element or norm that is not finite in Float | zero, and counted |
/// | layer inputs a with √(‖a‖² + 1) · √outputs above 2⁵⁶ c, too long for Float | the same |
/// | no bound | the gradient |
/// | any other | the gradient times the factor of its ``Clipping`` rule, rounded down |
///
/// c is C, per layer C/√L, and with ``Clipping/automatic`` at most its 0.01.
///
/// Rows are taken t = 272 at a time in the order given. A caller that compares two tables keeps a row
/// that contributes nothing in its place; then the two sums differ in one tile only, and in L2 norm
/// by at most C(1 + ``roundingExcess(_:)``) + √d·γ·``gridRoundings(_:)``, γ being the grid's spacing:
///
/// * Norms are taken in Float from the same a and d that the products use, what rounding may have taken
///   from them is added back, and factors are rounded down (``TilePass/clip(to:by:)``). So a
///   contribution's exact norm is at most C, by whichever rule; its two roundings in Float (factor times d, that times a)
///   add a relative 2 · 2⁻²⁴, and 2⁻³² C for each layer where a factor times d is below the normal
///   numbers.
/// * With ``Numerics/canonical`` that is then rounded to the grid by itself, which moves each of d
///   coordinates by at most γ/2, and all sums are exact: the rows that differ are all that differs.
/// * With ``Numerics/fast`` in a tile's Float sum any one term meets at most r = t/16 + 5 roundings (one panel of 16 after the
///   other, then the lanes by halves), so a sum of t terms of norm at most C is off by at most
///   t · r · 2⁻²⁴ · C in L2 norm, and there are two sums to compare: 2 t r · 2⁻²⁴.
/// * Rounding that sum to the grid moves each of d coordinates by at most γ/2, twice.
/// * Between tiles sums are exact.
package final class ClippedGradientSum {
  /// t, the most examples that are summed in Float before they are added exactly.
  package static func tileExamples(_ numerics: Numerics) -> Int {
    switch numerics {
    case .fast: TilePass.tileExamples
    case .canonical: 1
    }
  }

  /// The part of κ that does not depend on the grid: 8 · 2⁻²⁴ for the contribution, 2 t r · 2⁻²⁴ for
  /// sums of t > 1 examples.
  package static func roundingExcess(_ numerics: Numerics) -> Double {
    let t = tileExamples(numerics)
    let roundings = TileKernels.sumRoundings(panels: t / Lanes.examples)
    let ofSums = t > 1 ? 2 * t * roundings : 0
    // The last factor covers terms of second order in 2⁻²⁴.
    return Double(ofSums + 8) * 0x1p-24 * 1.01
  }

  /// By how many spacings of the grid a coordinate may move: half a one for a sum that is rounded, in
  /// either of two tables, or for the one contribution that differs.
  package static func gridRoundings(_ numerics: Numerics) -> Double {
    switch numerics {
    case .fast: 1
    case .canonical: 0.5
    }
  }

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

    /// Adds another batch's.
    package mutating func add(_ other: Statistics) {
      examples += other.examples
      clipped += other.clipped
      nonFinite += other.nonFinite
      lossSum += other.lossSum
    }
  }

  /// C, or nil where nothing is clipped.
  package let clipNorm: Double?
  /// How gradients are brought to C.
  package let clipping: Clipping
  /// 1 / γ, or nil where sums are not rounded to a grid.
  package let unitsPerOne: Double?
  /// The running sum: d numbers, in units of the grid where there is one.
  package private(set) var sum: [Double]
  /// What the batch so far was like.
  package private(set) var statistics = Statistics()
  private let pass: TilePass
  private static let doubles = VectorSum(of: .float64)

  /// Starts an empty sum.
  ///
  /// - Parameters:
  ///   - architecture: The network.
  ///   - clipNorm: C > 0, or nil not to clip.
  ///   - clipping: How gradients are brought to C.
  ///   - unitsPerOne: 1 / γ, a power of two, or nil not to round.
  ///   - kernels: The loops to use.
  package init(
    _ architecture: DenseArchitecture, clipNorm: Double?, clipping: Clipping = .flat,
    unitsPerOne: Double?,
    kernels: TileKernels = .fastest()
  ) {
    precondition(clipNorm.map { $0 > 0 && $0.isFinite } ?? true, "clip norm \(clipNorm ?? 0)")
    self.clipNorm = clipNorm
    self.clipping = clipping
    self.unitsPerOne = unitsPerOne
    sum = [Double](repeating: 0, count: architecture.parameterCount)
    pass = TilePass(architecture, kernels: kernels)
  }

  /// Empties the sum.
  package func reset() {
    var total = exchange(&sum, with: [])
    for index in total.indices { total[index] = 0 }
    sum = total
    resetStatistics()
  }

  /// Forgets what the batch was like; the sum stays.
  package func resetStatistics() { statistics = Statistics() }

  /// Adds the clipped gradients of some rows.
  ///
  /// - Parameters:
  ///   - rows: Indices of rows of `table`; tiles are cut from the first on.
  ///   - table: The examples.
  ///   - parameters: d numbers at which gradients are taken.
  /// - Complexity: About three multiply-adds for each parameter and row; no allocation.
  package func add(_ rows: Span<UInt32>, of table: ExampleTable, parameters: Span<Float>) {
    let none: [UInt32] = []
    for tile in 0..<ClippedGradientSum.tiles(of: rows.count) {
      add(tile: tile, of: rows, table: table, parameters: parameters, upcoming: none.span)
    }
  }

  /// The tiles that some rows are cut into.
  ///
  /// - Parameter rows: How many.
  /// - Returns: ⌈rows / t⌉.
  package static func tiles(of rows: Int) -> Int {
    (rows + TilePass.tileExamples - 1) / TilePass.tileExamples
  }

  /// Adds the clipped gradients of one tile of some rows.
  ///
  /// - Parameters:
  ///   - tile: Below ``tiles(of:)``.
  ///   - rows: Indices of rows of `table`.
  ///   - table: The examples.
  ///   - parameters: d numbers at which gradients are taken.
  ///   - upcoming: Rows that will be needed soon, at most a tile's.
  package func add(
    tile: Int, of rows: Span<UInt32>, table: ExampleTable, parameters: Span<Float>,
    upcoming: Span<UInt32>
  ) {
    var total = exchange(&sum, with: [])
    var span = total.mutableSpan
    add(
      tile: tile, of: rows, table: table, parameters: parameters, upcoming: upcoming, to: &span)
    sum = total
  }

  /// Adds the clipped gradients of one tile of some rows to a sum that is kept elsewhere.
  ///
  /// - Parameters:
  ///   - tile: Below ``tiles(of:)``.
  ///   - rows: Indices of rows of `table`.
  ///   - table: The examples.
  ///   - parameters: d numbers at which gradients are taken.
  ///   - upcoming: Rows that will be needed soon, at most a tile's.
  ///   - sum: d numbers, in units of the grid, and whatever follows them.
  package func add(
    tile: Int, of rows: Span<UInt32>, table: ExampleTable, parameters: Span<Float>,
    upcoming: Span<UInt32>, to sum: inout MutableSpan<Double>
  ) {
    precondition(parameters.count <= sum.count, "\(parameters.count) of \(sum.count) parameters")
    let first = tile * TilePass.tileExamples
    let end = min(first + TilePass.tileExamples, rows.count)
    pass.forward(rows.extracting(first..<end), of: table, parameters, upcoming: upcoming)
    pass.backward(parameters)
    let counts = pass.clip(to: clipNorm, by: clipping)
    statistics.examples += counts.examples
    statistics.clipped += counts.clipped
    statistics.nonFinite += counts.broken
    statistics.lossSum += counts.lossSum
    let longest = clipNorm.map { $0 * (1 + 0x1p-20) } ?? .infinity
    pass.addGradients(counts, longest: longest, unitsPerOne: unitsPerOne, to: &sum)
  }

  /// Adds another sum, of other tiles of the same batch.
  ///
  /// - Parameter other: A sum for the same network and grid.
  package func add(_ other: ClippedGradientSum) {
    precondition(
      other !== self && sum.count == other.sum.count,
      "\(other.sum.count) of \(sum.count) parameters")
    // SAFETY: both arrays live through the call, have the same length, and are not the same.
    unsafe sum.withUnsafeMutableBytes { total in
      unsafe other.sum.withUnsafeBytes { others in
        guard let to = total.baseAddress, let from = others.baseAddress else { return }
        unsafe ClippedGradientSum.doubles.add(from, into: to, count: total.count / 8)
      }
    }
    statistics.add(other.statistics)
  }
}
