import DPKernels
import TestSupport
import Testing

@Suite struct NormalUnitsTests {
  private func randomBytes(groups: Int, seed: UInt64) -> [UInt8] {
    var generator = SeededGenerator(seed: seed)
    return (0..<groups * NormalUnits.groupBytes).map { _ in
      UInt8.random(in: .min ... .max, using: &generator)
    }
  }

  private func units(
    _ bytes: [UInt8], scale: Double, _ fill: (RawSpan, Double, inout MutableSpan<Int32>) -> Void
  ) -> [Int32] {
    let count = bytes.count / NormalUnits.groupBytes * NormalUnits.groupValues
    var result = [Int32](repeating: 0, count: count)
    var span = result.mutableSpan
    // SAFETY: the elements are bytes.
    unsafe fill(bytes.span.bytes, scale, &span)
    return result
  }

  /// The values depend on no machine: these are the values of the first bytes of a fixed sequence.
  @Test(arguments: NormalUnits.available.indices)
  func bitsAreTheSameEverywhere(variant: Int) {
    let bytes = randomBytes(groups: 1, seed: 1)
    let values = units(bytes, scale: 0x1p27) {
      NormalUnits.available[variant].fill($0, scale: $1, into: &$2)
    }
    let expected: [Int32] = [
      48_395_135, -188_519_780, -77_600_437, -106_582_441, -101_951_811, 48_162_849, 85_102_490,
      -109_486_444, 160_218_765, 130_145_249, 90_212_880, 6_981_573, -204_498_328, 129_811_233,
      79_670_195, -158_074_668,
    ]
    #expect(values == expected)
  }

  @Test(arguments: [0, 1, 2, 3, 682], [1, 0x1.37p20, 0x1p27])
  func variantsGiveTheSameBits(groups: Int, scale: Double) {
    let bytes = randomBytes(groups: groups, seed: UInt64(groups))
    let all = NormalUnits.available.map { variant in
      units(bytes, scale: scale) { variant.fill($0, scale: $1, into: &$2) }
    }
    for values in all { #expect(values == all[0]) }
  }

  /// Off by 2⁻³⁸ of the scale before rounding: at a scale of 2²⁷, by 5e-4 units, so that about one
  /// value in 1,000 may round the other way, and none further.
  @Test(arguments: [0x1p20, 0x1.9p26, 0x1p27])
  func valuesAreTheDefinitions(scale: Double) {
    let bytes = randomBytes(groups: 4000, seed: 5)
    let fast = units(bytes, scale: scale) { NormalUnits.fastest.fill($0, scale: $1, into: &$2) }
    let reference = units(bytes, scale: scale) { NormalUnits.reference($0, scale: $1, into: &$2) }
    let differences = zip(fast, reference).map { abs($0 - $1) }
    #expect(differences.allSatisfy { $0 <= 1 })
    #expect(differences.count { $0 == 1 } <= fast.count / 1000)
  }

  /// The ends of the words' ranges, and the places where the computation changes its branch.
  @Test func extremeWordsGiveFiniteValues() {
    let words: [UInt64] = [
      0, 1, 2, .max, .max - 1, .max - 2048, 1 << 63, 1 << 63 - 1, 1 << 32, 1 << 32 - 1,
      0xb504_f333_f9de_6484, 0xb504_f333_f9de_6485, 0x5a82_7999_fcef_3242, 0xfff,
    ]
    let angles: [UInt32] = [0, 1, .max, 1 << 31, 1 << 30, 3 << 30, 1 << 29, 1 << 29 - 1]
    for scale in [0x1p20, 0x1p27] {
      for w in words {
        var bytes = (0..<8).flatMap { _ in (0..<8).map { UInt8(truncatingIfNeeded: w >> (8 * $0)) }
        }
        bytes += angles.flatMap { v in (0..<4).map { UInt8(truncatingIfNeeded: v >> (8 * $0)) } }
        let reference = units(bytes, scale: scale) {
          NormalUnits.reference($0, scale: $1, into: &$2)
        }
        for variant in NormalUnits.available {
          let values = units(bytes, scale: scale) { variant.fill($0, scale: $1, into: &$2) }
          #expect(zip(values, reference).allSatisfy { abs($0 - $1) <= 1 })
          #expect(values.allSatisfy { Double($0.magnitude) <= 9.42 * scale })
        }
      }
    }
    #expect(abs(NormalUnits.pair(0, 1 << 29).0 - 9.419) < 0.001)
  }

  @Test func aPartGoesWhereItIsAskedFor() {
    let bytes = randomBytes(groups: 2, seed: 9)
    let whole = units(bytes, scale: 1000) { NormalUnits.fastest.fill($0, scale: $1, into: &$2) }
    var shifted = [Int32](repeating: 7, count: 40)
    var span = shifted.mutableSpan
    // SAFETY: the elements are bytes.
    unsafe NormalUnits.fastest.fill(bytes.span.bytes, scale: 1000, into: &span, at: 5)
    #expect(shifted == [7, 7, 7, 7, 7] + whole + [7, 7, 7])
  }
}
