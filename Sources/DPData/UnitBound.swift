/// Bounds how many rows of each unit become training examples: the first m that could be.
///
/// Rows are asked about in the order of the table, each once. Whether a row is admitted depends on
/// the rows of its own unit alone: on how many of them came before and could be examples. So changing
/// all rows of one unit, or making them contribute nothing, moves no other unit's examples, and a
/// unit moves at most m.
///
/// Units are told apart by all their bytes, not by a hash, so that none can use up another's share.
@safe struct UnitBound {
  /// m.
  let limit: Int
  private var units = ByteKeyTable()
  private var counts: [Int32] = []

  /// A bound that no row has been counted against.
  ///
  /// - Parameter limit: m, at least 1.
  init(limit: Int) { self.limit = limit }

  /// Counts a row that could be a training example.
  ///
  /// - Parameter unit: The row's unit, trimmed; read within the call only.
  /// - Returns: Whether it is among the first m of its unit; if not, it must contribute nothing.
  /// - Complexity: O(bytes) expected, amortised; memory for each unit once.
  @unsafe mutating func admits(_ unit: UnsafeRawBufferPointer) -> Bool {
    let index = unsafe units.insert(unit)
    if index == counts.count { counts.append(0) }
    guard Int(counts[index]) < limit else { return false }
    counts[index] += 1
    return true
  }
}
