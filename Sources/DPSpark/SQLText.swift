/// Texts and names as Spark SQL has them, so that nothing in them can end the literal they stand in.
package enum SQLText {
  /// A text as a literal.
  ///
  /// Whatever Spark's parser could read as something else (quotes, backslashes, the `$` of variables,
  /// control characters) is written by its number.
  ///
  /// - Parameter text: Any text.
  /// - Returns: The literal, with its quotes.
  package static func literal(_ text: String) -> String {
    var literal = "'"
    for scalar in text.unicodeScalars {
      if isPlain(scalar) {
        literal.unicodeScalars.append(scalar)
      } else {
        let digits = String(scalar.value, radix: 16)
        literal += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      }
    }
    return literal + "'"
  }

  /// A name between backquotes.
  ///
  /// - Parameter name: A column, or a path.
  /// - Returns: The name, quoted.
  package static func name(_ name: String) -> String {
    "`" + name.reduce(into: "") { $0 += $1 == "`" ? "``" : String($1) } + "`"
  }

  /// A path as a pattern that fits this path only.
  ///
  /// - Parameter path: Of a file, as Spark lists it.
  /// - Returns: The path with the marks of Hadoop's patterns escaped.
  static func pattern(_ path: String) -> String {
    path.reduce(into: "") { $0 += "*?[]{}\\^,".contains($1) ? "\\\($1)" : String($1) }
  }

  /// A number as a literal of the same Double.
  ///
  /// - Parameter number: Finite.
  /// - Returns: The literal.
  package static func literal(_ number: Double) -> String {
    precondition(number.isFinite, "\(number) has no literal")
    return number.sign == .minus ? "(-\(number.magnitude)D)" : "\(number)D"
  }

  /// A text in which no character means anything to Java's regular expressions.
  static func regularExpression(_ character: Unicode.Scalar) -> String {
    let digits = String(character.value, radix: 16)
    return "\\x" + String(repeating: "0", count: 2 - digits.count) + digits
  }

  private static func isPlain(_ scalar: Unicode.Scalar) -> Bool {
    guard scalar.isASCII else { return true }
    switch scalar {
    case "a"..."z", "A"..."Z", "0"..."9", " ", "_", "-", ".", ",", ":", ";", "/", "=", "<", ">",
      "(",
      ")", "[", "]", "+", "*", "|", "?", "!", "^", "#", "@", "&", "~":
      return true
    default: return false
    }
  }
}
