internal import DPFiles
internal import DPKernels

/// A hash of a dataset's rows that its shards' hashes add up to, modulo 2⁶⁴.
///
/// Training slots count in blocks of ``DatasetShard/alignment``, each with its place in the whole;
/// test rows count one by one, in any order.
enum ContentHash {
  private static let testSeed = UInt64.max

  /// The part of training slots.
  ///
  /// - Parameters:
  ///   - table: Consecutive slots.
  ///   - firstRow: The place of the first in the whole: a multiple of the alignment, or any place
  ///     where there is no slot.
  /// - Returns: The part.
  /// - Complexity: O(bytes), several GB/s.
  static func train(_ table: ExampleTable, firstRow: Int) -> UInt64 {
    let size = DatasetShard.alignment
    return stride(from: 0, to: table.count, by: size).reduce(0) { sum, first in
      let rows = table.rows(first..<min(first + size, table.count))
      return sum &+ hash(rows, seed: UInt64((firstRow + first) / size))
    }
  }

  /// The part of test rows.
  ///
  /// - Parameter table: Any rows of the test split.
  /// - Returns: The part.
  /// - Complexity: O(bytes), some 20 ns a row.
  static func test(_ table: ExampleTable) -> UInt64 {
    (0..<table.count).reduce(0) { $0 &+ hash(table.rows($1..<$1 + 1), seed: testSeed) }
  }

  private static func hash(_ rows: ExampleTable, seed: UInt64) -> UInt64 {
    // SAFETY: the bytes are read within the call.
    unsafe rows.withBytes { features, labels in
      unsafe XXH64.hash(labels, seed: XXH64.hash(features, seed: seed))
    }
  }
}
