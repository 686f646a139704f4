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
  /// - Returns: The Float part, and √d·γ/C for the grid.
  static func excess(grid: NoiseGrid, clipNorm: Double, parameters: Int) -> Double {
    ClippedGradientSum.roundingExcess + grid.roundingBound(parameters: parameters) / clipNorm
  }
}
