internal import Foundation

extension NormalUnits {
  /// What ``fill(_:scale:into:)`` computes, by the C library's functions: the definition.
  ///
  /// | w, the pair's 64-bit word | v, its 32-bit word |
  /// |---|---|
  /// | radius √(−2 ln((w + 1) · 2⁻⁶⁴)) | quarter turn by the top two bits |
  /// | low 12 bits: the low end of the angle | low 30 bits: the high end of the angle |
  ///
  /// - Parameters:
  ///   - bytes: Uniform and independent; a multiple of ``groupBytes``.
  ///   - scale: The standard deviation, in (0, ``largestScale``].
  ///   - units: Overwritten; ``groupValues`` for each group.
  package static func reference(
    _ bytes: RawSpan, scale: Double, into units: inout MutableSpan<Int32>
  ) {
    for group in 0..<bytes.byteCount / groupBytes {
      for lane in 0..<groupValues / 2 {
        let start = group * groupBytes
        let w = word(bytes, start + 8 * lane, bytes: 8)
        let v = word(bytes, start + groupBytes * 2 / 3 + 4 * lane, bytes: 4)
        let pair = pair(w, UInt32(v))
        let index = group * groupValues + lane
        units[index] = Int32((pair.0 * scale).rounded(.toNearestOrEven))
        units[index + groupValues / 2] = Int32((pair.1 * scale).rounded(.toNearestOrEven))
      }
    }
  }

  /// Two independent standard normal values.
  ///
  /// - Parameters:
  ///   - w: Uniform.
  ///   - v: Uniform, independent of `w`.
  /// - Returns: Values of magnitude at most 9.42.
  package static func pair(_ w: UInt64, _ v: UInt32) -> (Double, Double) {
    // (w + 1) · 2⁻⁶⁴ lies in (0, 1]: Double keeps all bits of a small w, where tails come from.
    let radius = (-2 * log((Double(w) + 1) * 0x1p-64)).squareRoot()
    let fraction = UInt64(v & 0x3fff_ffff) << 12 | w & 0xfff
    let angle = Double.pi / 2 * ((Double(fraction) + 0.5) * 0x1p-42 - 0.5)
    let signed = v >> 31 == 0 ? radius : -radius
    let pair = (signed * cos(angle), signed * sin(angle))
    return v >> 30 & 1 == 0 ? pair : (pair.1, pair.0)
  }

  private static func word(_ bytes: RawSpan, _ offset: Int, bytes count: Int) -> UInt64 {
    (0..<count).reduce(0) { $0 | UInt64(bytes.byte(at: offset + $1)) << (8 * UInt64($1)) }
  }
}

extension RawSpan {
  fileprivate func byte(at offset: Int) -> UInt8 {
    precondition(offset >= 0 && offset < byteCount, "byte \(offset) of \(byteCount)")
    // SAFETY: the offset is within bounds, and any byte is a UInt8.
    return unsafe unsafeLoad(fromUncheckedByteOffset: offset, as: UInt8.self)
  }
}
