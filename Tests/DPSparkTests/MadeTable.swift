import Foundation
import TestSupport

/// Random tables with everything that a CSV file may hold, and the schemas that declare them.
struct MadeTable {
  /// The columns, in the order of the file.
  static let names = [
    "b", "v", "n", "s", "c", "o", "h", "w", "unit", "id", "skip", "y", "z", "big",
  ]

  static let categories = [
    "a", "it's", "back\\slash", "${x}", "say \"hi\"", "x, y", "Größe", "日本 🙂", "%_`", "1", "\u{1}",
  ]
  static let many = (0..<40).map { "k\($0)" }

  /// A schema with the given policies and more lines.
  static func schema(label: String, policy: String = "drop", more: String = "") -> String {
    let quoted = categories.map { text in
      "\""
        + text.replacingOccurrences(of: "\\", with: "\\\\")
        .replacingOccurrences(of: "\"", with: "\\\"").replacingOccurrences(
          of: "\u{1}", with: "\\u0001")
        + "\""
    }
    let (b, v, n, s, c, o, h) =
      policy == "impute"
      ? (
        ", impute: 1", ", impute: 'no'", ", impute: 0.1", ", impute: 2.5", ", impute: \"${x}\"",
        ", impute: good", ", impute: nowhere"
      ) : ("", "", policy == "indicator" ? ", impute: 7" : "", "", "", "", "")
    return """
      label: \(label)
      missing: \(policy)
      na: ["", NA, "?"]
      \(more)
      columns:
        b: {type: binary\(b)}
        v: {type: binary, values: ["no", "it's"]\(v)}
        n: {type: numeric, bounds: [-3.25, 10]\(n)}
        s: {type: numeric, bounds: [-1000, 1000], scaling: standard, mean: 0, std: 3\(s)}
        c: {type: categorical, categories: [\(quoted.joined(separator: ", "))]\(c)}
        o: {type: categorical, categories: [poor, fair, good, best], encoding: ordinal\(o)}
        h: {type: hashed, buckets: 7\(h)}
        y: {type: \(label == "y" ? "binary" : "ignore")}
        z: {type: \(label == "z" ? "categorical, categories: [p, q, r], other: true" : "ignore")}
        w: {type: \(label == "w" ? "numeric, bounds: [-5, 5]" : "ignore")}
        big: {type: categorical, categories: [\(many.joined(separator: ", "))], other: true\
      \(policy == "impute" ? ", impute: k3" : "")}

      """
  }

  static let numbers = [
    "0", "-0", "-0.0", "1", " 7 ", "+.5", "5.", "1e3", "-1.5E-3", "1e-320", "9007199254740993",
    "0.1000000000000000055511151231257827", "123456789012345678901234567890e-29", "1e22", "1E+2",
    "2.2250738585072011e-308", "179769313486231580793e288", "0.30000000000000004", "-3.25", "10",
  ]
  /// Texts that Java would take for numbers, or nearly.
  static let wrongNumbers = [
    "NaN", "nan", "-Infinity", "inf", "1e400", "-1e999", "0x10", "0x1p3", "1d", "1f", "1D", "1L",
    "1_000", "1,5", "e5", ".", "+", "1e", "1e+", "--1", "1.2.3", "١", "1 2", "1\u{A0}",
  ]

  private(set) var bytes: [UInt8] = []
  private var random: SeededGenerator

  /// A table.
  ///
  /// - Parameters:
  ///   - rows: How many, about.
  ///   - seed: Another seed gives another table.
  ///   - delimiter: Between fields.
  ///   - hasInnerLineEnds: Whether quoted fields may hold line ends.
  ///   - faults: The share of cells that are wrong.
  ///   - hasHeader: Whether the names come first.
  ///   - order: The columns, in the order of the file.
  init(
    rows: Int, seed: UInt64, delimiter: String = ",", hasInnerLineEnds: Bool = false,
    faults: Double = 0.002, hasHeader: Bool = true, order: [String] = MadeTable.names
  ) {
    random = SeededGenerator(seed: seed)
    if chance(0.5) { bytes += [0xEF, 0xBB, 0xBF] }
    if chance(0.3) { bytes += Array("\n\r\n".utf8) }
    if hasHeader {
      add(order.map { chance(0.3) ? "\"\($0)\"" : " \($0) " }.joined(separator: delimiter))
    }
    for _ in 0..<rows { addRow(order, delimiter, hasInnerLineEnds, faults) }
    if chance(0.5), let last = bytes.last, last == 0x0A || last == 0x0D { bytes.removeLast() }
  }

  private mutating func chance(_ probability: Double) -> Bool {
    Double.random(in: 0..<1, using: &random) < probability
  }

  private mutating func pick(_ texts: [String]) -> String {
    texts.randomElement(using: &random) ?? ""
  }

  private mutating func add(_ line: String) {
    bytes += Array((line + pick(["\n", "\r\n", "\r"])).utf8)
  }

  private mutating func addRow(
    _ order: [String], _ delimiter: String, _ hasInnerLineEnds: Bool, _ faults: Double
  ) {
    if chance(0.03) { bytes += Array(pick(["\n", "\r\n", "\n\n", "   \n"]).utf8) }
    var fields = order.map { field($0, delimiter, hasInnerLineEnds, faults) }
    if chance(faults * 3) { fields = chance(0.5) ? fields.dropLast() : fields + [""] }
    var line = Array(fields.joined(separator: delimiter).utf8)
    if chance(faults * 3) {
      line.insert(pick(["a", "b"]) == "a" ? 0xFF : 0xC3, at: line.count / 3)
    }
    bytes += line
    add("")
  }

  private mutating func field(
    _ name: String, _ delimiter: String, _ hasInnerLineEnds: Bool, _ faults: Double
  ) -> String {
    var text = chance(0.04) ? pick(["", "NA", "?"]) : value(name, faults)
    let ends = hasInnerLineEnds && chance(0.05)
    if ends, ["h", "skip", "big"].contains(name) { text += pick(["\n", "\r\n", "\r"]) + "x" }
    let mustQuote = text.contains { $0.isNewline || $0 == "\"" } || text.contains(delimiter)
    guard mustQuote || chance(0.15) else { return chance(0.1) ? " \(text) " : text }
    // With a tab before the quote it would not open the field; spaces are skipped.
    let before = chance(0.2) && delimiter != " " ? "  " : ""
    return before + "\"" + (chance(0.2) ? "\t" : "")
      + text.replacingOccurrences(of: "\"", with: "\"\"") + "\"" + (chance(0.1) ? " " : "")
  }

  private mutating func value(_ name: String, _ faults: Double) -> String {
    let isWrong = chance(faults)
    switch name {
    case "b", "y":
      return isWrong ? pick(["2", "yes", "01"]) : pick(["0", "1", "true", "FALSE", "True"])
    case "v": return isWrong ? "No" : pick(["no", "it's"])
    case "n", "s", "w":
      if isWrong { return pick(Self.wrongNumbers) }
      return chance(0.5) ? pick(Self.numbers) : "\(Double.random(in: -20...20, using: &random))"
    case "c": return isWrong ? "A" : pick(Self.categories)
    case "o": return isWrong ? "worst" : pick(["poor", "fair", "good", "best"])
    case "h": return pick(["Basel", "x,y", "Ünïcode", "a\"b", "\u{FFFD}", "0"])
    case "unit": return "u\(Int.random(in: 0..<40, using: &random))\(pick(["", "é", "'"]))"
    case "id": return "\(UInt32.random(in: 0...UInt32.max, using: &random))"
    case "z": return pick(["p", "q", "r", "s", "P"])
    case "big": return pick(Self.many + ["K1", "k"])
    default: return pick(["", "x", "\\", "a\"b"])
    }
  }
}
