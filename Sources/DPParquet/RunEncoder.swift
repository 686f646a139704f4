/// Writes Parquet's hybrid of run lengths and bit packing.
///
/// Eight equal values or more become a run; the others are packed in groups of eight.
package struct RunEncoder {
  private(set) var bytes: [UInt8] = []
  private let width: Int
  /// Values that wait to be packed.
  private var packed: [UInt32] = []
  private var value: UInt32 = 0
  private var count = 0

  /// - Parameter width: Bits of a value, at most 32.
  init(width: Int) { self.width = width }

  /// The bits that numbers up to `highest` take.
  package static func width(of highest: Int) -> Int {
    Int.bitWidth - max(highest, 0).leadingZeroBitCount
  }

  /// Writes all values.
  package static func encode(_ values: some Sequence<UInt32>, width: Int) -> [UInt8] {
    var encoder = RunEncoder(width: width)
    for value in values { encoder.append(value) }
    return encoder.finish()
  }

  mutating func append(_ next: UInt32) {
    if count > 0 && next != value { endRun() }
    value = next
    count += 1
  }

  mutating func finish() -> [UInt8] {
    endRun()
    flushPacked()
    return bytes
  }

  private mutating func endRun() {
    // Packed values come in groups of eight: the run fills the group that is open.
    while count > 0 && (packed.count % 8 != 0 || count < 8) {
      packed.append(value)
      count -= 1
    }
    guard count > 0 else { return }
    flushPacked()
    varint(count << 1)
    for byte in 0..<(width + 7) / 8 { bytes.append(UInt8(truncatingIfNeeded: value >> (8 * byte))) }
    count = 0
  }

  private mutating func flushPacked() {
    guard !packed.isEmpty else { return }
    while packed.count % 8 != 0 { packed.append(0) }
    varint((packed.count / 8) << 1 | 1)
    var word: UInt64 = 0
    var bits = 0
    for value in packed {
      word |= UInt64(value) << UInt64(bits)
      bits += width
      while bits >= 8 {
        bytes.append(UInt8(truncatingIfNeeded: word))
        word >>= 8
        bits -= 8
      }
    }
    packed.removeAll(keepingCapacity: true)
  }

  private mutating func varint(_ value: Int) {
    var rest = value
    while rest >= 128 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 128)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }
}
