import DPData
import Testing

struct DecimalNumberTests {
  private func read(_ text: String) -> DecimalNumber.Outcome {
    unsafe Array(text.utf8).withUnsafeBytes { unsafe DecimalNumber.read($0) }
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

  @Test(arguments: ["nan", "NaN", "-nan", "inf", "Infinity", "-INF", "1e999", "-1e309"])
  func nonFiniteIsNamed(text: String) { #expect(read(text) == .notFinite) }

  @Test(arguments: [
    "", " ", "+", "-", ".", "e5", "1e", "1e+", "0x10", "1_000", "1,5", "1 ", " 1", "--1", "1.2.3",
    "12a", "\u{663}", "1e5.0", "nano", "1\0",
  ])
  func anythingElseIsNoNumber(text: String) { #expect(read(text) == .notANumber) }
}
