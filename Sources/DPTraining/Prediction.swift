public import DPData
internal import DPFiles
public import DPModels

/// What a table of predictions holds.
public struct PredictionReport: Hashable, Sendable {
  /// Rows read, and written.
  public var rows = 0
  /// Rows without a prediction, because a value is missing whose column drops such rows.
  public var missing = 0
  /// Rows without a prediction, because the schema's condition on rows does not hold.
  public var filtered = 0
}

extension Model {
  /// The schema whose rows the model reads.
  ///
  /// - Returns: A schema that fits the model's layers.
  /// - Throws: ``DataError`` or ``ModelError`` when the model file was changed by hand.
  public func schema() throws -> Schema {
    let schema = try Schema(text: schemaText, file: "the model's schema")
    guard architecture.features == schema.features, architecture.head == Head(schema.labelKind)
    else {
      throw ModelError(
        .malformedFile, "the model's layers do not fit its schema; train the model anew")
    }
    return schema
  }

  /// Writes a table of predictions: one row for each row of a table, in order.
  ///
  /// | label | columns |
  /// |---|---|
  /// | binary or categorical | `prediction` (a value of the label), `probability_VALUE` for each |
  /// | numeric | `prediction`, in the label's units |
  ///
  /// A row in which a value is missing whose column drops such rows has empty fields, and so has one
  /// for which the schema's `where` does not hold: the model has not seen its like.
  ///
  /// - Parameters:
  ///   - table: A CSV file, a Parquet file or a folder of such, with the schema's feature columns; the
  ///     label may be absent.
  ///   - path: The CSV file to make, readable by its owner only.
  ///   - delimiter: The byte between fields of `table`; nil goes by its name.
  ///   - overwrite: Whether an existing file may be replaced.
  ///   - onMessage: Told once of columns that the schema does not name.
  /// - Returns: How many rows there were.
  /// - Throws: ``DataError`` at the first row that the schema does not allow, ``FileError``;
  ///   nothing is written then.
  public func predict(
    _ table: String, to path: String, delimiter: UInt8? = nil,
    overwrite: Bool = false, onMessage: (String) -> Void = { _ in }
  ) throws -> PredictionReport {
    let schema = try schema()
    let scan = try TableScan(
      table: table, schema: schema, delimiter: delimiter, onMessage: onMessage)
    var file = try AtomicFile(path: path, overwrite: overwrite)
    let classes = schema.classNames
    let header = ["prediction"] + classes.map { "probability_\($0)" }
    try file.write(header.map(\.csvField).joined(separator: ",") + "\n")
    let pass = TilePass(architecture, examples: 1)
    var features = [Float](repeating: 0, count: scan.features)
    var report = PredictionReport()
    while true {
      var span = features.mutableSpan
      guard let outcome = try scan.next(into: &span) else { break }
      report.rows += 1
      switch outcome {
      case .rejected(let error): throw error
      case .missing, .filtered:
        if case .filtered = outcome { report.filtered += 1 } else { report.missing += 1 }
        // A line of one empty field would be a blank line, which is no row.
        let empty = header.count == 1 ? "\"\"" : String(repeating: ",", count: header.count - 1)
        try file.write(empty + "\n")
      case .features:
        let values = architecture.predict(features.span, parameters: parameters, pass: pass)
        try file.write(schema.fields(of: values).joined(separator: ",") + "\n")
      }
    }
    try file.commit()
    return report
  }
}

extension Schema {
  /// A prediction as the fields of a row.
  fileprivate func fields(of values: [Float]) -> [String] {
    if case .numeric(let bounds) = labelKind {
      let middle = (bounds.lowerBound + bounds.upperBound) / 2
      return ["\(middle + Double(values[0]) * labelScale)"]
    }
    let best = values.indices.max { values[$0] < values[$1] } ?? 0
    return [classNames[best].csvField] + values.map { "\($0)" }
  }
}
