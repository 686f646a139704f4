import DPKernels
import TestSupport
import Testing

@Suite struct GeometricWalkTests {
  private func randomWords(_ count: Int, seed: UInt64) -> [UInt64] {
    var generator = SeededGenerator(seed: seed)
    return (0..<count).map { _ in .random(in: .min ... .max, using: &generator) }
  }

  private func bytes(of words: [UInt64]) -> [UInt8] {
    words.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * UInt64($0))) } }
  }

  /// The records that words draw, given to the walk in pieces of some groups.
  private func draw(
    _ words: [UInt64], _ walk: GeometricWalk, variant: Int, groups: Int
  ) -> (records: [UInt32], isOver: Bool) {
    var walk = walk
    var records: [UInt32] = []
    for start in stride(from: 0, to: words.count, by: 8 * groups) {
      let piece = bytes(of: Array(words[start..<min(words.count, start + 8 * groups)]))
      var room = [UInt32](repeating: 7, count: piece.count / 8 + 2)
      var span = room.mutableSpan
      // SAFETY: the elements are bytes.
      let count = unsafe walk.draw(piece.span.bytes, into: &span, at: 1, variant: variant)
      #expect(room.first == 7 && room.last == 7)
      records += room[1..<1 + count]
    }
    return (records, walk.isOver)
  }

  /// Skips that are cut and not, blocks that end within a group and beyond the words.
  @Test(
    arguments: [1e-4, 0.01, 0.3], [(0, 1), (0, 40), (5, 1000), (4_294_900_000, 60_000)])
  func recordsAreTheDefinitions(rate: Double, block: (Int, Int)) {
    for longest in [1, 25, 800, 1 << 27] {
      for count in [0, 8, 16, 200] {
        let words = randomWords(count, seed: UInt64(count + longest))
        let walk = GeometricWalk(
          over: block.0..<block.0 + block.1, rate: rate, longest: longest)
        var reference = walk
        var expected: [UInt32] = []
        reference.reference(words, into: &expected)
        for variant in GeometricWalk.instructionSets.indices {
          for groups in [1, 3, 1000] {
            let result = draw(words, walk, variant: variant, groups: groups)
            #expect(result.records == expected && result.isOver == reference.isOver)
          }
        }
      }
    }
  }

  /// The sample depends on no machine: these are the records of the first words of a fixed sequence.
  @Test(arguments: GeometricWalk.instructionSets.indices)
  func recordsAreTheSameEverywhere(variant: Int) {
    let walk = GeometricWalk(over: 100..<100_000_000, rate: 0x1p-20, longest: 1 << 22)
    let result = draw(randomWords(16, seed: 1), walk, variant: variant, groups: 2)
    let expected: [UInt32] = [
      595_868, 903_439, 934_295, 1_784_819, 2_635_566, 2_919_349, 3_056_556, 3_736_081, 5_050_454,
      5_292_336, 6_242_334, 6_768_544, 7_594_397, 8_259_959, 9_130_479, 11_006_961,
    ]
    #expect(result.records == expected)
  }

  /// What the lowered rate pays for: 2⁻⁴⁸ where a logarithm is at most 9.
  ///
  /// The reference may be off by 2⁻⁵⁰ itself, and by 2⁻⁵² for rounding the word.
  @Test func logarithmsAreWithinTheirBound() {
    let ends: [UInt64] = [
      .max, .max - 1, .max - 2047, .max - 2048, 1 << 63, 1 << 63 - 1, 0xb504_f333_f9de_6484,
      0xb504_f333_f9de_6485, 0x5a82_7999_fcef_3242, 1 << 52, 1 << 52 - 1, 1 << 51 + 1, 2, 1, 0, 3,
    ]
    // Random words, also near 0 and near 2⁶⁴, where logarithms are long and short.
    let random = randomWords(60_000, seed: 3)
    let words = ends + random + random.map { $0 >> 11 } + random.map { ~($0 >> 20) }
    let values = GeometricWalk.negativeLogarithms(words)
    let wrong = zip(words, values).filter { word, value in
      let exact = GeometricWalk.negativeLogarithm(word)
      let bound = exact <= 9 ? 0x1p-48 + 0x1.8p-50 : 0x1p-45
      return !(value >= 0 && abs(value - exact) <= bound)
    }
    #expect(wrong.isEmpty, "\(wrong.prefix(3))")
    #expect(values[0] == 0)
  }

  @Test(arguments: [0, 1, 15, 1000], [0, 1, 1 << 30, .max] as [UInt32])
  func comparedRecordsAreThoseBelowTheThreshold(count: Int, threshold: UInt32) {
    let words = randomWords(count, seed: 9).map { UInt32(truncatingIfNeeded: $0) }
    let bytes = words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) }
    }
    var room = [UInt32](repeating: 0, count: count)
    var span = room.mutableSpan
    // SAFETY: the elements are bytes.
    let drawn = unsafe ComparedRecords.draw(
      bytes.span.bytes, below: threshold, from: 50, into: &span)
    #expect(
      Array(room[..<drawn])
        == words.indices.filter { words[$0] < threshold }.map { UInt32(50 + $0) })
  }
}
