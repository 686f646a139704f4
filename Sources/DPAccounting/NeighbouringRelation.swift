/// Which two tables a guarantee makes indistinguishable.
///
/// | relation | tables | sensitivity of a sum of rows of norm at most C |
/// |---|---|---|
/// | `zero-out` | one row replaced by one that contributes nothing; n is public | C |
/// | `add-remove` | one row more or less; n itself is not covered | C |
/// | `replace` | one row replaced by any other; n is public | 2C |
///
/// `zero-out` and `add-remove` have the same numbers; `replace` costs more for the same noise.
/// Training offers no `add-remove`: rows are split and summed by their places, which a row more or
/// less would move.
public enum NeighbouringRelation: String, Hashable, Sendable, Codable, CaseIterable {
  /// One row is replaced by one that contributes nothing.
  case zeroOut = "zero-out"
  /// One row is added or removed.
  case addRemove = "add-remove"
  /// One row is replaced by any other.
  case replace
}
