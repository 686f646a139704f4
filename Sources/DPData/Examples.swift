package import DPKernels

/// The rows of one split, in the order of the table.
///
/// In the training split every raw row has its slot. A row that was missing or rejected is a slot
/// of zeros without a label: the trainer may draw it like any other, and it contributes nothing. So
/// ``count`` and every other row's place do not depend on what is in a row. The test split holds
/// only rows that were kept.
public struct Examples: Sendable {
  /// The rows in memory, as kernels read them; keeps the memory alive.
  package let table: ExampleTable

  init(table: ExampleTable) { self.table = table }

  /// How many slots there are; for the training split, the raw rows (n).
  public var count: Int { table.count }
  /// How many features a row has.
  public var features: Int { table.width }

  /// The features of a row.
  ///
  /// - Parameter row: 0 up to ``count``.
  /// - Returns: As many numbers as ``features``; all 0 where there is no example.
  public func features(of row: Int) -> [Float] { table.features(of: row) }

  /// The label of a row.
  ///
  /// - Parameter row: 0 up to ``count``.
  /// - Returns: A class index, or a number scaled to [-1, 1]; nil where there is no example.
  public func label(of row: Int) -> Float? {
    let label = table.label(of: row)
    return label.isNaN ? nil : label
  }
}
