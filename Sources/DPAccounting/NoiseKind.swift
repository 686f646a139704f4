/// The kinds of noise that a step may add to its clipped sum.
public enum NoiseKind: String, Hashable, Sendable, Codable, CaseIterable {
  /// Normal values, computed in Double and rounded to the grid.
  case gaussian
  /// The discrete Gaussian on the grid, sampled exactly, without floating point.
  case discrete
}
