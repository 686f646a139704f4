internal import DPKernels
internal import DPMechanisms
internal import DPModels

/// How far one row can move the clipped sum, rounding included: C(1 + κ).
enum Sensitivity {
  /// The largest κ that a plan may have.
  static let largestExcess = 1e-3

  /// κ of a network trained with given noise: see ``ClippedGradientSum`` for the proof.
  ///
  /// - Parameters:
  ///   - grid: The grid that sums are rounded to.
  ///   - clipNorm: C.
  ///   - parameters: d.
  ///   - numerics: How sums are rounded.
  /// - Returns: The Float part, and √d·γ/C for the grid, or half of it.
  static func excess(
    grid: NoiseGrid, clipNorm: Double, parameters: Int, numerics: Numerics
  ) -> Double {
    ClippedGradientSum.roundingExcess(numerics) + ClippedGradientSum.gridRoundings(numerics)
      * grid.roundingBound(parameters: parameters) / clipNorm
  }

  /// Whether sums stay among the integers that Double holds: a tile's below 2⁵¹ units before it is
  /// rounded, the whole batch's below 2⁵², noise included, even if every row is drawn.
  ///
  /// - Parameters:
  ///   - grid: The grid that sums are rounded to.
  ///   - clipNorm: C.
  ///   - examples: n.
  /// - Returns: Whether both hold.
  static func sumsAreExact(grid: NoiseGrid, clipNorm: Double, examples: Int) -> Bool {
    let units = clipNorm / grid.spacing * (1 + largestExcess)
    return units * Double(TilePass.tileExamples) < 0x1p51 && units * Double(examples) < 0x1p52
  }
}
