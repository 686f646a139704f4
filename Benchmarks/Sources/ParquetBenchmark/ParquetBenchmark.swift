import DPParquet
import Foundation

// Reads, copies and damages Parquet files; see scripts/check_parquet.
//
//   ParquetBenchmark read ROUNDS BATCH FILE...   milliseconds (best, median) to read all columns, one thread
//   ParquetBenchmark dump FILE                   the table as CSV, every text in quotes
//   ParquetBenchmark copy FROM TO                the columns that the writer takes, written again
//   ParquetBenchmark fuzz SECONDS SEED FILE...   reads damaged files; prints how many were refused

@main
enum ParquetBenchmark {
  static func main() throws {
    let arguments = CommandLine.arguments.dropFirst()
    switch arguments.first {
    case "read": try read(Array(arguments.dropFirst()))
    case "dump": try dump(Array(arguments.dropFirst()))
    case "copy": try copy(Array(arguments.dropFirst()))
    case "fuzz": try fuzz(Array(arguments.dropFirst()))
    default:
      FileHandle.standardError.write(Data("usage: read | dump | copy | fuzz ...\n".utf8))
      exit(64)
    }
  }

  /// Adds up all values of a file: a sum that shows that they were read.
  static func sum(_ path: String, batch: Int) throws -> Double {
    let file = try ParquetFile(path: path)
    var total = 0.0
    for column in file.columns.indices {
      let reader = try ParquetColumnReader(file, column: column)
      for group in file.rowGroups.indices {
        try reader.select(rowGroup: group)
        while let part = try reader.read(upTo: batch == 0 ? .max : batch) { total += sum(part) }
      }
    }
    return total
  }

  static func sum(_ part: ParquetBatch) -> Double {
    switch part.column.storage {
    case .int32: Double(part.int32s.reduce(0) { $0 &+ Int64($1) })
    case .int64: Double(part.int64s.reduce(0, &+))
    case .boolean: Double(part.booleans.reduce(0) { $0 &+ Int($1) })
    default: Double(part.rowCount - part.nullCount)
    }
  }

  static func read(_ arguments: [String]) throws {
    let (rounds, batch) = (Int(arguments[0]) ?? 5, Int(arguments[1]) ?? 0)
    for path in arguments.dropFirst(2) {
      var times: [Double] = []
      var total = 0.0
      for _ in 0..<rounds {
        let start = ContinuousClock.now
        total = try sum(path, batch: batch)
        times.append((ContinuousClock.now - start) / .milliseconds(1))
      }
      times.sort()
      print(path, String(format: "%.1f %.1f", times[0], times[times.count / 2]), total)
    }
  }

  static func dump(_ arguments: [String]) throws {
    let file = try ParquetFile(path: arguments[0])
    let columns = try file.columns.indices.map { column in
      let keeps = column % 2 == 0
      let reader = try ParquetColumnReader(file, column: column, keepsIndices: keeps)
      var cells: [String] = []
      for group in file.rowGroups.indices {
        try reader.select(rowGroup: group)
        while let part = try reader.read(upTo: 777) {
          for row in 0..<part.rowCount { cells.append(cell(part, row)) }
        }
      }
      return cells
    }
    print(file.columns.map(\.name).joined(separator: ","))
    for row in 0..<file.rowCount { print(columns.map { $0[row] }.joined(separator: ",")) }
  }

  static func cell(_ part: ParquetBatch, _ row: Int) -> String {
    guard !part.isNull(row) else { return "" }
    var text: [UInt8] = []
    part.appendText(ofEntry: part.entry(ofRow: row), to: &text)
    let string = String(decoding: text, as: UTF8.self)
    return "\"" + string.replacingOccurrences(of: "\"", with: "\"\"") + "\""
  }

  static func copy(_ arguments: [String]) throws {
    let file = try ParquetFile(path: arguments[0])
    let indices = file.columns.indices.filter { isWritten(file.columns[$0]) }
    var writer = try ParquetWriter(
      path: arguments[1],
      columns: indices.map {
        .init(file.columns[$0].name, file.columns[$0].type, isOptional: file.columns[$0].isOptional)
      }, overwrite: true)
    for group in file.rowGroups.indices {
      try writer.write(
        try indices.map { index in
          let reader = try ParquetColumnReader(file, column: index)
          try reader.select(rowGroup: group)
          guard let part = try reader.read(upTo: .max) else { return .int32s([]) }
          return values(part)
        })
    }
    try writer.finish()
  }

  static func isWritten(_ column: ParquetColumn) -> Bool {
    switch (column.type, column.storage) {
    case (.half, _), (.binary, _), (.uuid, _), (_, .int96): false
    case (.decimal(let precision, _), .int32): precision <= 9
    case (.decimal(let precision, _), .int64): precision > 9
    case (.decimal, _): false
    default: true
    }
  }

  static func values(_ part: ParquetBatch) -> ParquetValues {
    func list<Value>(_ entry: (Int) -> Value) -> [Value?] {
      (0..<part.rowCount).map { part.isNull($0) ? nil : entry(part.entry(ofRow: $0)) }
    }
    return switch part.column.storage {
    case .boolean: .booleans(list { part.booleans[$0] != 0 })
    case .int32: .int32s(list { part.int32s[$0] })
    case .int64: .int64s(list { part.int64s[$0] })
    case .float: .floats(list { part.floats[$0] })
    case .double: .doubles(list { part.doubles[$0] })
    default: .strings(list { String(decoding: part.bytes(ofEntry: $0), as: UTF8.self) })
    }
  }
}
