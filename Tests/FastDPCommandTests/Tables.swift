import Foundation
import TestSupport
import Testing

/// Made-up tables whose labels can be learnt, and the schemas that declare them.
struct MadeTable {
  /// What the table's label is.
  enum Label: String, CaseIterable {
    case employed
    case region
    case income
  }

  /// The columns besides the label; `age` is missing in some rows where asked for.
  static let features = ["age", "sex", "educ"]

  /// The lines of the table: a header, then rows.
  private(set) var lines: [String]

  /// A table.
  ///
  /// - Parameters:
  ///   - rows: How many.
  ///   - label: The column to predict.
  ///   - seed: Another seed gives other cells.
  ///   - missingEvery: In every so many rows `age` is `NA`; 0 for none.
  init(rows: Int, label: Label = .employed, seed: UInt64 = 1, missingEvery: Int = 0) {
    var random = Counter(state: seed &* 0x2545_F491_4F6C_DD1D)
    lines = ["age,sex,educ,\(label.rawValue)"]
    for row in 0..<rows {
      let age = Int.random(in: 18...90, using: &random)
      let sex = Int.random(in: 0...1, using: &random)
      let educ = ["low", "middle", "high"].randomElement(using: &random) ?? "low"
      let score = Double(60 - age) / 8 + (educ == "high" ? 3 : 0) - Double(sex)
      let noisy = score + Double.random(in: -1...1, using: &random)
      let value: String =
        switch label {
        case .employed: noisy > 0 ? "1" : "0"
        case .region: noisy > 2 ? "north" : noisy > -1 ? "south" : "far east"
        case .income: "\(500 + 50 * noisy)"
        }
      let isMissing = missingEvery > 0 && row % missingEvery == missingEvery - 1
      lines.append("\(isMissing ? "NA" : "\(age)"),\(sex),\(educ),\(value)")
    }
  }

  /// The table as CSV.
  var csv: String { lines.joined(separator: "\n") + "\n" }

  /// The table with one row made something else.
  func replacing(row: Int, with line: String) -> MadeTable {
    var table = self
    table.lines[row + 1] = line
    return table
  }

  /// The table as CSV without its last column, the label.
  var csvWithoutLabel: String {
    lines.map { $0.split(separator: ",").dropLast().joined(separator: ",") + "\n" }.joined()
  }

  /// The schema of the table with a label.
  static func schema(_ label: Label = .employed) -> String {
    let facts =
      switch label {
      case .employed: "{type: binary}"
      case .region: "{type: categorical, categories: [north, south, far east]}"
      case .income: "{type: numeric, bounds: [0, 1000]}"
      }
    return """
      label: \(label.rawValue)
      columns:
        age: {type: numeric, bounds: [18, 90]}
        sex: {type: binary}
        educ: {type: categorical, categories: [low, middle, high]}
        \(label.rawValue): \(facts)

      """
  }
}

extension ScratchFolder {
  /// Writes a table and its schema, and prepares them into `data.safetensors`.
  ///
  /// - Returns: The path of the dataset.
  func dataset(
    rows: Int = 1500, label: MadeTable.Label = .employed, seed: UInt64 = 1, missingEvery: Int = 0
  ) throws -> String {
    let made = MadeTable(rows: rows, label: label, seed: seed, missingEvery: missingEvery)
    let table = try write(made.csv, to: "table.csv")
    let schema = try write(MadeTable.schema(label), to: "schema.yaml")
    try succeed("prepare", table, "--schema", schema, "--out", file("data.safetensors"))
    return file("data.safetensors")
  }
}

/// A small reproducible generator for tables.
private struct Counter: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var word = state
    word = (word ^ (word &>> 30)) &* 0xBF58_476D_1CE4_E5B9
    word = (word ^ (word &>> 27)) &* 0x94D0_49BB_1331_11EB
    return word ^ (word &>> 31)
  }
}
