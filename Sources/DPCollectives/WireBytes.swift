/// Numbers, texts and blocks, one behind the other: what messages between ranks are made of.
///
/// Numbers are little-endian; texts and blocks have their length before them.
struct ByteWriter {
  /// What was written so far.
  private(set) var bytes: [UInt8] = []

  /// Writes a number.
  mutating func number<Number: FixedWidthInteger>(_ value: Number) {
    for place in 0..<Number.bitWidth / 8 {
      bytes.append(UInt8(truncatingIfNeeded: value >> (8 * place)))
    }
  }

  /// Writes bytes whose number the reader knows.
  mutating func raw(_ block: [UInt8]) { bytes += block }

  /// Writes bytes after their number.
  mutating func block(_ block: [UInt8]) {
    number(UInt32(block.count))
    bytes += block
  }

  /// Writes a text.
  mutating func text(_ text: String) { block(Array(text.utf8)) }
}

/// Reads what a ``ByteWriter`` has written, and gives nil for bytes that end too soon.
struct ByteReader {
  private let bytes: [UInt8]
  private var place = 0

  /// Reads from the first byte on.
  init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// Whether all is read.
  var isAtEnd: Bool { place == bytes.count }

  /// The next number.
  mutating func number<Number: FixedWidthInteger>(_: Number.Type = Number.self) -> Number? {
    guard let raw = raw(Number.bitWidth / 8) else { return nil }
    return raw.reversed().reduce(Number(0)) { $0 << 8 | Number(truncatingIfNeeded: $1) }
  }

  /// The next bytes, so many.
  mutating func raw(_ count: Int) -> [UInt8]? {
    guard count >= 0, count <= bytes.count - place else { return nil }
    defer { place += count }
    return Array(bytes[place..<place + count])
  }

  /// The next bytes, as many as are said before them.
  mutating func block() -> [UInt8]? {
    number(UInt32.self).flatMap { raw(Int($0)) }
  }

  /// The next text; what is no UTF-8 is repaired.
  mutating func text() -> String? { block().map { String(decoding: $0, as: UTF8.self) } }
}
