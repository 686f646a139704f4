internal import DPParquet

/// Drafts a schema from a table, for a person to correct.
///
/// | a column's values, besides tokens for missing | drafted as |
/// |---|---|
/// | only 0 and 1, or only true and false | `binary` |
/// | numbers, more than 20 distinct | `numeric`, with the smallest and largest as bounds |
/// | up to 20 distinct | `categorical` (the label, if there are two texts: `binary` with `values`) |
/// | more texts, or none at all | `ignore` |
///
/// What is drafted was read from the table, so it is public only if the table is.
public enum SchemaDraft {
  /// Reads a whole table and drafts its schema.
  ///
  /// - Parameters:
  ///   - table: A CSV file with a header, a Parquet file, or a folder of Parquet files.
  ///   - label: The name of the column to predict.
  ///   - delimiter: The byte between fields; nil goes by the table's name.
  ///   - onMessage: Gets lines for the operator: columns that are ignored, rows passed over.
  /// - Returns: YAML text that ``Schema/init(text:file:)`` reads.
  /// - Throws: ``FileError``; ``DataError`` `missingLabel`, `emptyFile`, `noRows`, `duplicateColumn`,
  ///   `unclosedQuote`, and `degenerateLabel` where the label cannot be one: a single value, or too
  ///   many texts.
  /// - Complexity: O(bytes) time; memory for 20 values of each column.
  public static func draft(
    table: String, label: String, delimiter: UInt8? = nil,
    onMessage: (String) -> Void = { _ in }
  ) throws -> String {
    let label = label.trimmed
    var options = PrepareOptions()
    options.delimiter = delimiter
    var draft = Sketches()
    for part in TablePart.all(try TableInput.all([table], options)) {
      try draft.read(part, label: label, options, onMessage)
    }
    try draft.finish(table, onMessage)
    let lines = try zip(draft.names, draft.columns).map { name, sketch in
      let facts =
        name == label
        ? try labelFacts(name, sketch, table) : facts(name, sketch, onMessage)
      return "  \(name.quotedYAML): \(facts)"
    }
    return preamble(label) + lines.joined(separator: "\n") + "\n"
  }

  private static func facts(
    _ name: String, _ sketch: ColumnSketch, _ onMessage: (String) -> Void
  ) -> String {
    if sketch.isBinary { return "{type: binary}" }
    if !sketch.hasManyValues, !sketch.isEmpty { return categorical(sketch) }
    if let bounds = sketch.bounds { return numeric(bounds) }
    let reason =
      sketch.isEmpty ? "has no values" : "has more than \(ColumnSketch.maxCategories) texts"
    onMessage("column \"\(name)\" \(reason) and is drafted as ignore")
    return "{type: ignore}"
  }

  private static func labelFacts(
    _ name: String, _ sketch: ColumnSketch, _ table: String
  ) throws(DataError) -> String {
    let categories = sketch.categories
    if sketch.isBinary, categories.count > 1 { return "{type: binary}" }
    if categories.count == 2, !sketch.isNumeric {
      return "{type: binary, values: [\(categories.map(\.quotedYAML).joined(separator: ", "))]}"
    }
    if categories.count > 1 { return categorical(sketch) }
    if let bounds = sketch.bounds, sketch.hasManyValues { return numeric(bounds) }
    let problem =
      sketch.hasManyValues ? "has too many texts to be classes" : "has one value only, or none"
    throw DataError(
      .degenerateLabel, "the label \"\(name)\" \(problem); choose another label",
      at: .init(file: table))
  }

  private static func categorical(_ sketch: ColumnSketch) -> String {
    let list = sketch.categories.map(\.quotedYAML).joined(separator: ", ")
    return "{type: categorical, categories: [\(list)]}"
  }

  private static func numeric(_ bounds: ClosedRange<Double>) -> String {
    "{type: numeric, bounds: [\(bounds.lowerBound.shortText), \(bounds.upperBound.shortText)]}"
  }

  private static func preamble(_ label: String) -> String {
    """
    # A draft, made by reading the table: correct it before you use it.
    # A schema is taken to be public. The types, bounds and categories below were read from the
    # data, so they are public only if the data are. Replace them by what is known without looking:
    # a code book, the law, common sense.
    # Where persons or households have several rows, declare unit: COLUMN and max_rows_per_unit: N.
    label: \(label.quotedYAML)
    missing: drop
    na: ["", NA]
    columns:

    """
  }
}

/// What was seen of a table's columns.
private struct Sketches {
  private(set) var names: [String] = []
  private(set) var columns: [ColumnSketch] = []
  private var rows = 0
  private var passedOver = 0
  private var header: TableHeader?

  /// Takes every row of a file in; rows that cannot be read as rows are passed over.
  mutating func read(
    _ part: TablePart, label: String, _ options: PrepareOptions, _ onMessage: (String) -> Void
  ) throws {
    let (reader, header) = try open(part, label: label, options, onMessage)
    if self.header == nil {
      names = header.names
      columns = Array(repeating: ColumnSketch(), count: names.count)
    }
    self.header = header
    let fields = try names.map { name throws(DataError) in
      guard let field = header.field(of: name) else {
        throw DataError(
          .missingColumn,
          "the file has no column \"\(name)\", which files before it have; write all with the same columns",
          at: .init(file: part.path))
      }
      return field
    }
    let na = MissingTokens(Schema.defaultNA)
    while try reader.next() {
      rows += 1
      let record = reader.record
      guard record.fieldCount == header.names.count, record.firstInvalidField() == nil else {
        passedOver += 1
        continue
      }
      for (column, field) in fields.enumerated() {
        let bytes = unsafe record.trimmedField(field)
        if unsafe !na.contains(bytes) { unsafe columns[column].see(bytes) }
      }
    }
  }

  /// Checks that there were rows.
  func finish(_ table: String, _ onMessage: (String) -> Void) throws(DataError) {
    guard rows > 0 else {
      throw header?.noRows(of: table) ?? DataError(.noRows, "there are no rows; add rows")
    }
    if passedOver > 0 {
      onMessage(
        "\(table.tableName): \(passedOver) rows with another number of fields than the header,"
          + " or invalid UTF-8, were passed over")
    }
  }

  private func open(
    _ part: TablePart, label: String, _ options: PrepareOptions, _ onMessage: (String) -> Void
  ) throws -> (any RecordReader, TableHeader) {
    guard part.isParquet else {
      let reader = try CSVReader(
        path: part.path, delimiter: part.path.delimiter(given: options.delimiter))
      let header = try TableHeader(reader)
      try header.checkAll(label: label) { reader.location(ofField: $0) }
      return (reader, header)
    }
    let file = try ParquetFailure.rethrown { () throws(ParquetError) in
      try ParquetFile(path: part.path)
    }
    let refused = file.columns.filter { $0.refusal != nil }
    if !refused.isEmpty, self.header == nil {
      onMessage(
        "\(part.path): columns that cannot be read are left out:"
          + " \(refused.map(\.name).joined(separator: ", "))")
    }
    let header = TableHeader(file) { $0.refusal == nil }
    try header.checkAll(label: label) { _ in .init(file: part.path) }
    return (try ParquetRecordReader(file, header, batchRows: options.batchRows), header)
  }
}

extension String {
  /// The text as a YAML scalar in a flow mapping: plain where that is safe for every reader.
  fileprivate var quotedYAML: String {
    let plain = utf8.allSatisfy { byte in
      byte == UInt8(ascii: "_") || byte == UInt8(ascii: ".") || byte == UInt8(ascii: "-")
        || (byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9"))
        || (byte | 0x20 >= UInt8(ascii: "a") && byte | 0x20 <= UInt8(ascii: "z"))
    }
    let words = ["true", "false", "yes", "no", "on", "off", "y", "n", "null"]
    let isSafe = plain && utf8.first.map { $0 > UInt8(ascii: ".") } ?? false
    let isNegativeNumber = hasPrefix("-") && DecimalNumber.parse(self) != nil
    return (isSafe && !words.contains(lowercased())) || isNegativeNumber ? self : quotedJSON
  }
}
