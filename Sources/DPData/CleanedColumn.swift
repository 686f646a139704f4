/// A column of the cleaned rows that are written as text.
struct CleanedColumn {
  /// Its name.
  let name: String
  /// Its field in the table.
  let field: Int
  /// What stands for a missing value; empty where nothing is declared.
  let imputed: [UInt8]

  /// The columns of a schema that are in a table and not ignored, in its order.
  ///
  /// - Parameters:
  ///   - schema: The declared facts.
  ///   - header: Has all the columns.
  /// - Returns: The label among the others, where the schema has it.
  static func all(_ schema: Schema, _ header: TableHeader) -> [CleanedColumn] {
    schema.tableColumns.compactMap { column in
      guard column.type != .ignore, let field = header.field(of: column.name) else { return nil }
      return CleanedColumn(
        name: column.name, field: field, imputed: Array((column.impute ?? "").utf8))
    }
  }

  /// Adds a field, in quotes where it needs them.
  @unsafe static func append(
    _ bytes: UnsafeRawBufferPointer, missing: [UInt8]?, _ delimiter: UInt8, to text: inout [UInt8]
  ) {
    if let missing {
      append(missing, delimiter, to: &text)
      return
    }
    if unsafe !needsQuotes(bytes, delimiter) {
      unsafe text.append(contentsOf: bytes)
      return
    }
    append(unsafe Array(bytes), delimiter, to: &text)
  }

  /// Adds a field, in quotes where it needs them.
  static func append(_ bytes: [UInt8], _ delimiter: UInt8, to text: inout [UInt8]) {
    guard needsQuotes(bytes, delimiter) else {
      text += bytes
      return
    }
    text.append(0x22)
    for byte in bytes {
      if byte == 0x22 { text.append(0x22) }
      text.append(byte)
    }
    text.append(0x22)
  }

  private static func needsQuotes(_ bytes: some Sequence<UInt8>, _ delimiter: UInt8) -> Bool {
    bytes.contains { $0 == delimiter || $0 == 0x22 || $0 == 0x0A || $0 == 0x0D || $0 == 0x20 }
  }
}
