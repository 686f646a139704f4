internal import DPFiles

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

extension Dataset {
  /// Reads tables into a dataset in memory.
  ///
  /// Rows are encoded by the schema alone. The training split keeps a slot for every raw row that
  /// falls into it, also for rows that are missing or rejected, so making a row invalid changes
  /// neither n nor the place, split or encoding of any other row. Nothing is written, except the
  /// rejects file where one is asked for.
  ///
  /// | row | counted as | in the training split | in the test split |
  /// |---|---|---|---|
  /// | every value allowed or imputed | kept | an example | an example |
  /// | no label, or a missing value under policy drop | missing | a slot of zeros, no label | nothing |
  /// | the schema's condition on rows does not hold | filtered | a slot of zeros, no label | nothing |
  /// | as many examples of its unit before it as the schema allows | bounded | a slot of zeros, no label | an example |
  /// | another number of fields, invalid UTF-8, a value not allowed, no id or unit | rejected | a slot of zeros, no label | nothing |
  ///
  /// - Parameters:
  ///   - tables: CSV files, each with a header, plain or compressed by gzip or zstd, and `-` for standard
  ///     input; or Parquet files and folders of them. Rows are counted on from one to the next.
  ///   - schema: The declared facts.
  ///   - options: How to read, split and check.
  ///   - onMessage: Gets lines for the operator, by one thread at a time.
  ///   - onProgress: Called about once per MiB, by one thread at a time; what it throws ends the
  ///     preparation.
  /// - Returns: The dataset, and what was found, which is for the operator only.
  /// - Throws: ``FileError`` where a table cannot be read or the rejects file not be written.
  ///   ``DataError`` at the first rejected row where there are more than
  ///   ``PrepareOptions/maxRejected``; `unclosedQuote`, `emptyFile`, `noRows`, `missingLabel`,
  ///   `missingColumn`, `duplicateColumn` for a table; `degenerateLabel` where the training examples
  ///   have one class only; `invalidOption`.
  /// - Complexity: O(bytes) time; memory for the encoded rows twice.
  public static func prepare(
    tables: [String], schema: Schema, options: PrepareOptions = .init(),
    onMessage: (String) -> Void = { _ in },
    onProgress: (PrepareProgress) throws -> Void = { _ in }
  ) throws -> (dataset: Dataset, report: PrepareReport) {
    let context = PreparationContext(tables, schema, options)
    let sink = DatasetSink(schema, overflowPath: nil)
    return try context.run(into: sink, onMessage, onProgress) { engine in
      (try sink.dataset(engine.provenance), engine.report)
    }
  }

  /// Reads tables into a dataset file, in bounded memory.
  ///
  /// The file is the one that ``prepare(tables:schema:options:onMessage:onProgress:)`` and
  /// ``write(to:overwrite:)`` make together, byte for byte, but its rows are never all in memory, so
  /// that a table may be of any length, and come through a pipe.
  ///
  /// - Parameters:
  ///   - tables: As there.
  ///   - schema: The declared facts.
  ///   - path: The file to make; with several shards, what ``DatasetShard/path(_:index:count:)`` makes
  ///     their names from.
  ///   - shards: How many files the rows are spread over; 1 makes a whole dataset.
  ///   - options: How to read, split and check; ``PrepareOptions/overwrite`` holds for the file too.
  ///   - onMessage: As there.
  ///   - onProgress: As there.
  /// - Returns: What was found, which is for the operator only.
  /// - Throws: As there, and ``FileError`` where the file cannot be made; nothing is left behind then.
  /// - Complexity: O(bytes) time; memory for a few chunks on each thread and 16 MiB of rows.
  public static func prepare(
    tables: [String], schema: Schema, to path: String, shards: Int = 1,
    options: PrepareOptions = .init(), onMessage: (String) -> Void = { _ in },
    onProgress: (PrepareProgress) throws -> Void = { _ in }
  ) throws -> PrepareReport {
    guard shards >= 1, shards <= 99_999 else {
      throw DataError(.invalidOption, "shards is \(shards); it must be from 1 to 99999")
    }
    // Before the provenance is written, which has no place for a fraction that is no number.
    try options.check()
    let context = PreparationContext(tables, schema, options)
    guard shards == 1 else {
      let sink = try DatasetShardSink(
        path: path, count: shards, overwrite: options.overwrite, schema)
      return try context.run(into: sink, onMessage, onProgress) { engine in
        try sink.commit(engine.provenance)
        return engine.report
      }
    }
    let sink = try DatasetFileSink(
      path: path, overwrite: options.overwrite, schema, context.provenance())
    return try context.run(into: sink, onMessage, onProgress) { engine in
      try sink.commit(engine.provenance)
      return engine.report
    }
  }

  /// Reads tables and hands on the rows that are kept, as text.
  ///
  /// The columns are those that the schema declares and does not ignore, in its order, the label among
  /// them; a missing value is the declared `impute` text, or empty where a column only indicates it.
  /// Rows of both splits come, in the order of the tables. The names of the columns come first, unless
  /// ``PrepareOptions/columns`` says that the tables have none.
  ///
  /// What is handed on is not what a guarantee can be stated for: rows are gone from it, so its length
  /// depends on cells.
  ///
  /// - Parameters:
  ///   - tables: As ``prepare(tables:schema:options:onMessage:onProgress:)`` takes them.
  ///   - schema: The declared facts.
  ///   - options: How to read and check.
  ///   - onMessage: As there.
  ///   - onProgress: As there.
  ///   - write: Gets pieces of text in order, by one thread at a time.
  /// - Returns: What was found, which is for the operator only; its splits are empty.
  /// - Throws: What reading throws, and what `write` throws.
  public static func clean(
    tables: [String], schema: Schema, options: PrepareOptions = .init(),
    onMessage: (String) -> Void = { _ in },
    onProgress: (PrepareProgress) throws -> Void = { _ in },
    write: ([UInt8]) throws -> Void
  ) throws -> PrepareReport {
    var context = PreparationContext(tables, schema, options)
    context.needsExamples = false
    return try withoutActuallyEscaping(write) { write in
      let sink = CleanedSink(schema, hasHeader: options.columns == nil, write: write)
      return try context.run(into: sink, onMessage, onProgress) { $0.report }
    }
  }
}

/// What a preparation is asked to do.
struct PreparationContext {
  let tables: [String]
  let schema: Schema
  let options: PrepareOptions
  /// Whether training examples of several classes must come out.
  var needsExamples = true
  private(set) var onMessage: (String) -> Void = { _ in }
  private(set) var onProgress: (PrepareProgress) throws -> Void = { _ in }

  init(_ tables: [String], _ schema: Schema, _ options: PrepareOptions) {
    self.tables = tables
    self.schema = schema
    self.options = options
  }

  /// How many threads work at most.
  var threads: Int { options.threads ?? max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }

  /// Runs the engine.
  ///
  /// - Parameters:
  ///   - sink: Takes the rows.
  ///   - onMessage: Gets lines for the operator.
  ///   - onProgress: Is told how far the engine is.
  ///   - finish: Makes the result when all went well.
  /// - Returns: The result.
  /// - Throws: What reading or `finish` throws.
  func run<Result>(
    into sink: any RowSink, _ onMessage: (String) -> Void,
    _ onProgress: (PrepareProgress) throws -> Void, finish: (TableEngine) throws -> Result
  ) throws -> Result {
    try options.check()
    guard schema.estimatedColumns.isEmpty else { throw PaidImputation.unresolved(schema) }
    return try withoutActuallyEscaping(onMessage) { onMessage in
      try withoutActuallyEscaping(onProgress) { onProgress in
        var context = self
        context.onMessage = onMessage
        context.onProgress = onProgress
        let engine = TableEngine(context, sink)
        try engine.run()
        return try finish(engine)
      }
    }
  }

  /// Where the rows come from.
  ///
  /// - Parameters:
  ///   - bytes: The sizes of the tables, where they are known.
  ///   - rowsRead: Raw rows in all tables.
  ///   - trainRows: Raw rows in the training split.
  /// - Returns: The provenance.
  func provenance(bytes: [Int] = [], rowsRead: Int = 0, trainRows: Int = 0) -> Provenance {
    Provenance(
      source: options.sourceName(of: tables),
      inputs: tables.enumerated().map { index, table in
        .init(name: table.tableName.baseName, bytes: index < bytes.count ? bytes[index] : 0)
      },
      rowsRead: rowsRead, splitKey: options.splitKey, testFraction: options.testFraction,
      trainRows: trainRows, featureNames: schema.featureNames, fastdpVersion: Version.current,
      imputation: options.imputation)
  }
}

extension PrepareOptions {
  /// The name of the source of tables: the one that is set, or the first table's.
  ///
  /// - Parameter tables: Paths.
  /// - Returns: The name that privacy charges are accounted under.
  public func sourceName(of tables: [String]) -> String {
    source ?? tables.first?.tableName.sourceName ?? ""
  }
}

extension String {
  /// The last part of a path, which may be a folder's with a stroke behind it.
  fileprivate var baseName: String {
    if count > 1, hasSuffix("/") { return String(dropLast()).baseName }
    return lastIndex(of: "/").map { String(self[index(after: $0)...]) } ?? self
  }

  /// The last part of a path, up to its first point that does not begin it.
  fileprivate var sourceName: String {
    let name = baseName
    guard let start = name.firstIndex(where: { $0 != "." }),
      let point = name[start...].firstIndex(of: ".")
    else { return name }
    return String(name[..<point])
  }
}
