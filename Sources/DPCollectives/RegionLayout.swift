/// Where things lie in the memory that ranks of a host share.
///
/// Words that different ranks write lie 128 bytes apart: processors fetch lines of 64 bytes in pairs.
package struct RegionLayout: Hashable, Sendable {
  /// Ranks that share the memory.
  package let ranks: Int
  /// Bytes of one ring of messages; a power of two.
  package let ringBytes: Int
  /// Bytes of a rank's vectors in the memory.
  package let vectorBytes: Int

  /// Longest vector that goes through slots, in bytes.
  static let slotBytes = 4096
  /// Bytes of a rank's place for parts of vectors that lie elsewhere.
  static let stagingBytes = 1 << 20
  private static let line = 128
  private static let page = 4096

  /// A layout.
  ///
  /// - Parameters:
  ///   - ranks: Ranks that share the memory.
  ///   - vectorBytes: Bytes that each rank may reserve for its own vectors.
  ///   - ringBytes: Bytes of one ring of messages; a power of two.
  package init(ranks: Int, vectorBytes: Int = 0, ringBytes: Int = 1 << 17) {
    precondition(ringBytes.nonzeroBitCount == 1, "\(ringBytes) is no power of two")
    self.ranks = ranks
    self.ringBytes = ringBytes
    self.vectorBytes = vectorBytes.roundedUp(to: RegionLayout.page)
  }

  private static let controlBytes = 4 * line
  private static let bankBytes = line + slotBytes

  /// The word that others change to tell a rank that messages came or space is free.
  func doorbell(_ rank: Int) -> Int { rank * RegionLayout.controlBytes }
  /// How many sleep on the rank's doorbell.
  func doorbellSleepers(_ rank: Int) -> Int { doorbell(rank) + 8 }
  /// The word that counts a rank's steps in direct operations, then twice, for odd counts and even
  /// ones, where its vector is and what operation it is in.
  func phase(_ rank: Int) -> Int { doorbell(rank) + RegionLayout.line }
  /// How many sleep on a word of the rank's own.
  func sleepers(_ rank: Int) -> Int { doorbell(rank) + 2 * RegionLayout.line }
  /// Whether the rank is there, its process at 4 and 8, and what it waits in at 16.
  func member(_ rank: Int) -> Int { doorbell(rank) + 3 * RegionLayout.line }

  private var slotsStart: Int { ranks * RegionLayout.controlBytes }
  /// A rank's slot in one of two banks: a count, a fingerprint at 8, the payload from 16.
  func slot(_ rank: Int, bank: Int) -> Int {
    slotsStart + (2 * rank + bank) * RegionLayout.bankBytes
  }

  private var ringsStart: Int {
    (slotsStart + 2 * ranks * RegionLayout.bankBytes).roundedUp(to: RegionLayout.page)
  }
  private var ringStride: Int { 2 * RegionLayout.line + ringBytes }
  /// The ring from one rank to another: bytes written, bytes read at 128, the bytes from 256.
  func ring(from sender: Int, to receiver: Int) -> Int {
    ringsStart + (sender * ranks + receiver) * ringStride
  }

  private var stagingStart: Int {
    (ringsStart + ranks * ranks * ringStride).roundedUp(to: RegionLayout.page)
  }
  /// A rank's place for parts of vectors that lie elsewhere.
  func staging(_ rank: Int) -> Int { stagingStart + rank * RegionLayout.stagingBytes }

  /// A rank's own vectors.
  func vectors(_ rank: Int) -> Int { staging(ranks) + rank * vectorBytes }

  /// Bytes of the whole.
  package var byteCount: Int { vectors(ranks) }
}

extension Int {
  /// The number rounded up to a multiple.
  func roundedUp(to multiple: Int) -> Int { dividedUp(by: multiple) * multiple }
}
