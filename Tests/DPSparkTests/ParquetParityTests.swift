import DPData
import DPParquet
import DPSpark
import Foundation
import TestSupport
import Testing

/// Parquet tables give the same dataset on both engines, or are refused by both.
extension ParityTests {
  private typealias Columns = [(name: String, type: ParquetType, values: ParquetValues)]

  private static let integer = ParquetType.integer(bits: 64, isSigned: true)

  /// Writes a file of row groups of at most so many rows.
  private func write(_ columns: Columns, to path: String) throws {
    try FileManager.default.createDirectory(
      atPath: URL(fileURLWithPath: path).deletingLastPathComponent().path,
      withIntermediateDirectories: true)
    var writer = try ParquetWriter(path: path, columns: columns.map { .init($0.name, $0.type) })
    try writer.write(columns.map(\.values))
    try writer.finish()
  }

  /// The label of so many rows.
  private func label(_ rows: Int) -> Columns {
    [("y", Self.integer, .int64s((0..<rows).map { Int64($0 / 3 % 2) }))]
  }

  private func doubles(_ rows: Int, _ odd: [Double?] = []) -> ParquetValues {
    .doubles((0..<rows).map { $0 < odd.count ? odd[$0] : Double($0 % 37) / 8 })
  }

  private func integers(_ rows: Int) -> ParquetValues {
    .int64s((0..<rows).map { $0 % 11 == 3 ? nil : Int64($0 % 5) })
  }

  /// Every type that is written, with nulls.
  func typesAreReadAlike(_ spark: TestSpark) throws {
    let folder = try ScratchFolder()
    let rows = 90
    func made<Value>(_ make: (Int) -> Value) -> [Value?] {
      (0..<rows).map { $0 % 13 == 5 ? nil : make($0) }
    }
    let columns: Columns =
      [
        ("flag", .boolean, .booleans(made { $0 % 3 == 0 })),
        ("tiny", .integer(bits: 8, isSigned: true), .int32s(made { Int32($0 % 7) - 3 })),
        ("short", .integer(bits: 16, isSigned: true), .int32s(made { Int32($0 * 300) })),
        ("word", .integer(bits: 32, isSigned: false), .int32s(made { Int32($0) })),
        ("float", .float, .floats(made { Float($0) / 10 })),
        ("double", .double, .doubles(made { Double($0) / 7 })),
        ("price", .decimal(precision: 9, scale: 2), .int32s(made { Int32($0 % 4) * 50 })),
        ("day", .date, .int32s(made { Int32($0 % 3) + 19_000 })),
        (
          "time", .timestamp(.microseconds, isUTC: true),
          .int64s(made { Int64($0 % 3) * 250_000 + 1_700_000_000_000_000 })
        ),
        ("text", .string, .strings(made { [" a ", "b", "", "NA", "é, \"x\""][$0 % 5] })),
      ] + label(rows)
    try write(columns, to: folder.file("t.parquet"))
    let schema = """
      label: y
      missing: indicator
      na: ["", NA]
      columns:
        flag: {type: binary}
        tiny: {type: categorical, categories: [-3, -2, -1, 0, 1, 2], other: true}
        short: {type: numeric, bounds: [0, 9000]}
        word: {type: numeric, bounds: [0, 50]}
        float: {type: numeric, bounds: [0, 3]}
        double: {type: numeric, bounds: [0, 3]}
        price: {type: categorical, categories: ["0.00", "0.50", "1.00", "1.50"]}
        day: {type: hashed, buckets: 9}
        time: {type: hashed, buckets: 9}
        text: {type: categorical, categories: [a, b], other: true}
        y: {type: binary}
      derive:
        late: "day >= '2022-01-09' or double > 5.5"

      """
    try compare(spark, [folder.file("t.parquet")], schema)
    try compare(spark, [folder.file("t.parquet")], schema, blockSize: nil) { $0.splitKey = 4 }
  }

  /// Columns may be called as the statement calls its own.
  func namesDoNotCollide(_ spark: TestSpark) throws {
    let folder = try ScratchFolder()
    let names = ["b", "f", "o", "p", "r", "s", "value", "v0", "t0", "r0", "a b", "`", " pad "]
    let rows = 80
    let columns: Columns =
      names.map { ($0, Self.integer, integers(rows)) } + [("d", .double, doubles(rows))]
      + label(rows)
    try write(columns, to: folder.file("t.parquet"))
    let declared = names.map {
      let name = $0.trimmingCharacters(in: .whitespaces)
      return "  \"\(name)\": {type: numeric, bounds: [0, 4], missing: indicator}\n"
    }
    let schema = """
      label: y
      columns:
        d: {type: numeric, bounds: [0, 5]}
        y: {type: binary}
      \(declared.joined())
      """
    try compare(spark, [folder.file("t.parquet")], schema)
  }

  private static let mixedSchema = """
    label: y
    columns:
      v: {type: numeric, bounds: [0, 4], missing: indicator}
      w: {type: numeric, bounds: [0, 4], missing: indicator}
      y: {type: binary}

    """

  /// A column may be an integer in one file and a double in the next.
  func integersMixWithDoubles(_ spark: TestSpark) throws {
    let folder = try ScratchFolder()
    let rows = 60
    let float = ParquetValues.floats((0..<rows).map { Float($0 % 9) / 10 })
    let text = ParquetValues.strings((0..<rows).map { $0 % 7 == 2 ? nil : "\($0 % 4).5" })
    let files: [(String, Columns)] = [
      ("a", [("v", Self.integer, integers(rows)), ("w", .double, doubles(rows))]),
      ("b", [("v", .double, doubles(rows)), ("w", .float, float)]),
      ("c", [("v", .string, text), ("w", Self.integer, integers(rows))]),
    ]
    for (name, columns) in files {
      try write(columns + label(rows), to: folder.file("\(name).parquet"))
      try write(columns + label(rows), to: folder.file("in/part-00000-\(name).parquet"))
    }
    _ = try folder.write("", to: "in/_SUCCESS")
    let paths = ["a", "b", "c"].map { folder.file("\($0).parquet") }
    for tables in [paths, paths.reversed(), [paths[1], paths[0]], [folder.file("in")]] {
      try compare(spark, tables, Self.mixedSchema)
    }
  }

  /// NaN and infinity have the native engine's texts: as missing values, and as reasons.
  func oddNumbersAreReadAlike(_ spark: TestSpark) throws {
    let folder = try ScratchFolder()
    let rows = 90
    let odd: [Double?] = [.nan, 1, .infinity, nil, -.infinity, -0.0, .nan, 1e300]
    let floats = ParquetValues.floats(
      (0..<rows).map { $0 < odd.count ? odd[$0].map { Float($0) } : Float($0 % 5) })
    let columns: Columns =
      [("v", .double, doubles(rows, odd.reversed())), ("w", .float, floats)] + label(rows)
    try write(columns, to: folder.file("t.parquet"))
    for tokens in ["[\"\"]", "[nan]", "[inf, \"-inf\"]", "[NaN, Infinity]"] {
      try compare(spark, [folder.file("t.parquet")], "na: \(tokens)\n" + Self.mixedSchema)
    }
  }

  /// A file that lacks a column, a folder whose job has not ended, folders in folders, both kinds at once.
  func whatNativeRefusesIsRefused(_ spark: TestSpark) throws {
    let folder = try ScratchFolder()
    let rows = 30
    let whole: Columns =
      [("v", Self.integer, integers(rows)), ("w", .double, doubles(rows))] + label(rows)
    let files = ["lacks", "open", "begun", "nested"]
    for name in files {
      try write(whole, to: folder.file("\(name)/part-00000-a.parquet"))
      _ = try folder.write("", to: "\(name)/_SUCCESS")
    }
    try write(Array(whole.dropFirst()), to: folder.file("lacks/part-00001-a.parquet"))
    try FileManager.default.removeItem(atPath: folder.file("open/_SUCCESS"))
    try FileManager.default.createDirectory(
      atPath: folder.file("begun/_temporary"), withIntermediateDirectories: false)
    try write(whole, to: folder.file("nested/more/part-00000-a.parquet"))
    let table = try folder.write("v,w,y\n1,2,1\n", to: "t.csv")
    let cases =
      files.map { [folder.file($0)] } + [
        [folder.file("nested/part-00000-a.parquet"), table],
        [folder.file("lacks/part-00000-a.parquet"), folder.file("lacks")],
      ]
    let schema = try Schema(text: Self.mixedSchema, file: "schema")
    for tables in cases {
      let native = #expect(throws: DataError.self, "\(tables)") {
        try Dataset.prepare(tables: tables, schema: schema)
      }
      let error = #expect(throws: DataError.self, "\(tables)") {
        try prepare(spark.program, tables, Self.mixedSchema, to: folder.file("out"))
      }
      #expect(error?.code == native?.code, "\(error as Any), \(native as Any)")
    }
    // A column without any value is no column that is lacking.
    let empty: Columns =
      [("v", Self.integer, .int64s([Int64?](repeating: nil, count: rows)))] + whole.dropFirst()
    try write(whole, to: folder.file("null/a.parquet"))
    try write(empty, to: folder.file("null/b.parquet"))
    try compare(spark, [folder.file("null")], Self.mixedSchema)
  }
}
