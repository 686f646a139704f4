internal import DPData

/// A schema's condition in Spark SQL, whose logic with unknowns it shares.
struct ConditionSQL {
  /// True, false, or null where it is unknown.
  let expression: String
  /// The fields that are compared with numbers, each once.
  let numericFields: [FieldSQL]
  /// The fields that are compared with texts.
  let textFields: [FieldSQL]

  /// Writes a condition.
  ///
  /// - Parameters:
  ///   - condition: The condition.
  ///   - field: The field of each of its columns.
  init(_ condition: Condition, field: (String) -> FieldSQL) {
    var numeric: [FieldSQL] = []
    var texts: [FieldSQL] = []
    func sql(_ node: Condition.Node) -> String {
      switch node {
      case .comparison(let column, let comparison, .number(let number)):
        let field = field(column)
        if !numeric.contains(field) { numeric.append(field) }
        return "(\(field.number) \(comparison.sql) \(SQLText.literal(number)))"
      case .comparison(let column, let comparison, .text(let text)):
        let field = field(column)
        texts.append(field)
        // A missing field is no text to compare, though it has bytes.
        return "(CASE WHEN NOT \(field.isMissing) THEN \(field.text) \(comparison.sql) "
          + "\(SQLText.literal(text)) END)"
      case .not(let inner): return "(NOT \(sql(inner)))"
      case .and(let left, let right): return "(\(sql(left)) AND \(sql(right)))"
      case .or(let left, let right): return "(\(sql(left)) OR \(sql(right)))"
      }
    }
    expression = sql(condition.root)
    numericFields = numeric
    textFields = texts
  }
}

extension Condition.Comparison {
  /// The comparison's sign in SQL.
  fileprivate var sql: String { self == .notEqual ? "<>" : rawValue }
}

/// One field of a row of texts, and the names that the statement has for what is made of it.
struct FieldSQL: Hashable {
  /// The place of the field among those that are read.
  let index: Int
  /// The texts that stand for missing values, as a list of literals.
  private let missingTexts: String

  /// The field at a place, of tables in which some texts stand for missing values.
  init(index: Int, na: [String]) {
    self.index = index
    missingTexts = na.map { SQLText.literal($0) }.joined(separator: ", ")
  }

  /// The trimmed text; null where the row has no such field, or a Parquet table a null.
  var text: String { "t\(index)" }
  /// The double of a Parquet column of doubles.
  var double: String { "r\(index)" }
  /// Whether the field stands for a missing value: an expression and no name, since a name for each field would
  /// make rows longer that are copied more than once.
  var isMissing: String {
    "(\(text) IS NULL\(missingTexts.isEmpty ? "" : " OR \(text) IN (\(missingTexts))"))"
  }
  /// The number that the text is: infinite beyond the range of Double, null where it is none.
  var anyNumber: String { "d\(index)" }
  /// The number, where it is finite; null where the field is missing or no number.
  var number: String { "n\(index)" }

  /// When the field is at fault for not being a number.
  var isNoNumber: String { "NOT \(isMissing) AND \(number) IS NULL" }
}
