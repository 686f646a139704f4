/// JSON that keeps the order of its keys and can say null.
package indirect enum JSONValue: Sendable {
  /// `null`.
  case null
  /// `true` or `false`.
  case bool(Bool)
  /// An integer.
  case integer(Int)
  /// A number; NaN and infinity, which JSON lacks, become `null`.
  case number(Double)
  /// A text.
  case string(String)
  /// Values in order.
  case array([JSONValue])
  /// Keys with their values, in order.
  case object([(String, JSONValue)])

  /// A number, or null.
  package static func optional(_ value: Double?) -> JSONValue {
    value.map(JSONValue.number) ?? .null
  }

  /// The value as JSON text.
  ///
  /// - Parameter indented: Whether every member has a line of its own.
  /// - Returns: Text without a final line end.
  package func text(indented: Bool = false) -> String {
    var text = ""
    write(to: &text, indentation: indented ? 0 : nil)
    return text
  }

  private func write(to text: inout String, indentation: Int?) {
    switch self {
    case .null: text += "null"
    case .bool(let value): text += value ? "true" : "false"
    case .integer(let value): text += "\(value)"
    case .number(let value): text += value.isFinite ? JSONValue.shortest(value) : "null"
    case .string(let value): JSONValue.quote(value, into: &text)
    case .array(let values):
      let members = values.map { (String?.none, $0) }
      JSONValue.write(members, "[", "]", to: &text, indentation: indentation)
    case .object(let values):
      let members = values.map { (String?.some($0.0), $0.1) }
      JSONValue.write(members, "{", "}", to: &text, indentation: indentation)
    }
  }

  private static func write(
    _ members: [(key: String?, value: JSONValue)], _ open: String, _ close: String,
    to text: inout String, indentation: Int?
  ) {
    text += open
    let inner = indentation.map { $0 + 2 }
    func line(_ depth: Int?) {
      if let depth { text += "\n" + String(repeating: " ", count: depth) }
    }
    for (index, member) in members.enumerated() {
      if index > 0 { text += indentation == nil ? ", " : "," }
      line(inner)
      if let key = member.key {
        quote(key, into: &text)
        text += ": "
      }
      member.value.write(to: &text, indentation: inner)
    }
    if !members.isEmpty { line(indentation) }
    text += close
  }

  /// The shortest text that reads back as the same number, whole numbers without a point.
  private static func shortest(_ value: Double) -> String {
    value == value.rounded() && abs(value) < 1e15 ? "\(Int(value))" : "\(value)"
  }

  private static func quote(_ value: String, into text: inout String) {
    text += "\""
    for scalar in value.unicodeScalars {
      switch scalar {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case "\n": text += "\\n"
      case "\t": text += "\\t"
      case "\r": text += "\\r"
      case ..<" ":
        let digits = String(scalar.value, radix: 16)
        text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: text.unicodeScalars.append(scalar)
      }
    }
    text += "\""
  }
}
