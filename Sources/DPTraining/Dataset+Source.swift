public import DPData

extension Dataset {
  /// Opens data: a dataset file, or a table that is prepared in memory.
  ///
  /// - Parameters:
  ///   - path: A dataset file, or a CSV or Parquet table where `schema` is given.
  ///   - schema: The declared facts of a table; nil for a dataset file.
  ///   - options: How a table is read, split and checked.
  ///   - onMessage: Gets lines for the operator.
  /// - Returns: The data.
  /// - Throws: ``FileError`` or ``DataError``.
  public static func open(
    _ path: String, schema: Schema?, options: PrepareOptions,
    onMessage: (String) -> Void = { _ in }
  ) throws -> Dataset {
    guard let schema else { return try Dataset(contentsOf: path) }
    return try prepare(tables: [path], schema: schema, options: options, onMessage: onMessage)
      .dataset
  }
}
