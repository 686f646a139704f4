/// The header of one table: which field holds which column of the schema.
struct TableHeader {
  /// What error messages call the table.
  let table: String
  /// The names, in the order of the file.
  let names: [String]
  private let fields: [String: Int]

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
    let needed = Self.needed(by: schema, purpose)
    try checkPresence(of: needed, label: schema.label, in: reader)
    try checkUniqueness(of: needed, in: reader)
    let known = Set(Self.needed(by: schema, .preparation))
    let ignored = names.filter { !known.contains($0) }
    if !ignored.isEmpty {
      onMessage(
        "\(reader.name): columns that the schema does not name are ignored:"
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
    names = (0..<record.fieldCount).map(record.text)
    fields = Dictionary(names.enumerated().map { ($1, $0) }) { first, _ in first }
  }

  /// A header that the table does not have, or has where it was not expected.
  private init(_ reader: CSVReader, columns: [String]) throws {
    table = reader.name
    names = columns.map(\.trimmed)
    fields = Dictionary(names.enumerated().map { ($1, $0) }) { first, _ in first }
    guard try reader.next() else { return }
    let record = reader.record
    let isHeader =
      record.fieldCount == names.count
      && record.firstInvalidField() == nil && (0..<names.count).map(record.text) == names
    if !isHeader { reader.unread() }
  }

  /// The field of a column.
  ///
  /// - Parameter name: As in the header.
  /// - Returns: Its position, or nil.
  func field(of name: String) -> Int? { fields[name] }

  private static func needed(by schema: Schema, _ purpose: Purpose) -> [String] {
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
    let compared = (columns.compactMap(\.condition) + [schema.filter].compactMap(\.self))
      .flatMap(\.columns)
    for name in others + compared where seen.insert(name).inserted { names.append(name) }
    return names
  }

  private func checkPresence(
    of needed: [String], label: String, in reader: CSVReader
  ) throws(DataError) {
    let missing = needed.filter { fields[$0] == nil }
    guard !missing.isEmpty else { return }
    if missing == [label] {
      throw DataError(
        .missingLabel, "the label \"\(label)\" is not in the header; name another label or add it",
        at: reader.location())
    }
    let list = missing.map { "\"\($0)\"" }.joined(separator: ", ")
    throw DataError(
      .missingColumn,
      "columns of the schema are not in the header: \(list); correct the schema or the table",
      at: reader.location())
  }

  private func checkUniqueness(of needed: [String], in reader: CSVReader) throws(DataError) {
    let needed = Set(needed)
    for (field, name) in names.enumerated() where needed.contains(name) && fields[name] != field {
      throw DataError(
        .duplicateColumn, "column \"\(name)\" is in the header twice; rename one of them",
        at: reader.location(ofField: field))
    }
  }
}
