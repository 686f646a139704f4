internal import Crypto
internal import CryptoExtras
internal import Foundation

/// An endless stream of secure random bytes in which every position can be asked for: the keystream
/// of AES-256 in counter mode (NIST SP 800-38A), block `i` being the cipher of the number `i`.
///
/// Bytes are made 64 KiB at a time, since one call of the cipher costs about half a microsecond
/// whatever it makes; a caller that walks forward pays for a call once in 4,096 blocks. The bytes
/// of a call are its only allocation.
public struct KeyStream {
  /// Bytes in a block of the cipher, the unit of position.
  package static let blockBytes = 16
  /// Blocks made by one call, unless stated otherwise: 64 KiB.
  package static let windowBlocks = 4096

  private let key: SymmetricKey
  /// What is encrypted: as many zeros as a call makes bytes.
  private let zeros: Data
  private var window = Data()
  private var windowStart: UInt128 = 0
  /// Where windows end that are made for one part of a stretch; see ``expect(_:of:)``.
  private var partEnd: UInt128 = 0

  /// Opens a run's stream for one purpose.
  ///
  /// - Parameters:
  ///   - key: The run's key.
  ///   - domain: What the stream is for.
  public init(_ key: some RunKey, domain: RandomnessDomain) {
    self.init(key, domain: domain, windowBlocks: KeyStream.windowBlocks)
  }

  /// Opens a run's stream for one purpose, to be read in pieces of a given size.
  ///
  /// - Parameters:
  ///   - key: The run's key.
  ///   - domain: What the stream is for.
  ///   - windowBlocks: Blocks made by one call: few where positions are asked for at random.
  package init(_ key: some RunKey, domain: RandomnessDomain, windowBlocks: Int) {
    self.init(key.derivedKey(for: domain).symmetric, windowBlocks: windowBlocks)
  }

  /// Opens the stream of a given cipher key, for tests against published vectors.
  package init(cipherKey: [UInt8]) {
    self.init(SymmetricKey(data: cipherKey), windowBlocks: KeyStream.windowBlocks)
  }

  private init(_ key: SymmetricKey, windowBlocks: Int) {
    precondition(windowBlocks > 0, "a window of \(windowBlocks) blocks")
    self.key = key
    zeros = Data(count: windowBlocks * KeyStream.blockBytes)
  }

  /// The two 64-bit words of a block.
  ///
  /// - Parameter block: The position, in blocks of 16 bytes.
  /// - Returns: Bytes 0 to 7 and 8 to 15 of the block, each read as a little-endian number.
  /// - Complexity: O(1); every 4,096th block of a forward walk makes 64 KiB.
  package mutating func words(at block: UInt128) -> (UInt64, UInt64) {
    let end = windowStart + UInt128(window.count / KeyStream.blockBytes)
    if block < windowStart || block >= end { refill(at: block) }
    let offset = Int(block - windowStart) * KeyStream.blockBytes
    // SAFETY: `offset` + 16 ≤ `window.count`, since `block` lies inside the window; the loads are
    // unaligned ones.
    return unsafe window.withUnsafeBytes { bytes in
      let first = unsafe bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
      let second = unsafe bytes.loadUnaligned(fromByteOffset: offset + 8, as: UInt64.self)
      return (UInt64(littleEndian: first), UInt64(littleEndian: second))
    }
  }

  /// Parts of a stretch, and what is left out of it, that are worth a call of the cipher: 4 KiB.
  private static let worthyBlocks: UInt128 = 256

  /// Says which part of a stretch will be read next, for a caller that leaves the rest of it to others.
  ///
  /// | part | bytes that are made |
  /// |---|---|
  /// | 4 KiB or more, and as much is left out | the part alone |
  /// | of a stretch that fits a window | a window from the stretch's start on |
  /// | any other | windows from where they are asked for, as ever |
  ///
  /// By the second rule ranks that read different parts of the same stretches make windows in the same
  /// steps, so that a step in which ranks wait for each other is held up by one call, not by two.
  ///
  /// - Parameters:
  ///   - part: Positions that will be read, in blocks.
  ///   - stretch: What they are a part of; the next stretch begins where it ends.
  package mutating func expect(_ part: Range<UInt128>, of stretch: Range<UInt128>) {
    let count = part.upperBound - part.lowerBound
    let all = stretch.upperBound - stretch.lowerBound
    let isExact = min(count, all - count) >= KeyStream.worthyBlocks
    partEnd = isExact ? part.upperBound : 0
    let end = windowStart + UInt128(window.count / KeyStream.blockBytes)
    let isThere = stretch.lowerBound >= windowStart && stretch.upperBound <= end
    let windowBlocks = UInt128(zeros.count / KeyStream.blockBytes)
    guard !isExact, !isThere, all <= windowBlocks else { return }
    refill(at: stretch.lowerBound)
  }

  /// Lends as many whole records from a position on as are at hand, at least one.
  ///
  /// - Parameters:
  ///   - block: The position of the first record, in blocks.
  ///   - size: Blocks in a record, at most what one call of the cipher makes.
  ///   - count: How many records are wanted, at least 1.
  ///   - body: Is lent the records' bytes.
  /// - Returns: The number of records lent, in 1 ... `count`.
  /// - Complexity: O(1) and the body's; a call of the cipher where the first record is not at hand.
  package mutating func withRecords(
    at block: UInt128, ofBlocks size: Int, atMost count: Int, _ body: (RawSpan) -> Void
  ) -> Int {
    precondition(
      count > 0 && size > 0 && size * KeyStream.blockBytes <= zeros.count,
      "\(count) records of \(size) blocks")
    let end = windowStart + UInt128(window.count / KeyStream.blockBytes)
    if block < windowStart || block + UInt128(size) > end { refill(at: block) }
    let offset = Int(block - windowStart) * KeyStream.blockBytes
    let recordBytes = size * KeyStream.blockBytes
    let lent = min(count, (window.count - offset) / recordBytes)
    body(window.bytes.extracting(offset..<offset + lent * recordBytes))
    return lent
  }

  private mutating func refill(at block: UInt128) {
    let counter = (0..<16).map { UInt8(truncatingIfNeeded: block >> UInt128(120 - 8 * $0)) }
    let wanted = block < partEnd ? Int(partEnd - block) * KeyStream.blockBytes : zeros.count
    let byteCount = min(wanted, zeros.count)
    do {
      let nonce = try AES._CTR.Nonce(nonceBytes: counter)
      window = try AES._CTR.encrypt(zeros.prefix(byteCount), using: key, nonce: nonce)
    } catch {
      preconditionFailure("AES-CTR refused a 32-byte key or a 16-byte counter: \(error)")
    }
    windowStart = block
  }
}

/// A stream read from its start, word by word, as a random number generator.
public struct StreamGenerator: RandomNumberGenerator {
  private var stream: KeyStream
  private var position: UInt128 = 0
  private var pending: UInt64?

  /// Reads a run's stream from its start.
  ///
  /// - Parameters:
  ///   - key: The run's key.
  ///   - domain: What the stream is for.
  public init(_ key: some RunKey, domain: RandomnessDomain) {
    stream = KeyStream(key, domain: domain)
  }

  /// The next 64 random bits.
  ///
  /// - Returns: A uniform number.
  public mutating func next() -> UInt64 {
    if let word = pending {
      pending = nil
      return word
    }
    let (first, second) = stream.words(at: position)
    position += 1
    pending = second
    return first
  }
}
