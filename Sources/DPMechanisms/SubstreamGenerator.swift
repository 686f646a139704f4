/// The words of one of many substreams: first its share of a stream, then a region of another.
///
/// Substreams do not overlap: a region of the overflow stream holds 2³⁴ words.
package struct SubstreamGenerator: RandomNumberGenerator {
  private var stream: KeyStream
  private var overflow: KeyStream
  private let blocks: Int
  private var substream: UInt128 = 0
  private var block = 0
  private var pending: UInt64?

  /// Opens the substreams of a run for one purpose.
  ///
  /// - Parameters:
  ///   - key: The run's key.
  ///   - domain: The stream that substreams have shares of.
  ///   - overflow: The stream that they have regions of.
  ///   - blocks: Cipher blocks of a share.
  package init(
    _ key: some RunKey, domain: RandomnessDomain, overflow: RandomnessDomain, blocks: Int
  ) {
    stream = KeyStream(key, domain: domain)
    // Overflows are far between, so that little of a longer window would be used.
    self.overflow = KeyStream(key, domain: overflow, windowBlocks: 32)
    self.blocks = blocks
  }

  /// Goes to the first word of a substream.
  ///
  /// - Parameter substream: Its index, below 2⁹⁴.
  package mutating func begin(_ substream: UInt128) {
    self.substream = substream
    block = 0
    pending = nil
  }

  /// The substream's next word.
  ///
  /// - Returns: A uniform number.
  package mutating func next() -> UInt64 {
    if let word = pending {
      pending = nil
      return word
    }
    let words =
      block < blocks
      ? stream.words(at: substream * UInt128(blocks) + UInt128(block))
      : overflow.words(at: substream << 33 + UInt128(block - blocks))
    block += 1
    pending = words.1
    return words.0
  }
}
