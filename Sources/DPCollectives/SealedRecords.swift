internal import CDPSystem
internal import Crypto

#if canImport(FoundationEssentials)
internal import FoundationEssentials
#else
internal import Foundation
#endif

/// Both keys of a connection, of which each belongs to one direction.
struct ConnectionKeys {
  /// What this end seals with.
  let sending: SymmetricKey
  /// What the other end seals with.
  let receiving: SymmetricKey

  /// The same keys, seen from the other end.
  var reversed: ConnectionKeys { ConnectionKeys(sending: receiving, receiving: sending) }

  /// Fresh keys, for two ends in one process.
  static var random: ConnectionKeys {
    ConnectionKeys(
      sending: SymmetricKey(size: .bits256), receiving: SymmetricKey(size: .bits256))
  }
}

/// Seals records of one direction of a connection: AES-256-GCM (NIST SP 800-38D), whose nonce counts
/// them, so that none can be read, changed, repeated, left out or put elsewhere.
struct RecordSealer {
  /// What a record is longer than its content.
  static let overhead = 16

  private let key: SymmetricKey
  private var count: UInt64 = 0

  init(_ key: SymmetricKey) { self.key = key }

  /// The next record.
  mutating func seal(
    _ content: some DataProtocol
  ) throws(CollectiveError) -> AES.GCM.SealedBox {
    defer { count += 1 }
    do {
      return try AES.GCM.seal(content, using: key, nonce: RecordSealer.nonce(count))
    } catch {
      throw CollectiveError(.system, "cannot encrypt: \(error)")
    }
  }

  fileprivate static func nonce(_ count: UInt64) throws -> AES.GCM.Nonce {
    try AES.GCM.Nonce(
      data: (0..<12).map { $0 < 4 ? 0 : UInt8(truncatingIfNeeded: count >> (8 * ($0 - 4))) })
  }
}

/// Opens what a ``RecordSealer`` has sealed, in its order.
struct RecordOpener {
  private let key: SymmetricKey
  private var count: UInt64 = 0

  init(_ key: SymmetricKey) { self.key = key }

  /// The content of the next record; nil where it is not the one that was sealed next.
  mutating func open(_ record: some DataProtocol) -> Data? {
    guard record.count >= RecordSealer.overhead,
      let nonce = try? RecordSealer.nonce(count),
      let box = try? AES.GCM.SealedBox(
        nonce: nonce, ciphertext: record.dropLast(RecordSealer.overhead),
        tag: record.suffix(RecordSealer.overhead)),
      let content = try? AES.GCM.open(box, using: key)
    else { return nil }
    count += 1
    return content
  }
}

extension Array where Element == UInt8 {
  /// Overwrites all bytes with zeros.
  mutating func erase() {
    unsafe withUnsafeMutableBytes { bytes in
      guard let base = bytes.baseAddress else { return }
      // SAFETY: the bytes are this array's own.
      unsafe cdp_erase(base, bytes.count)
    }
  }
}
