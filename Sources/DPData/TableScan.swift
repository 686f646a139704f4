/// Reads a table row by row into features, for a model to predict from.
///
/// Only the columns that make features are needed; label, id, unit and ignored columns may be
/// absent. Conditions are part of the features: what they compare must be there. Every record gives one outcome, in order.
public final class TableScan {
  /// What became of a row.
  public enum Outcome: Sendable {
    /// The features were written.
    case features
    /// A value is missing whose column drops such rows.
    case missing
    /// The schema's condition on rows does not hold.
    case filtered
    /// The row has a value or a form that the schema does not allow; the error names the place.
    case rejected(DataError)
  }

  /// How many features a row has.
  public let features: Int
  /// Physical line, from 1, in which the current row begins; of a Parquet file the row's number.
  public var line: Int { reader.record.line }

  private let schema: Schema
  private var reader: any RecordReader
  private var header: TableHeader
  private var encoder: RowEncoder
  /// The files of the table that follow.
  private var rest: ArraySlice<TablePart>

  /// Opens a table and reads its header.
  ///
  /// - Parameters:
  ///   - table: A CSV file with a header, a Parquet file, or a folder of Parquet files.
  ///   - schema: The declared facts.
  ///   - delimiter: The byte between fields; nil goes by the table's name.
  ///   - onMessage: Gets one line where columns are ignored that the schema does not name.
  /// - Throws: ``FileError``; ``DataError`` `emptyFile`, `invalidText`, `missingColumn`,
  ///   `duplicateColumn`, `unclosedQuote`, `malformedTable` or `invalidOption`.
  public init(
    table: String, schema: Schema, delimiter: UInt8? = nil,
    onMessage: (String) -> Void = { _ in }
  ) throws {
    var options = PrepareOptions()
    options.delimiter = delimiter
    options.chunkSize = CSVReader.usualChunkSize
    let parts = TablePart.all(try TableInput.all([table], options))
    (reader, header) = try parts[0].open(schema, .prediction, options, onMessage: onMessage)
    rest = parts.dropFirst()
    encoder = RowEncoder(schema: schema, header: header, withLabel: false)
    features = schema.features
    self.schema = schema
  }

  /// Goes to the next row; returns whether there is one.
  private func goOn() throws -> Bool {
    while try !reader.next() {
      guard let part = rest.popFirst() else { return false }
      (reader, header) = try part.open(schema, .prediction, PrepareOptions()) { _ in }
      encoder = RowEncoder(schema: schema, header: header, withLabel: false)
    }
    return true
  }

  /// Encodes the next row.
  ///
  /// - Parameter row: As many elements as ``features``; all zero where the outcome is not
  ///   ``Outcome/features``.
  /// - Returns: What became of the row, or nil at the end of the table.
  /// - Throws: ``FileError`` `inputOutput`; ``DataError`` `unclosedQuote` or `malformedTable`, after
  ///   which there are no further rows.
  /// - Complexity: O(bytes of the record + features), no allocation.
  public func next(into row: inout MutableSpan<Float>) throws -> Outcome? {
    precondition(row.count == features, "the row has \(row.count) places, \(features) are needed")
    guard try goOn() else { return nil }
    row.update(repeating: 0)
    let record = reader.record
    if let fault = encoder.wholeRowFault(record) {
      return .rejected(RejectedRow(fault, in: record).error(header))
    }
    // SAFETY: the span has `features` elements, and exclusive access to it lasts through the call.
    let encoding = unsafe row.withUnsafeMutableBufferPointer { buffer -> RowEncoding in
      guard let base = buffer.baseAddress else { preconditionFailure("a schema has features") }
      var label = 0.0
      return unsafe encoder.encode(record, into: base, label: &label)
    }
    switch encoding {
    case .kept: return .features
    case .missing:
      row.update(repeating: 0)
      return .missing
    case .filtered: return .filtered
    case .rejected(let fault):
      row.update(repeating: 0)
      return .rejected(RejectedRow(fault, in: record).error(header))
    }
  }
}
