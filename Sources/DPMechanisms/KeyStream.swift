internal import Crypto
internal import CryptoExtras
internal import Foundation

/// An endless stream of secure random bytes in which every position can be asked for: the keystream
/// of AES-256 in counter mode (NIST SP 800-38A), block `i` being the cipher of the number `i`.
///
/// Bytes are made 64 KiB at a time, since one call of the cipher costs about half a microsecond
/// whatever it makes; a caller that walks forward pays for a call once in 4,096 blocks.
public struct KeyStream {
  /// Bytes in a block of the cipher, the unit of position.
  package static let blockBytes = 16
  /// Blocks made by one call.
  private static let windowBlocks = 4096
  private static let zeros = Data(count: windowBlocks * blockBytes)

  private let key: SymmetricKey
  private var window = Data()
  private var windowStart: UInt128 = 0

  /// Opens a run's stream for one purpose.
  ///
  /// - Parameters:
  ///   - key: The run's key.
  ///   - domain: What the stream is for.
  public init(_ key: some RunKey, domain: RandomnessDomain) {
    self.key = key.derivedKey(for: domain).symmetric
  }

  /// Opens the stream of a given cipher key, for tests against published vectors.
  package init(cipherKey: [UInt8]) {
    key = SymmetricKey(data: cipherKey)
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

  private mutating func refill(at block: UInt128) {
    let counter = (0..<16).map { UInt8(truncatingIfNeeded: block >> UInt128(120 - 8 * $0)) }
    do {
      let nonce = try AES._CTR.Nonce(nonceBytes: counter)
      window = try AES._CTR.encrypt(KeyStream.zeros, using: key, nonce: nonce)
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
