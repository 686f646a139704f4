/// Decimal numbers as tables write them, read to the nearest Double.
///
/// The grammar is `[+-] digits [. digits] [e [+-] digits]`, with digits on at least one side of the
/// point; nothing else: no hexadecimal, no thousands separators, no NaN, no infinity.
package enum DecimalNumber {
  /// What a text is.
  package enum Outcome: Equatable {
    /// A finite number, correctly rounded (ties to even).
    case number(Double)
    /// NaN, infinity, or digits beyond the range of Double.
    case notFinite
    /// Anything else.
    case notANumber
  }

  private static let exactPowers: [Double] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
  ]

  /// Reads a text that must be a finite number as a whole.
  ///
  /// - Parameter text: Without surrounding whitespace.
  /// - Returns: The number, or nil.
  package static func parse(_ text: String) -> Double? {
    // SAFETY: the buffer is read within the closure only.
    let outcome = unsafe Array(text.utf8).withUnsafeBytes { unsafe read($0) }
    return if case .number(let value) = outcome { value } else { nil }
  }

  /// Reads a number.
  ///
  /// Up to 2^53 in the digits and 22 in the exponent, one exact division or product gives the
  /// correctly rounded result (Clinger 1990, "How to read floating point numbers accurately");
  /// all else goes to the standard library.
  ///
  /// - Parameter bytes: Without surrounding whitespace; read within the call only.
  /// - Returns: What the text is; the empty text is not a number.
  /// - Complexity: O(bytes); some nanoseconds for common lengths.
  @unsafe package static func read(_ bytes: UnsafeRawBufferPointer) -> Outcome {
    var scanner = unsafe Scanner(bytes: bytes)
    guard scanner.scan() else {
      return unsafe namesNonFinite(bytes) ? .notFinite : .notANumber
    }
    let exponent = scanner.exponent
    let mantissa = scanner.mantissa
    if scanner.isExact, mantissa <= 1 << 53, exponent >= -22, exponent <= 22 {
      let magnitude =
        exponent < 0
        ? Double(mantissa) / exactPowers[-exponent] : Double(mantissa) * exactPowers[exponent]
      return .number(scanner.isNegative ? -magnitude : magnitude)
    }
    guard let value = Double(unsafe String(decoding: bytes, as: UTF8.self)) else {
      return .notANumber
    }
    return value.isFinite ? .number(value) : .notFinite
  }

  /// The parts of a number, found in one pass.
  @safe private struct Scanner {
    let bytes: UnsafeRawBufferPointer
    let count: Int
    var position = 0
    var isNegative = false
    /// The digits as an integer, if ``isExact``.
    var mantissa: UInt64 = 0
    /// The power of ten that the mantissa is to be multiplied by, if ``isExact``.
    var exponent = 0
    /// Whether mantissa and exponent hold all of the text.
    var isExact = true

    init(bytes: UnsafeRawBufferPointer) {
      unsafe self.bytes = bytes
      count = bytes.count
    }

    /// Whether the whole text follows the grammar.
    mutating func scan() -> Bool {
      isNegative = takeSign()
      var digits = takeDigits()
      if take(UInt8(ascii: ".")) {
        let fraction = takeDigits()
        exponent = -fraction
        digits += fraction
      }
      guard digits > 0 else { return false }
      if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
        let negative = takeSign()
        guard let power = takePower() else { return false }
        exponent += negative ? -power : power
      }
      return position == count
    }

    private mutating func take(_ byte: UInt8) -> Bool {
      guard position < count, unsafe bytes[position] == byte else { return false }
      position += 1
      return true
    }

    private mutating func takeSign() -> Bool {
      if take(UInt8(ascii: "-")) { return true }
      _ = take(UInt8(ascii: "+"))
      return false
    }

    /// Takes digits into the mantissa and counts them.
    private mutating func takeDigits() -> Int {
      let start = position
      while position < count {
        let digit = unsafe bytes[position] &- UInt8(ascii: "0")
        guard digit < 10 else { break }
        if mantissa < 1 << 58 {
          mantissa = mantissa &* 10 &+ UInt64(digit)
        } else {
          isExact = false
        }
        position += 1
      }
      return position - start
    }

    /// Takes the digits after `e`; large ones saturate, and are left to the standard library.
    private mutating func takePower() -> Int? {
      let start = position
      var power = 0
      while position < count {
        let digit = unsafe bytes[position] &- UInt8(ascii: "0")
        guard digit < 10 else { break }
        power = min(power * 10 + Int(digit), 1_000_000)
        position += 1
      }
      return position > start ? power : nil
    }
  }

  /// Whether a text that is no number is a name of NaN or infinity, for a better message.
  @unsafe private static func namesNonFinite(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard bytes.count <= 9 else { return false }
    var text = unsafe String(decoding: bytes, as: UTF8.self).lowercased()
    if text.hasPrefix("+") || text.hasPrefix("-") { text.removeFirst() }
    return ["nan", "inf", "infinity"].contains(text)
  }
}
