import DPParquet
import Foundation
import TestSupport
import Testing

/// What is written comes back.
struct WriterTests {
  private static let columns: [ParquetWriter.Column] = [
    .init("flag", .boolean), .init("small", .integer(bits: 8, isSigned: true)),
    .init("count", .integer(bits: 64, isSigned: false), isOptional: false),
    .init("share", .float), .init("weight", .double), .init("name", .string),
    .init("kind", .string, isOptional: false), .init("day", .date),
    .init("at", .timestamp(.microseconds, isUTC: true)),
    .init("price", .decimal(precision: 12, scale: 3)),
  ]

  /// Random values with runs, few or many distinct ones, and nulls where they may be.
  private func values(
    _ column: ParquetWriter.Column, _ rows: Int, _ generator: inout SeededGenerator
  ) -> ParquetValues {
    var numbers: [Int64?] = []
    let range: ClosedRange<Int64> =
      Bool.random(using: &generator) ? -3...3 : -99_999_999...99_999_999
    while numbers.count < rows {
      let isNull = column.isOptional && Int.random(in: 0..<4, using: &generator) == 0
      let value: Int64? = isNull ? nil : Int64.random(in: range, using: &generator)
      let times = Int.random(in: 0..<5, using: &generator) == 0 ? 30 : 1
      numbers += repeatElement(value, count: times)
    }
    numbers = Array(numbers.prefix(rows))
    switch column.type {
    case .boolean: return .booleans(numbers.map { $0.map { $0 > 0 } })
    case .integer(8, _): return .int32s(numbers.map { $0.map { Int32($0 % 100) } })
    case .date: return .int32s(numbers.map { $0.map { Int32($0 % 50_000) } })
    case .float: return .floats(numbers.map { $0.map { Float($0) / 7 } })
    case .double: return .doubles(numbers.map { $0.map { Double($0) / 7 } })
    case .string: return .strings(numbers.map { $0.map { $0 == 0 ? "" : "é\($0)" } })
    case .integer: return .int64s(numbers.map { $0.map { abs($0) } })
    default: return .int64s(numbers)
    }
  }

  private func expected(_ type: ParquetType, _ values: ParquetValues) -> [String?]? {
    switch (type, values) {
    case (.boolean, .booleans(let values)): values.map { $0.map { "\($0)" } }
    case (.integer, .int32s(let values)): values.map { $0.map { "\($0)" } }
    case (.integer, .int64s(let values)): values.map { $0.map { "\($0)" } }
    case (.float, .floats(let values)): values.map { $0.map { "\($0)" } }
    case (.double, .doubles(let values)): values.map { $0.map { "\($0)" } }
    case (.string, .strings(let values)): values
    default: nil
    }
  }

  @Test(arguments: [1, 8, 9, 100, 1000], [ParquetWriter.Compression.none, .snappy])
  func tablesComeBack(rows: Int, compression: ParquetWriter.Compression) throws {
    let folder = try ScratchFolder()
    var generator = SeededGenerator(seed: UInt64(rows))
    for round in 0..<4 {
      let path = folder.file("table\(round).parquet")
      var writer = try ParquetWriter(path: path, columns: Self.columns, compression: compression)
      var written: [[ParquetValues]] = []
      for _ in 0..<Int.random(in: 1...3, using: &generator) {
        written.append(Self.columns.map { values($0, rows, &generator) })
        try writer.write(written[written.count - 1])
      }
      try writer.finish()
      let file = try ParquetFile(path: path)
      #expect(file.rowGroups == written.map { _ in rows })
      #expect(file.writer.hasPrefix("fastDP"))
      for (index, column) in Self.columns.enumerated() {
        #expect(file.columns[index].type == column.type)
        #expect(file.columns[index].isOptional == column.isOptional)
        let batch = Int.random(in: 1...2 * rows, using: &generator)
        let read = try texts(of: file, column.name, batch: batch, keepsIndices: round % 2 == 0)
        let want = written.compactMap { expected(column.type, $0[index]) }.flatMap(\.self)
        if !want.isEmpty { #expect(read == want, "\(column)") }
        #expect(read.count == rows * written.count)
      }
    }
  }

  @Test func aTableWithoutRowsIsATable() throws {
    let folder = try ScratchFolder()
    let path = folder.file("empty")
    try ParquetWriter(path: path, columns: [.init("x", .string)]).finish()
    let file = try ParquetFile(path: path)
    #expect(file.rowCount == 0 && file.columns.map(\.name) == ["x"])
    #expect(try texts(of: file, "x") == [])
  }

  @Test func wrongValuesAreRefused() throws {
    let folder = try ScratchFolder()
    var writer = try ParquetWriter(
      path: folder.file("x"),
      columns: [.init("a", .string, isOptional: false), .init("b", .date)])
    let wrong: [[ParquetValues]] = [
      [.strings(["x"])], [.strings(["x"]), .int64s([1])], [.strings([nil]), .int32s([1])],
      [.strings(["x", "y"]), .int32s([1])],
    ]
    for values in wrong {
      do {
        try writer.write(values)
        Issue.record("\(values) was written")
      } catch {
        #expect(error.code == .schemaMismatch)
      }
    }
    // A writer that goes away leaves nothing.
    _ = consume writer
    #expect(try folder.names.isEmpty)
  }
}
