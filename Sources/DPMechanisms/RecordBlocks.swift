public import DPAccounting

/// The fixed blocks into which the records of a table are cut for sampling and for sharing out.
///
/// Blocks depend on public facts alone (n, and where it is given q), never on how many ranks or
/// threads there are, so that the sample of (step, block) is the same whoever draws it.
public struct RecordBlocks: Hashable, Sendable {
  /// The number of records in every block but the last, unless stated otherwise.
  public static let defaultSize = 16_384

  /// n, at most 2³².
  public let records: Int
  /// Records in every block but the last.
  public let size: Int

  /// Records that a block is to have drawn from it in a step, on average, if it can be made so.
  ///
  /// A block's words are made whether or not they are used; the more it needs, the closer to the
  /// mean its share can be.
  private static let usualDraws = 64.0
  /// The most records in a block that is chosen here.
  private static let largestSize = 1 << 24

  /// Cuts n records into blocks of a size that suits the rate they are sampled at.
  ///
  /// - Parameters:
  ///   - records: n, at least 0 and at most 2³².
  ///   - samplingRate: q. A step draws 64 records or more from a block, or the block is very large.
  public init(records: Int, samplingRate: SamplingRate) {
    var size = RecordBlocks.defaultSize
    while Double(size) * samplingRate.value < RecordBlocks.usualDraws,
      size < min(records, RecordBlocks.largestSize)
    {
      size *= 2
    }
    self.init(records: records, size: size)
  }

  /// Cuts n records into blocks.
  ///
  /// - Parameters:
  ///   - records: n, at least 0 and at most 2³².
  ///   - size: Records in a block, at least 1 and at most 2²⁷.
  public init(records: Int, size: Int = RecordBlocks.defaultSize) {
    precondition(records >= 0 && records <= 1 << 32, "\(records) records, at most 2^32")
    precondition(size > 0 && size <= 1 << 27, "blocks of \(size) records, at most 2^27")
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
