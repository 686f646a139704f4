import DPParquet
import Foundation

/// The texts of a column's values, nil for nulls.
///
/// - Parameters:
///   - file: The file.
///   - name: The column.
///   - batch: The most rows of a batch.
///   - keepsIndices: Whether batches show dictionaries.
/// - Returns: One for each row.
/// - Throws: What the reader throws.
func texts(
  of file: ParquetFile, _ name: String, batch: Int = 1000, keepsIndices: Bool = false
) throws -> [String?] {
  let reader = try ParquetColumnReader(
    file, column: try file.column(named: name), keepsIndices: keepsIndices)
  var result: [String?] = []
  for group in file.rowGroups.indices {
    try reader.select(rowGroup: group)
    while let part = try reader.read(upTo: batch) { result += texts(of: part) }
  }
  return result
}

/// The texts of a batch's values, nil for nulls.
func texts(of batch: ParquetBatch) -> [String?] {
  (0..<batch.rowCount).map { row in
    guard !batch.isNull(row) else { return nil }
    var text: [UInt8] = []
    batch.appendText(ofEntry: batch.entry(ofRow: row), to: &text)
    return String(decoding: text, as: UTF8.self)
  }
}

/// Files that other programs wrote, by scripts/parquet_tables.py.
enum Fixtures {
  static let folder = Bundle.module.resourcePath.map { "\($0)/Fixtures" } ?? "Fixtures"

  /// A file's path.
  static func path(_ name: String) -> String { "\(folder)/\(name).parquet" }

  /// A file's bytes.
  static func bytes(_ name: String) throws -> [UInt8] {
    Array(try Data(contentsOf: URL(fileURLWithPath: path(name))))
  }

  /// By column, the texts that stand for the values.
  static func expected() throws -> [String: [String?]] {
    let data = try Data(contentsOf: URL(fileURLWithPath: "\(folder)/texts.json"))
    return try JSONDecoder().decode([String: [String?]].self, from: data)
  }

  static let types = ["types-pyarrow", "types-polars", "types-duckdb", "types-spark"]

  /// Files of few columns with every setting.
  static let few = [
    "duckdb-gzip", "duckdb-v2", "polars-default", "polars-lz4", "pyarrow-crc", "pyarrow-decimals",
    "pyarrow-default", "pyarrow-delta", "pyarrow-format1", "pyarrow-front", "pyarrow-groups",
    "pyarrow-gzip", "pyarrow-int96", "pyarrow-lz4", "pyarrow-none", "pyarrow-pages",
    "pyarrow-plain", "pyarrow-streams", "pyarrow-v2", "pyarrow-v2none", "pyarrow-zstd",
    "spark-int96", "spark-lz4", "spark-v2",
  ].map { "few/\($0)" }
}
