import DPData
import TestSupport
import Testing

struct DecimalNumberTests {
  /// Reads a text as one number and as the loop over rows does, which may leave it open, but not say
  /// anything else.
  private func read(_ text: String) -> DecimalNumber.Outcome {
    let outcome = unsafe Array(text.utf8).withUnsafeBytes { unsafe DecimalNumber.read($0) }
    if let number = DecimalNumber.readInRows(text) {
      #expect(outcome == .number(number), "\(text)")
    }
    return outcome
  }

  @Test(arguments: [
    "0", "-0", "1", "+7.", ".5", "-3e2", "1E2", "1e-3", "99.999999999999999", "0.1", "1e22", "1e23",
    "9007199254740993", "123456789012345678901234567890", "2.2250738585072011e-308", "5e-324",
    "1e-400", "1.7976931348623157e308", "8.5e-23", "000000000000000000000000001", "1e+07",
    "0e999999999999999999999",
  ])
  func numbersAreRoundedCorrectly(text: String) throws {
    let expected = try #require(Double(text.hasSuffix(".") ? text + "0" : text))
    #expect(read(text) == .number(expected))
    #expect(DecimalNumber.parse(text).map(\.sign) == expected.sign)
  }

  /// The standard library's own conversion is the reference.
  @Test func anyPrintedNumberIsReadBack() {
    var random = SystemRandomNumberGenerator()
    for _ in 0..<20_000 {
      let value = Double(bitPattern: random.next())
      if value.isFinite { #expect(read("\(value)") == .number(value)) }
      let decimal =
        "\(Int.random(in: -99_999...99_999, using: &random))"
        + ".\(UInt32.random(in: 0...999_999, using: &random))"
      #expect(read(decimal) == .number(Double(decimal) ?? .nan))
    }
  }

  /// Numbers half way between two doubles, and next to that, with any number of digits.
  ///
  /// There rounding goes wrong first. scripts/check_decimals does this for ten million.
  @Test func hardNumbersAreRoundedCorrectly() {
    var random = SeededGenerator(seed: 3)
    for _ in 0..<5000 {
      let whole = UInt64.random(in: 1 << 52..<1 << 53, using: &random)
      let shift = Int.random(in: 1...11, using: &random)
      // Exactly representable in 64 bits, and a half, or all but a half, of the last place.
      let half = (whole << UInt64(shift)) + (1 << UInt64(shift - 1))
      for number in [half - 1, half, half + 1] {
        for text in ["\(number)", "\(number).000000000000000000000", "\(number)e0", "\(number).1"] {
          #expect(read(text) == .number(Double(text) ?? .nan), "\(text)")
        }
      }
      let digits = UInt64.random(in: 0...UInt64.max, using: &random)
      let text = "0.\(digits)\(digits)e\(Int.random(in: -340...330, using: &random))"
      let expected = Double(text) ?? .nan
      #expect(read(text) == (expected.isFinite ? .number(expected) : .notFinite), "\(text)")
    }
  }

  @Test(arguments: ["nan", "NaN", "-nan", "inf", "Infinity", "-INF", "1e999", "-1e309"])
  func nonFiniteIsNamed(text: String) { #expect(read(text) == .notFinite) }

  @Test(arguments: [
    "", " ", "+", "-", ".", "e5", "1e", "1e+", "0x10", "1_000", "1,5", "1 ", " 1", "--1", "1.2.3",
    "12a", "\u{663}", "1e5.0", "nano", "1\0",
  ])
  func anythingElseIsNoNumber(text: String) { #expect(read(text) == .notANumber) }
}
