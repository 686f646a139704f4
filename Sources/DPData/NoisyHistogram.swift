package import DPMechanisms

/// Counts of values in bins, released once with Gaussian noise.
///
/// One row adds 1 to at most one bin of each of k columns, so making it contribute nothing moves the
/// counts by at most √k in L2 norm, and m rows of one unit by at most m√k: the sensitivity that σ is
/// counted against. Replacing a row moves them by at most √(2k), which is charged as 2√k. Counts and
/// noise are multiples of a power of two before they are added (``NoiseGrid``), so that their sum is
/// exact; it is rounded to Double afterwards.
package struct NoisyHistogram {
  /// The L2 norm of what one row, or one unit, can add: m√k.
  package let sensitivity: Double
  /// κ: what rounding the counts to a grid coarser than 1 adds to the sensitivity; 0 for finer ones.
  package let excess: Double
  private let grid: NoiseGrid
  private let bins: Int

  /// Describes a release.
  ///
  /// - Parameters:
  ///   - bins: How many counts there are, at least 1.
  ///   - columns: k, at least 1.
  ///   - rowsPerUnit: m, at least 1.
  ///   - noiseMultiplier: σ > 0.
  package init(bins: Int, columns: Int, rowsPerUnit: Int, noiseMultiplier: Double) {
    self.bins = bins
    sensitivity = Double(rowsPerUnit) * Double(columns).squareRoot()
    grid = NoiseGrid(
      noiseScale: noiseMultiplier * sensitivity, clipNorm: sensitivity, parameters: bins)
    excess = grid.spacing <= 1 ? 0 : grid.roundingBound(parameters: bins) / sensitivity
  }

  /// The noise's standard deviation: σm√k.
  package var noiseScale: Double { grid.noiseScaleInUnits * grid.spacing }

  /// Releases counts.
  ///
  /// - Parameters:
  ///   - counts: As many as there are bins; below 2^40 each.
  ///   - key: Fresh for every release.
  /// - Returns: The counts with noise.
  package func release(_ counts: [Int], key: some RunKey) -> [Double] {
    precondition(counts.count == bins, "\(counts.count) counts of \(bins)")
    var source = GaussianNoise(key, coordinates: bins, grid: grid)
    var noise = [Int32](repeating: 0, count: bins)
    var span = noise.mutableSpan
    source.fill(&span, step: 0, from: 0)
    return zip(counts, noise).map { Double(units(of: $0) + Int128($1)) * grid.spacing }
  }

  /// A count in units of the grid: exact where the grid's spacing is at most 1.
  private func units(of count: Int) -> Int128 {
    grid.spacing <= 1
      ? Int128(count) * Int128(1 / grid.spacing)
      : Int128((Double(count) / grid.spacing).rounded())
  }
}
