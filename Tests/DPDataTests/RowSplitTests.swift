import DPData
import DPFiles
import Testing

/// From python-xxhash 4.1.0:
/// `xxh64_intdigest(f"{key}:{row}".encode(), seed=42) >> 11 < round(fraction * 2**53)`.
struct RowSplitTests {
  @Test(arguments: [
    (0, [7, 20, 26, 27, 35, 41, 43, 48, 49, 56]),
    (-3, [0, 12, 16, 17, 22, 23, 24, 33, 34, 35, 41, 42, 46, 51, 53, 57]),
  ])
  func ordinalsSplitAsPublished(key: Int, expected: [Int]) {
    var split = RowSplit(key: key, testFraction: 0.2)
    #expect((0..<60).filter { split.isTest(ordinal: $0) } == expected)
  }

  @Test func unitsSplitAsPublished() {
    var split = RowSplit(key: 7, testFraction: 0.5)
    let names = ["ann", "bob", "cid", "dan", "eve", "fay", "gus", "hal", "ivy", "jon"]
    let test = names.filter { name in
      unsafe Array(name.utf8).withUnsafeBytes { unsafe split.isTest(unit: $0) }
    }
    #expect(test == ["bob", "cid", "eve", "fay", "hal"])
  }

  /// 100,000 rows: a fair split strays this far with probability below 1e-9.
  @Test(arguments: [0, 0.001, 0.2, 0.5, 0.999])
  func fractionIsKept(fraction: Double) {
    var split = RowSplit(key: 1, testFraction: fraction)
    let share = Double((0..<100_000).count { split.isTest(ordinal: $0) }) / 100_000
    #expect(abs(share - fraction) <= 6.2 * (fraction * (1 - fraction) / 100_000).squareRoot())
  }
}
