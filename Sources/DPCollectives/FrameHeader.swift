/// What goes before the elements of every message: which message of which operation.
///
/// A receiver knows every field but for errors, so a frame that differs in any is one.
///
/// | bytes | field |
/// |---|---|
/// | 0..<4 | the letters "fDP1" |
/// | 4..<8 | generation: how often the group was started anew |
/// | 8..<16 | number of the operation since then |
/// | 16..<24 | fingerprint of the operation: kind, algorithm, count, element, ranks |
/// | 24..<28 | number of the message from its sender to its receiver in the operation |
/// | 28..<32 | sender |
/// | 32..<40 | bytes that follow |
///
/// All numbers are little-endian.
package struct FrameHeader: Hashable, Sendable {
  /// Bytes of a header.
  package static let byteCount = 40
  private static let letters: UInt32 = 0x3150_4466

  /// How often the group was started anew.
  package var generation: UInt32
  /// Number of the operation since then.
  package var sequence: UInt64
  /// What the operation is.
  package var fingerprint: UInt64
  /// Number of the message from its sender to its receiver in the operation.
  package var message: UInt32
  /// Rank that sends.
  package var sender: UInt32
  /// Bytes that follow.
  package var payload: UInt64

  /// A header.
  package init(
    generation: UInt32, sequence: UInt64, fingerprint: UInt64, message: UInt32, sender: UInt32,
    payload: UInt64
  ) {
    self.generation = generation
    self.sequence = sequence
    self.fingerprint = fingerprint
    self.message = message
    self.sender = sender
    self.payload = payload
  }

  /// Writes the header; `bytes` has room for it.
  package func write(to bytes: UnsafeMutableRawPointer) {
    // SAFETY: the fields end at byteCount, which the caller has room for.
    unsafe bytes.storeBytes(of: FrameHeader.letters.littleEndian, as: UInt32.self)
    unsafe bytes.storeBytes(of: generation.littleEndian, toByteOffset: 4, as: UInt32.self)
    unsafe bytes.storeBytes(of: sequence.littleEndian, toByteOffset: 8, as: UInt64.self)
    unsafe bytes.storeBytes(of: fingerprint.littleEndian, toByteOffset: 16, as: UInt64.self)
    unsafe bytes.storeBytes(of: message.littleEndian, toByteOffset: 24, as: UInt32.self)
    unsafe bytes.storeBytes(of: sender.littleEndian, toByteOffset: 28, as: UInt32.self)
    unsafe bytes.storeBytes(of: payload.littleEndian, toByteOffset: 32, as: UInt64.self)
  }

  /// Reads a header.
  ///
  /// - Parameter bytes: What came from a peer, in any length.
  /// - Returns: The header, or nil where these are not the first bytes of a frame.
  package static func parse(_ bytes: RawSpan) -> FrameHeader? {
    guard bytes.byteCount >= byteCount else { return nil }
    // SAFETY: all offsets lie below byteCount; any bits are a valid integer.
    func field<Field: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, _: Field.Type) -> Field {
      Field(littleEndian: unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: Field.self))
    }
    guard field(0, UInt32.self) == letters else { return nil }
    return FrameHeader(
      generation: field(4, UInt32.self), sequence: field(8, UInt64.self),
      fingerprint: field(16, UInt64.self), message: field(24, UInt32.self),
      sender: field(28, UInt32.self), payload: field(32, UInt64.self))
  }

  /// Why a frame is not the expected one; nil where it is.
  package func conflict(with expected: FrameHeader) -> String? {
    if self == expected { return nil }
    if generation != expected.generation {
      return "it is of generation \(generation), this rank of \(expected.generation)"
    }
    if sequence != expected.sequence {
      return "it is in operation \(sequence), this rank in \(expected.sequence)"
    }
    if fingerprint != expected.fingerprint {
      return "its operation \(sequence) has another kind, algorithm, length or element"
    }
    if sender != expected.sender { return "it calls itself rank \(sender)" }
    return "its message \(message) has \(payload) bytes, the one that is expected "
      + "is number \(expected.message) of \(expected.payload)"
  }
}
