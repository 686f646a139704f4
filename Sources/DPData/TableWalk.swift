internal import DPFiles

/// Reads tables row by row, in order, and says of each row what preparing it would make of it.
///
/// It keeps nothing: passes that look at rows before or beside a preparation are made of it. It says
/// the same as ``Dataset/prepare(tables:schema:options:onMessage:onProgress:)`` of every row.
struct TableWalk {
  /// A row and what becomes of it.
  struct Row {
    /// Its fields, valid within the call.
    let record: RecordView
    /// The row's table.
    let header: TableHeader
    /// Whether the row is in the test split.
    let isTest: Bool
    /// What became of it.
    let encoding: RowEncoding
    /// The encoded label of a kept row.
    let label: Double
    /// Whether it is a training row beyond what the schema allows of its unit.
    let isBounded: Bool

    /// Whether the row is a training example.
    var isTrainingExample: Bool {
      if case .kept = encoding { !isTest && !isBounded } else { false }
    }
  }

  /// What a walk read.
  struct Extent {
    var rows = 0
    var bytes = 0
  }

  let tables: [String]
  let schema: Schema
  let options: PrepareOptions
  let onMessage: (String) -> Void
  let onProgress: (PrepareProgress) throws -> Void

  /// Visits every row of every table, in order.
  ///
  /// - Parameters:
  ///   - onTable: Called for each table, when its header was read.
  ///   - body: Gets each row.
  /// - Returns: How much was read.
  /// - Throws: What reading throws, ``DataError`` `noRows`, and what the closures throw.
  func forEachRow(
    onTable: (TableHeader) throws -> Void = { _ in }, _ body: (Row) throws -> Void
  ) throws -> Extent {
    try options.check()
    var state = State(self)
    var extent = Extent()
    var tableRows = 0
    var isFirst = true
    for part in TablePart.all(try TableInput.all(tables, options)) {
      let (reader, header) = try part.open(
        schema, .preparation, options, onMessage: isFirst ? onMessage : { _ in })
      try onTable(header)
      let encoder = RowEncoder(schema: schema, header: header, withLabel: true)
      let fields = Fields(schema, header)
      let firstRow = extent.rows
      var reported = 0
      while try reader.next() {
        if reader.bytesRead != reported {
          reported = reader.bytesRead
          try onProgress(
            .init(bytesRead: extent.bytes + reported, totalBytes: nil, rowsRead: extent.rows))
        }
        let row = state.row(reader.record, header, encoder, fields, ordinal: extent.rows)
        extent.rows += 1
        try body(row)
      }
      extent.bytes += reader.bytesRead
      tableRows += extent.rows - firstRow
      isFirst = part.isLast
      guard part.isLast else { continue }
      guard tableRows > 0 else { throw header.noRows(of: tables[part.input]) }
      tableRows = 0
    }
    return extent
  }

  /// The fields of one table that decide about rows as wholes.
  private struct Fields {
    let split: Int?
    let unit: Int?
    let identifiers: [Int]

    init(_ schema: Schema, _ header: TableHeader) {
      split = schema.splitColumn.flatMap(header.field)
      unit = schema.unit.flatMap(header.field)
      identifiers = [schema.unit, schema.id].compactMap(\.self).compactMap(header.field)
    }
  }

  /// What a row's fate depends on besides the row.
  private struct State {
    private var split: RowSplit
    private var bound: UnitBound?
    private var features: [Float]

    init(_ walk: TableWalk) {
      split = RowSplit(key: walk.options.splitKey, testFraction: walk.options.testFraction)
      bound = walk.schema.maxRowsPerUnit.map(UnitBound.init)
      features = [Float](repeating: 0, count: walk.schema.features)
    }

    mutating func row(
      _ record: RecordView, _ header: TableHeader, _ encoder: RowEncoder, _ fields: Fields,
      ordinal: Int
    ) -> Row {
      let isTest = isTest(record, encoder, fields.split, ordinal: ordinal)
      var label = 0.0
      let encoding = encode(record, encoder, fields, &label)
      var isBounded = false
      if case .kept = encoding, !isTest, let unit = fields.unit {
        isBounded = unsafe !(bound?.admits(record.trimmedField(unit)) ?? true)
      }
      return Row(
        record: record, header: header, isTest: isTest, encoding: encoding, label: label,
        isBounded: isBounded)
    }

    /// By the unit or id where that can be read, else by the ordinal.
    private mutating func isTest(
      _ record: RecordView, _ encoder: RowEncoder, _ field: Int?, ordinal: Int
    ) -> Bool {
      if let field, field < record.fieldCount {
        let bytes = unsafe record.trimmedField(field)
        if unsafe !encoder.isMissing(bytes), unsafe bytes.isValidUTF8 {
          return unsafe split.isTest(unit: bytes)
        }
      }
      return split.isTest(ordinal: ordinal)
    }

    private mutating func encode(
      _ record: RecordView, _ encoder: RowEncoder, _ fields: Fields, _ label: inout Double
    ) -> RowEncoding {
      if let fault = encoder.wholeRowFault(record) { return .rejected(fault) }
      let missing = fields.identifiers.first {
        unsafe encoder.isMissing(record.trimmedField($0))
      }
      if let missing { return .rejected(RowFault(reason: .missingIdentifier, field: missing)) }
      for index in features.indices { features[index] = 0 }
      // SAFETY: the array has as many elements as the schema has features.
      return unsafe features.withUnsafeMutableBufferPointer { buffer in
        guard let base = buffer.baseAddress else { preconditionFailure("a schema has features") }
        return unsafe encoder.encode(record, into: base, label: &label)
      }
    }
  }
}
