/// How the sums of a step are rounded.
public enum Numerics: String, Hashable, Sendable, Codable, CaseIterable {
  /// Products are fused with the sums that they go into where the processor can, and a tile's sum is
  /// taken in Float before it is rounded to the grid: the same bits for any number of threads, other
  /// last places on a processor with other instructions.
  case fast
  /// Every operation is rounded by itself, and every example's contribution is rounded to the grid
  /// before it is added: the same bits on every processor and for every cut of a batch into tiles,
  /// threads and ranks.
  case canonical
}
