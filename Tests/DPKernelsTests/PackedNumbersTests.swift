import DPKernels
import Testing

/// Numbers that are packed come back as they were, or are said not to fit.
struct PackedNumbersTests {
  private static let lengths = [0, 1, 3, 7, 8, 9, 15, 16, 17, 31, 511, 512, 513, 1000, 5000]

  private func whole(_ index: Int) -> Double {
    [0, 1, -1, 2_147_483_647, -2_147_483_648, 77_777, -123_456_789][index % 7]
  }

  @Test(arguments: lengths) func numbersComeBack(count: Int) {
    let numbers = (0..<count).map(whole)
    var packed = [Int32](repeating: 5, count: count)
    var span = packed.mutableSpan
    #expect(PackedNumbers.pack(numbers.span, into: &span))
    #expect(packed.map(Double.init) == numbers)
    var sum = (0...count).map { Double($0) * 0.5 }
    var sums = sum.mutableSpan
    PackedNumbers.add(packed.span, to: &sums)
    #expect(sum == (0...count).map { Double($0) * 0.5 + ($0 < count ? whole($0) : 0) })
  }

  @Test(arguments: [
    0.5, 2_147_483_648, -2_147_483_649, 1e300, -0x1p52, .infinity, -.infinity, .nan, 0x1p-1074,
  ])
  func whatDoesNotFitIsSaid(number: Double) {
    for count in Self.lengths where count > 0 {
      for place in Set([0, count / 2, count - 1]) {
        var numbers = (0..<count).map(whole)
        numbers[place] = number
        var packed = [Int32](repeating: 0, count: count)
        var span = packed.mutableSpan
        #expect(!PackedNumbers.pack(numbers.span, into: &span), "\(number) at \(place) of \(count)")
      }
    }
  }
}
