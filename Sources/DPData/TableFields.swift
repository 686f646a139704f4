/// The header of a table that another engine reads: which field holds which column.
package struct TableFields: Equatable {
  /// The names, in the order of the file.
  package let names: [String]
  /// Whether the first record is the header, and no row.
  package let isInFirstRecord: Bool

  /// Reads and checks a table's first record as the native engine does.
  ///
  /// - Parameters:
  ///   - record: Its text.
  ///   - table: What messages call the table.
  ///   - schema: Names the columns that are needed.
  ///   - options: The delimiter, and the names of columns where there is no header.
  ///   - onMessage: Gets one message that names the columns that are ignored.
  /// - Throws: ``DataError``, as for a table that is read here.
  package init(
    firstRecord record: String, table: String, schema: Schema, options: PrepareOptions,
    onMessage: (String) -> Void
  ) throws {
    let reader = try CSVReader(
      bytes: Array(record.utf8), name: table, delimiter: table.delimiter(given: options.delimiter))
    let header = try TableHeader(
      reader, schema: schema, purpose: .preparation, columns: options.columns, onMessage: onMessage
    )
    names = header.names
    isInFirstRecord = try !reader.next()
  }

  /// The place of a column that the table was checked to have.
  ///
  /// - Parameter name: As in the header.
  /// - Returns: The last field of that name, of which there is one.
  package func index(of name: String) -> Int? { names.lastIndex(of: name) }
}
