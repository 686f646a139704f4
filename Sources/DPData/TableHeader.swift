internal import DPParquet

/// The header of one table: which field holds which column of the schema.
///
/// The fields of a Parquet file are the columns that are read of it, in its order.
struct TableHeader {
  /// What error messages call the table.
  let table: String
  /// The names, in the order of the file.
  private(set) var names: [String]
  /// Whether the table is a text, in which places are lines; else they are rows.
  let hasLines: Bool
  /// The column of a Parquet file that each field is; empty for a text.
  private(set) var columns: [Int] = []
  private var fields: [String: Int]

  /// What a reader of the table needs from its header.
  enum Purpose {
    /// All the schema's columns, label, id and unit, and those that conditions compare.
    case preparation
    /// The columns that make features, and those that their conditions and the filter compare.
    case prediction
  }

  /// Reads a table's first record and checks it against the schema.
  ///
  /// - Parameters:
  ///   - reader: At its beginning; afterwards at its first row.
  ///   - schema: Names the columns that are needed.
  ///   - purpose: Decides which of them.
  ///   - columns: The names of the columns, for a table without a header; a first record that says the
  ///     same is passed over.
  ///   - onMessage: Gets one message that names the columns that are ignored because the schema
  ///     does not name them.
  /// - Throws: ``DataError`` `emptyFile`, `invalidText`, `missingLabel`, `missingColumn` (listing all
  ///   that are missing), `duplicateColumn`; what the reader throws.
  init(
    _ reader: CSVReader, schema: Schema, purpose: Purpose, columns: [String]? = nil,
    onMessage: (String) -> Void
  ) throws {
    if let columns {
      try self.init(reader, columns: columns)
    } else {
      try self.init(reader)
    }
    try check(schema, purpose, onMessage) { reader.location(ofField: $0) }
  }

  /// Checks the columns of a Parquet file against the schema.
  ///
  /// - Parameters:
  ///   - file: An open file.
  ///   - schema: Names the columns that are needed.
  ///   - purpose: Decides which of them; ignored ones must be there, and are not read.
  ///   - onMessage: Gets one message that names the columns that are ignored because the schema
  ///     does not name them.
  /// - Throws: ``DataError`` `missingLabel`, `missingColumn` or `duplicateColumn`.
  init(
    _ file: ParquetFile, schema: Schema, purpose: Purpose, onMessage: (String) -> Void
  ) throws {
    self.init(file) { _ in true }
    try check(schema, purpose, onMessage) { _ in .init(file: file.path) }
    let needed = Set(Self.needed(by: schema, purpose))
    let unread = Set(schema.columns.filter { $0.type == .ignore }.map(\.name))
      .subtracting([schema.id, schema.unit].compactMap(\.self))
      .subtracting(Self.compared(by: schema, schema.columns))
    self = TableHeader(file) {
      needed.contains($0.name.trimmed) && !unread.contains($0.name.trimmed)
    }
  }

  /// The columns of a Parquet file, without a schema.
  ///
  /// - Parameters:
  ///   - file: An open file.
  ///   - isRead: Which of the columns are fields.
  init(_ file: ParquetFile, where isRead: (ParquetColumn) -> Bool) {
    table = file.path
    hasLines = false
    columns = file.columns.indices.filter { isRead(file.columns[$0]) }
    names = columns.map { file.columns[$0].name.trimmed }
    fields = Dictionary(names.enumerated().map { ($1, $0) }) { first, _ in first }
  }

  private func check(
    _ schema: Schema, _ purpose: Purpose, _ onMessage: (String) -> Void,
    place: (_ field: Int?) -> DataError.Location
  ) throws(DataError) {
    let needed = Self.needed(by: schema, purpose)
    try checkPresence(of: needed, label: schema.label, at: place(nil))
    try checkUniqueness(of: needed, place)
    let known = Set(Self.needed(by: schema, .preparation))
    let ignored = names.filter { !known.contains($0) }
    if !ignored.isEmpty {
      onMessage(
        "\(table): columns that the schema does not name are ignored:"
          + " \(ignored.joined(separator: ", "))")
    }
  }

  /// Reads a table's first record, without a schema.
  ///
  /// - Parameter reader: At its beginning; afterwards at its first row.
  /// - Throws: ``DataError`` `emptyFile` or `invalidText`; what the reader throws.
  init(_ reader: CSVReader) throws {
    guard try reader.next() else {
      throw DataError(
        .emptyFile, "the table is empty; it needs a header and rows",
        at: .init(file: reader.name, line: 1, column: 1))
    }
    let record = reader.record
    if let field = record.firstInvalidField() {
      throw DataError(
        .invalidText, "the header is not UTF-8; save the table as UTF-8",
        at: reader.location(ofField: field))
    }
    table = reader.name
    hasLines = true
    names = (0..<record.fieldCount).map(record.text)
    fields = Dictionary(names.enumerated().map { ($1, $0) }) { first, _ in first }
  }

  /// A header that the table does not have, or has where it was not expected.
  private init(_ reader: CSVReader, columns: [String]) throws {
    table = reader.name
    hasLines = true
    names = columns.map(\.trimmed)
    fields = Dictionary(names.enumerated().map { ($1, $0) }) { first, _ in first }
    guard try reader.next() else { return }
    let record = reader.record
    let isHeader =
      record.fieldCount == names.count
      && record.firstInvalidField() == nil && (0..<names.count).map(record.text) == names
    if !isHeader { reader.unread() }
  }

  /// Checks a header that a schema is drafted from.
  ///
  /// - Parameters:
  ///   - label: The column to predict.
  ///   - place: Where the header or one of its fields is.
  /// - Throws: ``DataError`` `missingLabel` or `duplicateColumn`.
  func checkAll(
    label: String, _ place: (_ field: Int?) -> DataError.Location
  ) throws(DataError) {
    guard field(of: label) != nil else {
      throw DataError(
        .missingLabel, "the label \"\(label)\" is not in \(noun); name one of its columns",
        at: place(nil))
    }
    try checkUniqueness(of: names, place)
  }

  /// The error for a table without rows.
  ///
  /// - Parameter path: The table, as it was named.
  /// - Returns: The error.
  func noRows(of path: String) -> DataError {
    hasLines
      ? DataError(
        .noRows, "the table has a header and no rows; add rows",
        at: .init(file: table, line: 1, column: 1))
      : DataError(.noRows, "the table has no rows; add rows", at: .init(file: path))
  }

  /// The field of a column.
  ///
  /// - Parameter name: As in the header.
  /// - Returns: Its position, or nil.
  func field(of name: String) -> Int? { fields[name] }

  static func needed(by schema: Schema, _ purpose: Purpose) -> [String] {
    let columns: [Schema.Column]
    let others: [String]
    switch purpose {
    case .prediction:
      columns = schema.featureColumns
      others = []
    case .preparation:
      columns = schema.columns
      others = [schema.id, schema.unit].compactMap(\.self)
    }
    var names = columns.filter { !$0.isDerived }.map(\.name)
    var seen = Set(names)
    for name in others + compared(by: schema, columns) where seen.insert(name).inserted {
      names.append(name)
    }
    return names
  }

  /// The columns that conditions compare: those of some columns, and of the filter.
  private static func compared(by schema: Schema, _ columns: [Schema.Column]) -> [String] {
    (columns.compactMap(\.condition) + [schema.filter].compactMap(\.self)).flatMap(\.columns)
  }

  private func checkPresence(
    of needed: [String], label: String, at place: DataError.Location
  ) throws(DataError) {
    let missing = needed.filter { fields[$0] == nil }
    guard !missing.isEmpty else { return }
    if missing == [label] {
      throw DataError(
        .missingLabel,
        "the label \"\(label)\" is not in \(noun); name another label or add it", at: place)
    }
    let list = missing.map { "\"\($0)\"" }.joined(separator: ", ")
    throw DataError(
      .missingColumn,
      "columns of the schema are not in \(noun): \(list); correct the schema or the table",
      at: place)
  }

  /// What has the names.
  private var noun: String { hasLines ? "the header" : "the file" }

  private func checkUniqueness(
    of needed: [String], _ place: (Int?) -> DataError.Location
  ) throws(DataError) {
    let needed = Set(needed)
    for (field, name) in names.enumerated() where needed.contains(name) && fields[name] != field {
      throw DataError(
        .duplicateColumn, "column \"\(name)\" is in \(noun) twice; rename one of them",
        at: place(field))
    }
  }
}
