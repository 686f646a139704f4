/// A condition on a row: comparisons of columns with numbers or texts, joined by `and`, `or`, `not`.
///
///     educ >= 13 and not (sex = female or `marital status` != 'never married')
///
/// | part | written as |
/// |---|---|
/// | a column | its name; between backquotes where it holds spaces or signs |
/// | a number | as in a table: `13`, `-1.5e3` |
/// | a text | between quotes of either kind, doubled within; or bare, where it is one word and no number |
/// | a comparison | column, then `=` (or `==`), `!=`, `<`, `<=`, `>`, `>=`, then a number or a text |
/// | logic | `not` before `and` before `or`, in any letter case; parentheses |
///
/// A comparison with a number reads the field as a number by the table reader's rule and compares
/// Doubles; a field that is no number is a fault of the row. A comparison with a text compares UTF-8
/// bytes, also for `<` and the like. A missing field makes a comparison *unknown*; logic with unknowns
/// is SQL's: `not unknown` is unknown, `false and unknown` is false, `true or unknown` is true.
public struct Condition: Hashable, Sendable, CustomStringConvertible {
  /// How a field is compared.
  package enum Comparison: String, Hashable, Sendable {
    case equal = "="
    case notEqual = "!="
    case less = "<"
    case lessOrEqual = "<="
    case greater = ">"
    case greaterOrEqual = ">="
  }

  /// What a field is compared with.
  package enum Literal: Hashable, Sendable {
    /// A finite number.
    case number(Double)
    /// A text, without surrounding whitespace.
    case text(String)
  }

  /// A node of the condition's tree.
  package indirect enum Node: Hashable, Sendable {
    case comparison(column: String, Comparison, Literal)
    case not(Node)
    case and(Node, Node)
    case or(Node, Node)
  }

  /// The whole condition.
  package let root: Node
  /// Texts that were written without quotes, which a schema checks not to be columns.
  let bareTexts: Set<String>

  /// Reads a condition.
  ///
  /// - Parameter text: The condition; at most 256 comparisons, parentheses at most 16 deep.
  /// - Throws: ``DataError`` `malformedSchema` naming the character, counted from 1, and the remedy.
  public init(_ text: String) throws(DataError) {
    var parser = ConditionParser(text)
    root = try parser.parse()
    bareTexts = parser.bareTexts
  }

  /// Whether two conditions are the same tree, however they were written.
  ///
  /// - Parameters:
  ///   - left: A condition.
  ///   - right: Another.
  /// - Returns: Whether they are.
  public static func == (left: Condition, right: Condition) -> Bool { left.root == right.root }

  /// Feeds the tree to a hasher.
  ///
  /// - Parameter hasher: Gets the tree.
  public func hash(into hasher: inout Hasher) { hasher.combine(root) }

  /// The columns that are compared, each once, in the order of their first mention.
  public var columns: [String] {
    var names: [String] = []
    root.forEachComparison { name, _ in if !names.contains(name) { names.append(name) } }
    return names
  }

  /// The texts that fields are compared with.
  var texts: [String] {
    var texts: [String] = []
    root.forEachComparison { if case .text(let text) = $1 { texts.append(text) } }
    return texts
  }

  /// The condition in one fixed way of writing, which ``init(_:)`` reads back.
  public var description: String { root.text(within: 0) }
}

extension Condition.Node {
  /// Visits comparisons from left to right.
  fileprivate func forEachComparison(_ body: (String, Condition.Literal) -> Void) {
    switch self {
    case .comparison(let column, _, let literal): body(column, literal)
    case .not(let inner): inner.forEachComparison(body)
    case .and(let left, let right), .or(let left, let right):
      left.forEachComparison(body)
      right.forEachComparison(body)
    }
  }

  /// The node's text, in parentheses where it binds less than its surroundings: or 1, and 2, not 3.
  fileprivate func text(within binding: Int) -> String {
    switch self {
    case .comparison(let column, let comparison, let literal):
      "\(column.conditionName) \(comparison.rawValue) \(literal.text)"
    case .not(let inner): "not \(inner.text(within: 3))"
    case .and(let left, let right):
      parenthesised("\(left.text(within: 2)) and \(right.text(within: 3))", binding > 2)
    case .or(let left, let right):
      parenthesised("\(left.text(within: 1)) or \(right.text(within: 2))", binding > 1)
    }
  }

  private func parenthesised(_ text: String, _ needed: Bool) -> String {
    needed ? "(\(text))" : text
  }
}

extension Condition.Literal {
  fileprivate var text: String {
    switch self {
    case .number(let value): value.shortText
    case .text(let text): "'\(text.doubling("'"))'"
    }
  }
}

extension String {
  /// A column's name as a condition has it.
  fileprivate var conditionName: String {
    let isWord = utf8.allSatisfy { byte in
      byte == UInt8(ascii: "_") || (byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9"))
        || (byte | 0x20 >= UInt8(ascii: "a") && byte | 0x20 <= UInt8(ascii: "z"))
    }
    let isPlain =
      isWord && utf8.first.map { $0 > UInt8(ascii: "9") } ?? false
      && !ConditionParser.keywords.contains(lowercased())
    return isPlain ? self : "`\(doubling("`"))`"
  }

  /// The text with a character doubled.
  fileprivate func doubling(_ mark: Character) -> String {
    reduce(into: "") { $0 += $1 == mark ? "\(mark)\(mark)" : String($1) }
  }
}

extension Double {
  /// The shortest text that reads back as this number, whole numbers without a point.
  var shortText: String {
    magnitude < 1e15 && rounded() == self ? "\(Int(self))" : "\(self)"
  }
}

/// Reads a condition by recursive descent.
struct ConditionParser {
  /// The words that join comparisons.
  static let keywords = ["and", "or", "not"]
  private static let mostComparisons = 256
  /// Depth of parentheses and `not`s: what is evaluated then needs a stack of 34 places.
  static let deepest = 16

  private enum Token: Equatable {
    case word(String)
    case column(String)
    case text(String)
    case comparison(Condition.Comparison)
    case open
    case close
    case end
  }

  private let bytes: [UInt8]
  private var position = 0
  private var token = Token.end
  /// Where the current token begins.
  private var start = 0
  private var depth = 0
  private var comparisons = 0
  private(set) var bareTexts: Set<String> = []

  init(_ text: String) { bytes = Array(text.utf8) }

  mutating func parse() throws(DataError) -> Condition.Node {
    try advance()
    let node = try disjunction()
    switch token {
    case .end: return node
    case .close: throw error("a parenthesis closes that never opened; remove it")
    default: throw error("'and', 'or' or the end was expected; join comparisons by one of them")
    }
  }

  private mutating func disjunction() throws(DataError) -> Condition.Node {
    var node = try conjunction()
    while try takeKeyword("or") { node = .or(node, try conjunction()) }
    return node
  }

  private mutating func conjunction() throws(DataError) -> Condition.Node {
    var node = try factor()
    while try takeKeyword("and") { node = .and(node, try factor()) }
    return node
  }

  private mutating func factor() throws(DataError) -> Condition.Node {
    let isNegated = try takeKeyword("not")
    guard isNegated || token == .open else { return try comparison() }
    depth += 1
    guard depth <= Self.deepest else {
      throw error("parentheses or nots are more than \(Self.deepest) deep; write it flatter")
    }
    defer { depth -= 1 }
    if isNegated { return .not(try factor()) }
    let opening = start
    try advance()
    let node = try disjunction()
    guard token == .close else {
      throw error(
        token == .end
          ? "the parenthesis that opens at character \(character(opening)) is never closed; close it"
          : "'and', 'or' or ')' was expected; join comparisons by one of them")
    }
    try advance()
    return node
  }

  private mutating func comparison() throws(DataError) -> Condition.Node {
    comparisons += 1
    guard comparisons <= Self.mostComparisons else {
      throw error("there are more than \(Self.mostComparisons) comparisons; split the condition")
    }
    let column = try column()
    guard case .comparison(let comparison) = token else {
      throw error("a comparison was expected; write =, !=, <, <=, > or >= after the column")
    }
    try advance()
    return .comparison(column: column, comparison, try literal())
  }

  private mutating func column() throws(DataError) -> String {
    let name: String
    switch token {
    case .column(let text): name = text.trimmed
    case .word(let text) where DecimalNumber.parse(text) == nil && !isKeyword(text): name = text
    case .text, .word:
      throw error(
        "a column was expected; begin a comparison with a column's name, in backquotes where it "
          + "holds spaces or is a number")
    default: throw error("a comparison was expected; write one such as age >= 18")
    }
    guard !name.isEmpty else { throw error("a column has no name; write one in the backquotes") }
    try advance()
    return name
  }

  private mutating func literal() throws(DataError) -> Condition.Literal {
    let literal: Condition.Literal
    switch token {
    case .text(let text): literal = .text(text.trimmed)
    case .word(let text) where isKeyword(text):
      throw error("a number or a text was expected; put '\(text)' in quotes if it is one")
    case .word(let text):
      if let number = DecimalNumber.parse(text) {
        literal = .number(number)
      } else {
        bareTexts.insert(text)
        literal = .text(text)
      }
    case .column:
      throw error("columns are compared with numbers and texts only; put a text in quotes")
    default: throw error("a number or a text was expected; write one after the comparison")
    }
    try advance()
    return literal
  }

  private func isKeyword(_ text: String) -> Bool { Self.keywords.contains(text.lowercased()) }

  private mutating func takeKeyword(_ keyword: String) throws(DataError) -> Bool {
    guard case .word(let text) = token, text.lowercased() == keyword else { return false }
    try advance()
    return true
  }

  // MARK: - Tokens

  private mutating func advance() throws(DataError) {
    while position < bytes.count, bytes[position].isASCIISpace { position += 1 }
    start = position
    guard position < bytes.count else {
      token = .end
      return
    }
    switch bytes[position] {
    case UInt8(ascii: "("): token = single(.open)
    case UInt8(ascii: ")"): token = single(.close)
    case UInt8(ascii: "`"): token = .column(try quoted("`"))
    case UInt8(ascii: "'"): token = .text(try quoted("'"))
    case UInt8(ascii: "\""): token = .text(try quoted("\""))
    case UInt8(ascii: "="), UInt8(ascii: "!"), UInt8(ascii: "<"), UInt8(ascii: ">"):
      token = .comparison(try sign())
    default: token = .word(word())
    }
  }

  private mutating func single(_ token: Token) -> Token {
    position += 1
    return token
  }

  private mutating func sign() throws(DataError) -> Condition.Comparison {
    let first = bytes[position]
    position += 1
    let isDouble = position < bytes.count && bytes[position] == UInt8(ascii: "=")
    if isDouble { position += 1 }
    switch first {
    case UInt8(ascii: "="): return .equal
    case UInt8(ascii: "<"): return isDouble ? .lessOrEqual : .less
    case UInt8(ascii: ">"): return isDouble ? .greaterOrEqual : .greater
    default:
      guard isDouble else { throw error("'!' stands alone; write != or not") }
      return .notEqual
    }
  }

  /// The text between marks, of which two stand for one.
  private mutating func quoted(_ mark: Unicode.Scalar) throws(DataError) -> String {
    let mark = UInt8(ascii: mark)
    var text: [UInt8] = []
    position += 1
    while position < bytes.count {
      if bytes[position] == mark {
        position += 1
        guard position < bytes.count, bytes[position] == mark else {
          return String(decoding: text, as: UTF8.self)
        }
      }
      text.append(bytes[position])
      position += 1
    }
    throw error("a quote opens here and is never closed; close it")
  }

  private mutating func word() -> String {
    let stops = Array("()=!<>`'\"".utf8)
    let end =
      bytes[position...].firstIndex { $0.isASCIISpace || stops.contains($0) } ?? bytes.endIndex
    defer { position = end }
    return String(decoding: bytes[position..<end], as: UTF8.self)
  }

  private func character(_ offset: Int) -> Int {
    String(decoding: bytes[..<offset], as: UTF8.self).count + 1
  }

  private func error(_ problem: String) -> DataError {
    DataError(.malformedSchema, "at character \(character(start)) of the condition: \(problem)")
  }
}
