internal import CDPKernels
internal import Foundation

extension GeometricWalk {
  /// What ``draw(_:into:at:variant:)`` does, by the C library's logarithm: the definition.
  ///
  /// - Parameters:
  ///   - words: Uniform and independent.
  ///   - records: Where the records drawn are appended.
  package mutating func reference(_ words: [UInt64], into records: inout [UInt32]) {
    var place = position
    for word in words where place < range.count {
      let skip = GeometricWalk.negativeLogarithm(word) / rate
      guard skip < Double(longest) else {
        place += longest
        continue
      }
      place += Int(skip)
      if place < range.count { records.append(UInt32(range.lowerBound + place)) }
      place += 1
    }
    move(to: min(place, range.count))
  }

  /// −ln((w + 1) · 2⁻⁶⁴).
  package static func negativeLogarithm(_ word: UInt64) -> Double {
    // Above 2⁶³ the other end is the exact one: (w + 1) · 2⁻⁶⁴ = 1 − (2⁶⁴ − 1 − w) · 2⁻⁶⁴.
    word >> 63 == 1 ? -log1p(-Double(~word) * 0x1p-64) : -log((Double(word) + 1) * 0x1p-64)
  }

  /// The same for groups of words, as the variants compute it.
  package static func negativeLogarithms(_ words: [UInt64]) -> [Double] {
    var values = [Double](repeating: 0, count: words.count)
    let bytes = words.flatMap { word in
      (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * UInt64($0))) }
    }
    precondition(words.count % groupWords == 0, "\(words.count) words")
    // SAFETY: both arrays hold as many whole groups as are named.
    unsafe bytes.withUnsafeBufferPointer { source in
      unsafe values.withUnsafeMutableBufferPointer { target in
        guard let from = source.baseAddress, let to = target.baseAddress else { return }
        unsafe cdp_negative_logarithms(from, words.count / groupWords, to)
      }
    }
    return values
  }
}
