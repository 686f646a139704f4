/// The fixed blocks into which the records of a table are cut for sampling and for sharing out.
///
/// Blocks depend on n alone, never on how many ranks or threads there are, so that the sample of
/// (step, block) is the same whoever draws it.
public struct RecordBlocks: Hashable, Sendable {
  /// The number of records in every block but the last, unless stated otherwise.
  public static let defaultSize = 16_384

  /// n, at most 2³².
  public let records: Int
  /// Records in every block but the last.
  public let size: Int

  /// Cuts n records into blocks.
  ///
  /// - Parameters:
  ///   - records: n, at least 0 and at most 2³².
  ///   - size: Records in a block, at least 1.
  public init(records: Int, size: Int = RecordBlocks.defaultSize) {
    precondition(records >= 0 && records <= 1 << 32, "\(records) records, at most 2^32")
    precondition(size > 0, "blocks of \(size) records")
    self.records = records
    self.size = size
  }

  /// The number of blocks, ⌈n / size⌉.
  public var count: Int { (records + size - 1) / size }

  /// The records of a block.
  ///
  /// - Parameter block: In 0 ..< ``count``.
  /// - Returns: A range that is not empty.
  public func range(of block: Int) -> Range<Int> {
    precondition(block >= 0 && block < count, "block \(block) of \(count)")
    return block * size..<min(records, (block + 1) * size)
  }
}
