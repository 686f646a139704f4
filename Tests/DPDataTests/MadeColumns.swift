import DPFiles
import DPParquet
import Foundation
import TestSupport

/// A random table, as values for a Parquet file and as the CSV that Python would write of them.
struct MadeColumns {
  /// A column: its values as the writer takes them, and the text of each, nil for a null.
  struct Column {
    let name: String
    let type: ParquetType
    let values: ParquetValues
    let texts: [String?]
  }

  var columns: [Column] = []
  let rows: Int
  private var random: SeededGenerator

  /// A table.
  ///
  /// - Parameters:
  ///   - rows: How many.
  ///   - seed: Another seed gives other cells.
  ///   - isClean: Whether no value is of a kind that schemas reject.
  init(rows: Int, seed: UInt64, isClean: Bool = false) {
    self.rows = rows
    random = SeededGenerator(seed: seed)
    let odd = isClean ? 0 : 0.01
    columns = [
      integers("level", bits: 32) { $0.chance(odd) ? 99 : .random(in: 0...4, using: &$0) },
      column("flag", .boolean, ParquetValues.booleans) { $0.chance(0.4) },
      column("spare", .string, ParquetValues.strings) { _ in "not read" },
      integers("age", bits: 64) { .random(in: -3...120, using: &$0) },
      column("income", .double, ParquetValues.doubles) {
        $0.chance(odd)
          ? .nan : $0.pick([0.1, -2.5, 1e16, 123.456, .random(in: -9...9, using: &$0)])
      },
      column("ratio", .float, ParquetValues.floats) {
        $0.chance(odd) ? .infinity : $0.pick([0.1, 1, 1e-7, .random(in: -3...3, using: &$0)])
      },
      column("town", .string, ParquetValues.strings) {
        $0.pick(["Ulm", " Ulm ", "", "NA", "Köln", "a, \"b\"", "n\($0.next() % 500)"])
      },
      column("kind", .string, ParquetValues.strings) {
        $0.chance(odd) ? "blue" : $0.pick(["red", "green", " red"])
      },
      column("born", .date, text: Self.day, ParquetValues.int32s) {
        .random(in: -800...20_000, using: &$0)
      },
      integers("person", bits: 32) { .random(in: 0...40, using: &$0) },
      integers("y", bits: 8, nulls: 0.02) { .random(in: 0...1, using: &$0) },
    ]
    columns.shuffle(using: &random)
  }

  private mutating func integers(
    _ name: String, bits: Int, nulls: Double = 0.05, _ make: (inout SeededGenerator) -> Int64
  ) -> Column {
    func values(_ made: [Int64?]) -> ParquetValues {
      bits == 64 ? .int64s(made) : .int32s(made.map { $0.map { Int32($0) } })
    }
    return column(name, .integer(bits: bits, isSigned: true), nulls: nulls, values, make)
  }

  private mutating func column<Value>(
    _ name: String, _ type: ParquetType, text: (Value) -> String = { "\($0)" },
    nulls: Double = 0.05, _ values: ([Value?]) -> ParquetValues,
    _ make: (inout SeededGenerator) -> Value
  ) -> Column {
    let hasNulls = name != "level" && random.chance(0.8)
    let made = (0..<rows).map { _ in hasNulls && random.chance(nulls) ? nil : make(&random) }
    return Column(name: name, type: type, values: values(made), texts: made.map { $0.map(text) })
  }

  private static func day(_ days: Int32) -> String {
    Date(timeIntervalSince1970: Double(days) * 86_400)
      .formatted(.iso8601.year().month().day())
  }

  /// The table as CSV, every text in quotes.
  var csv: String {
    let header = columns.map(\.name).joined(separator: ",")
    let lines = (0..<rows).map { row in
      columns.map { column in
        column.texts[row].map { "\"\($0.replacing("\"", with: "\"\""))\"" } ?? ""
      }.joined(separator: ",")
    }
    return ([header] + lines).joined(separator: "\n") + "\n"
  }

  /// Writes the rows of a range as a Parquet file.
  ///
  /// - Parameters:
  ///   - path: The file.
  ///   - range: Rows.
  ///   - groupRows: Rows of a row group.
  /// - Throws: ``ParquetError``.
  func write(_ path: String, _ range: Range<Int>? = nil, groupRows: Int) throws {
    let range = range ?? 0..<rows
    var writer = try ParquetWriter(
      path: path, columns: columns.map { .init($0.name, $0.type) }, overwrite: true)
    var start = range.lowerBound
    while start < range.upperBound {
      let end = min(start + groupRows, range.upperBound)
      try writer.write(columns.map { $0.values[start..<end] })
      start = end
    }
    try writer.finish()
  }
}

extension SeededGenerator {
  fileprivate mutating func chance(_ probability: Double) -> Bool {
    probability > 0 && Double.random(in: 0..<1, using: &self) < probability
  }

  fileprivate mutating func pick<Value>(_ values: [Value]) -> Value {
    values[Int.random(in: 0..<values.count, using: &self)]
  }
}

extension ParquetValues {
  /// The values of some rows.
  subscript(range: Range<Int>) -> ParquetValues {
    switch self {
    case .booleans(let values): .booleans(Array(values[range]))
    case .int32s(let values): .int32s(Array(values[range]))
    case .int64s(let values): .int64s(Array(values[range]))
    case .floats(let values): .floats(Array(values[range]))
    case .doubles(let values): .doubles(Array(values[range]))
    case .strings(let values): .strings(Array(values[range]))
    }
  }
}
