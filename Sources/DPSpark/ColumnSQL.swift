internal import DPData

/// One column of a schema in Spark SQL: how its field becomes a code.
///
/// A code is what a dataset's features are made of without another rounding: the feature itself of
/// a binary, numeric, ordinal or derived column, the index of the feature that is 1 for categorical and
/// hashed ones. All arithmetic is that of the native engine: on doubles, in the same order, rounded to a
/// float once.
package struct ColumnSQL {
  /// The longest list of texts that is written as a chain of comparisons.
  private static let longestChain = 16

  let column: Schema.Column
  /// Its field; nil for a derived column.
  let field: FieldSQL?
  /// The condition of a derived column.
  let condition: ConditionSQL?
  private let policy: Schema.MissingPolicy

  /// A column.
  ///
  /// - Parameters:
  ///   - column: Makes features, or is the label.
  ///   - schema: Declares it.
  ///   - field: The field of a column of the table.
  init(_ column: Schema.Column, _ schema: Schema, field: (String) -> FieldSQL) {
    self.column = column
    policy = schema.policy(of: column)
    condition = column.condition.map { ConditionSQL($0, field: field) }
    self.field = condition == nil ? field(column.name) : nil
  }

  /// Whether a row in which the column is missing is dropped.
  var drops: Bool { policy == .drop }

  /// Whether a further feature says that the value is missing.
  var indicates: Bool { policy == .indicator }

  /// The fields that are read as numbers.
  var numericFields: [FieldSQL] {
    isNumeric ? [field].compactMap(\.self) : condition?.numericFields ?? []
  }

  /// The field whose text is looked at.
  var textField: FieldSQL? { isNumeric ? nil : field }

  private var isNumeric: Bool {
    switch column.type {
    case .numeric, .standard: true
    default: false
    }
  }

  /// Whether the column's value is missing.
  var isMissing: String {
    field.map(\.isMissing) ?? condition.map { "\($0.expression) IS NULL" } ?? "false"
  }

  /// The code of the value: null where it is missing or not allowed.
  var code: String {
    if let condition {
      return
        "CASE WHEN \(condition.expression) THEN 1Y WHEN NOT \(condition.expression) THEN 0Y END"
    }
    guard let field else { return "NULL" }
    let code = code(text: field.text, number: field.number)
    return "CASE WHEN NOT \(field.isMissing) THEN \(code) END"
  }

  /// The code of a missing value: null where none is declared.
  var imputed: String? {
    guard policy != .drop, let text = column.impute else { return nil }
    let literal = SQLText.literal(text)
    return code(text: literal, number: Self.number(of: literal))
  }

  /// Why a value without a code is not allowed, where there are such values.
  var reason: RejectReason? {
    switch column.type {
    case .binary: .notBinary
    case .ordinal: .undeclaredCategory
    case .categorical(_, let other): other ? nil : .undeclaredCategory
    case .numeric, .standard, .hashed, .derived, .ignore: nil
    }
  }

  private func code(text: String, number: String) -> String {
    switch column.type {
    case .binary(nil), .derived: Self.bits(text)
    case .binary(let values?): "CAST(\(Self.index(of: text, in: values)) AS TINYINT)"
    case .numeric(let bounds): "CAST(\(Self.scaled(number, to: bounds)) AS FLOAT)"
    case .standard(let bounds, let mean, let deviation):
      "CAST((\(Self.clamped(number, to: bounds)) - \(SQLText.literal(mean))) / "
        + "\(SQLText.literal(deviation)) AS FLOAT)"
    case .ordinal(let categories):
      "CAST(2.0D * CAST(\(Self.index(of: text, in: categories)) AS DOUBLE) / "
        + "\(SQLText.literal(Double(categories.count - 1))) - 1.0D AS FLOAT)"
    case .categorical(let categories, let other):
      other
        ? "coalesce(\(Self.index(of: text, in: categories)), \(categories.count))"
        : Self.index(of: text, in: categories)
    case .hashed(let buckets):
      "CAST(shiftrightunsigned(xxhash64(\(text)), 11) % \(buckets)L AS INT)"
    case .ignore: preconditionFailure("the ignored column \(column.name) has no code")
    }
  }

  /// The number that a text is, by the grammar of the native engine: null for anything else, infinite
  /// beyond the range of Double.
  ///
  /// Of these characters Java reads the same numbers, correctly rounded; it would also take `1d`,
  /// `0x1p3` and `NaN`, which the characters leave out.
  ///
  /// - Parameter text: An expression.
  /// - Returns: An expression.
  package static func number(of text: String) -> String {
    "CASE WHEN NOT (\(text) RLIKE '[^-+.0-9eE]') THEN try_cast(\(text) AS DOUBLE) END"
  }

  /// `0` or `false`, `1` or `true`, in any letter case.
  static func bits(_ text: String) -> String {
    "CASE WHEN \(text) = '0' THEN 0Y WHEN \(text) = '1' THEN 1Y WHEN lower(\(text)) = 'false' "
      + "THEN 0Y WHEN lower(\(text)) = 'true' THEN 1Y END"
  }

  /// A number, clamped and scaled so that the bounds become -1 and 1, as a double.
  static func scaled(_ number: String, to bounds: ClosedRange<Double>) -> String {
    "2.0D * ((\(clamped(number, to: bounds)) - \(SQLText.literal(bounds.lowerBound))) / "
      + "\(SQLText.literal(bounds.upperBound - bounds.lowerBound))) - 1.0D"
  }

  /// By `CASE` and not `least` or `greatest`, so that zeros keep the sign that the native engine
  /// gives them; a null stays one.
  private static func clamped(_ number: String, to bounds: ClosedRange<Double>) -> String {
    let (lower, upper) = (SQLText.literal(bounds.lowerBound), SQLText.literal(bounds.upperBound))
    return "CASE WHEN \(number) <= \(lower) THEN \(lower) WHEN \(number) > \(upper) THEN \(upper) "
      + "ELSE \(number) END"
  }

  /// The place of a text among others, from 0; null where it is none of them.
  static func index(of text: String, in texts: [String]) -> String {
    if texts.count <= longestChain {
      let cases = texts.enumerated().map { "WHEN \(SQLText.literal($1)) THEN \($0)" }
      return "CASE \(text) \(cases.joined(separator: " ")) END"
    }
    let list = texts.map { SQLText.literal($0) }.joined(separator: ", ")
    return "CAST(nullif(array_position(array(\(list)), \(text)), 0L) - 1L AS INT)"
  }
}
