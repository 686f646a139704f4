import DPData
import TestSupport
import Testing

/// Conditions say what SQL would say, and are written in one way.
struct ConditionTests {
  /// SQL's value of a condition for a row: true, false, or nil for unknown.
  static func reference(_ node: Condition.Node, _ row: [String: String]) -> Bool? {
    switch node {
    case .comparison(let column, let comparison, let literal):
      guard let field = row[column], field != "NA" else { return nil }
      let order: Int
      switch literal {
      case .number(let value):
        guard let number = Double(field) else { return nil }
        order = number < value ? -1 : number > value ? 1 : 0
      case .text(let text):
        let (left, right) = (Array(field.utf8), Array(text.utf8))
        order = left == right ? 0 : left.lexicographicallyPrecedes(right) ? -1 : 1
      }
      return switch comparison {
      case .equal: order == 0
      case .notEqual: order != 0
      case .less: order < 0
      case .lessOrEqual: order <= 0
      case .greater: order > 0
      case .greaterOrEqual: order >= 0
      }
    case .not(let inner): return reference(inner, row).map { !$0 }
    case .and(let left, let right):
      let (left, right) = (reference(left, row), reference(right, row))
      if left == false || right == false { return false }
      return left == nil || right == nil ? nil : true
    case .or(let left, let right):
      let (left, right) = (reference(left, row), reference(right, row))
      if left == true || right == true { return true }
      return left == nil || right == nil ? nil : false
    }
  }

  /// A random condition in one of many ways of writing.
  private func text(_ depth: Int, using random: inout SeededGenerator) -> String {
    guard depth > 0, Int.random(in: 0..<5, using: &random) > 0 else {
      let signs = ["=", "==", "!=", "<", "<=", ">", ">="]
      let sign = signs.randomElement(using: &random) ?? "="
      let isNumber = Bool.random(using: &random)
      let column = isNumber ? "n" : ["t", "`a b`"].randomElement(using: &random) ?? "t"
      let literals = isNumber ? ["-1", "0", "1.5e0"] : ["u", "'v w'", "\"\u{E9}\"", "'it''s'"]
      return "\(column)\(sign) \(literals.randomElement(using: &random) ?? "0")"
    }
    let inner = text(depth - 1, using: &random)
    switch Int.random(in: 0..<4, using: &random) {
    case 0: return "not (\(inner))"
    case 1: return "NOT \(inner)"
    case 2: return "(\(inner)) And \(text(depth - 1, using: &random))"
    default: return "\(inner) or (\(text(depth - 1, using: &random)))"
    }
  }

  @Test func theOneWayOfWritingReadsBack() throws {
    var random = SeededGenerator(seed: 5)
    for _ in 0..<500 {
      let condition = try Condition(text(4, using: &random))
      let again = try Condition(condition.description)
      #expect(again == condition && again.description == condition.description)
      #expect(again.hashValue == condition.hashValue)
    }
    let plain = try Condition("not (a=1 or b == 'x') and(`c d`>=2.50)")
    #expect(plain.description == "not (a = 1 or b = 'x') and `c d` >= 2.5")
    #expect(plain.columns == ["a", "b", "c d"])
  }

  /// The promise of prepare: a derived column is what SQL makes of the condition, for every mixture of
  /// missing and present values.
  @Test func derivedColumnsAreWhatSQLSays() throws {
    var random = SeededGenerator(seed: 7)
    let numbers = ["NA", "-1", "0", "1.50", "7"]
    let texts = ["NA", "u", "v w", "\u{E9}", "it's", "uu"]
    let rows = numbers.flatMap { n in
      texts.flatMap { t in texts.map { ["n": n, "t": t, "a b": $0] } }
    }
    let conditions = try (0..<40).map { _ in try Condition(text(4, using: &random)) }
    let derived = conditions.enumerated().map {
      Schema.Column(name: "d\($0)", type: .derived($1), missing: .indicator)
    }
    let schema = try Schema(
      label: "y", na: ["NA"], columns: [.init(name: "y", type: .binary(values: nil))] + derived)
    let lines = rows.enumerated().map {
      "\($0 % 2),\($1["n"] ?? ""),\"\($1["t"] ?? "")\",\"\($1["a b"] ?? "")\"\n"
    }
    let folder = try ScratchFolder()
    var options = PrepareOptions()
    options.testFraction = 0
    let data = try Dataset.prepare(
      tables: [folder.write("y,n,t,a b\n" + lines.joined(), to: "t.csv")], schema: schema,
      options: options
    ).dataset
    for (index, row) in rows.enumerated() {
      let expected = conditions.flatMap { condition -> [Float] in
        let value = Self.reference(condition.root, row)
        return [value == true ? 1 : 0, value == nil ? 1 : 0]
      }
      #expect(data.train.features(of: index) == expected, "row \(index)")
    }
  }

  @Test(arguments: [
    ("", "at character 1 of the condition: a comparison was expected"),
    ("a", "at character 2 of the condition: a comparison was expected; write =, !="),
    ("a >", "at character 4 of the condition: a number or a text was expected"),
    ("a > and", "at character 5 of the condition: a number or a text was expected; put 'and'"),
    ("1 < a", "at character 1 of the condition: a column was expected"),
    ("'a' = 1", "at character 1 of the condition: a column was expected"),
    ("a = `b`", "at character 5 of the condition: columns are compared with numbers"),
    ("a = 1 b = 2", "at character 7 of the condition: 'and', 'or' or the end was expected"),
    ("(a = 1", "at character 7 of the condition: the parenthesis that opens at character 1"),
    ("a = 1)", "at character 6 of the condition: a parenthesis closes that never opened"),
    ("a = 'x", "at character 5 of the condition: a quote opens here and is never closed"),
    ("a ! 1", "at character 3 of the condition: '!' stands alone; write != or not"),
    ("\u{E9} = 1 or", "at character 9 of the condition: a comparison was expected"),
    ("`` = 1", "at character 1 of the condition: a column has no name"),
  ])
  func aWrongConditionIsRefusedAtItsCharacter(text: String, message: String) {
    let error = #expect(throws: DataError.self) { _ = try Condition(text) }
    #expect(error?.code == .malformedSchema)
    #expect(error?.message.hasPrefix(message) == true, "\(error?.message ?? "")")
    #expect(error?.message.contains(";") == true)
  }

  @Test func depthAndLengthAreBounded() throws {
    func nested(_ depth: Int) -> String {
      String(repeating: "a = 1 or b = 1 and (", count: depth) + "c = 1"
        + String(repeating: ")", count: depth)
    }
    let deepest = try Condition(nested(16))
    #expect(try Condition(deepest.description) == deepest)
    #expect(throws: DataError.self) { _ = try Condition(nested(17)) }
    #expect(throws: DataError.self) {
      _ = try Condition(String(repeating: "not ", count: 17) + "a = 1")
    }
    let many = Array(repeating: "a = 1", count: 256)
    #expect(try Condition(many.joined(separator: " and ")).columns == ["a"])
    #expect(throws: DataError.self) {
      _ = try Condition((many + ["a = 1"]).joined(separator: " or "))
    }
  }
}
