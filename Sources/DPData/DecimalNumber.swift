internal import CDPKernels

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
  /// A loop in C decides all numbers of up to 19 digits and nearly all others, by Clinger's and
  /// Lemire's algorithms (`decimal_body.h` has the sources); the standard library decides the rest.
  ///
  /// - Parameter bytes: Without surrounding whitespace; read within the call only.
  /// - Returns: What the text is; the empty text is not a number.
  /// - Complexity: O(bytes); some nanoseconds for common lengths.
  @unsafe package static func read(_ bytes: UnsafeRawBufferPointer) -> Outcome {
    if let start = bytes.baseAddress {
      let text = unsafe start.assumingMemoryBound(to: UInt8.self)
      var value = 0.0
      if unsafe cdp_decimal(text, text + bytes.count, &value) == 1 { return .number(value) }
    }
    var scanner = unsafe Scanner(bytes: bytes)
    guard scanner.isNumber() else {
      return unsafe namesNonFinite(bytes) ? .notFinite : .notANumber
    }
    guard let value = Double(unsafe String(decoding: bytes, as: UTF8.self)) else {
      return .notANumber
    }
    return value.isFinite ? .number(value) : .notFinite
  }

  /// Reads a number as the loop over rows does; for tests.
  ///
  /// - Parameter text: Without surrounding whitespace.
  /// - Returns: The number, or nil where the loop leaves it to ``read(_:)``.
  package static func readInRows(_ text: String) -> Double? {
    let padding = [UInt8](repeating: 0x39, count: Int(CDP_SCAN_PADDING))
    let bytes = padding + Array(text.utf8) + padding
    var value = 0.0
    // SAFETY: the padding is what the loop asks for; the buffer is read within the closure only.
    let isRead = unsafe bytes.withUnsafeBufferPointer { buffer in
      guard let start = unsafe buffer.baseAddress.map({ unsafe $0 + padding.count }) else {
        return false
      }
      return unsafe cdp_decimal_in_rows(start, start + text.utf8.count, &value) == 1
    }
    return isRead ? value : nil
  }

  /// The grammar, for texts that the loop in C leaves open.
  @safe private struct Scanner {
    let bytes: UnsafeRawBufferPointer
    let count: Int
    var position = 0

    init(bytes: UnsafeRawBufferPointer) {
      unsafe self.bytes = bytes
      count = bytes.count
    }

    /// Whether the whole text follows the grammar.
    mutating func isNumber() -> Bool {
      takeSign()
      var digits = takeDigits()
      if take(UInt8(ascii: ".")) { digits += takeDigits() }
      guard digits > 0 else { return false }
      if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
        takeSign()
        guard takeDigits() > 0 else { return false }
      }
      return position == count
    }

    private mutating func take(_ byte: UInt8) -> Bool {
      guard position < count, unsafe bytes[position] == byte else { return false }
      position += 1
      return true
    }

    private mutating func takeSign() {
      if !take(UInt8(ascii: "-")) { _ = take(UInt8(ascii: "+")) }
    }

    private mutating func takeDigits() -> Int {
      let start = position
      while position < count, unsafe bytes[position] &- UInt8(ascii: "0") < 10 { position += 1 }
      return position - start
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
