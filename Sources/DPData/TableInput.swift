internal import DPFiles
internal import DPParquet

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// A table as it was named: a text, a Parquet file, or a folder of Parquet files.
struct TableInput: Sendable {
  /// As it was named.
  let path: String
  /// Whether it is Parquet, which its first bytes say.
  let isParquet: Bool
  /// The files that hold its rows, in their order; a text is one.
  let files: [String]

  /// Looks at tables, without reading them.
  ///
  /// - Parameters:
  ///   - paths: Files, folders of Parquet files, and `-` for standard input.
  ///   - options: Which must fit the kind of tables.
  /// - Returns: The tables, all of one kind.
  /// - Throws: ``FileError`` where one cannot be opened; ``DataError`` `invalidOption` for tables of both
  ///   kinds, the same Parquet file twice, and options that are for texts; `malformedTable` for a folder
  ///   whose job has not ended.
  static func all(_ paths: [String], _ options: PrepareOptions) throws -> [TableInput] {
    let inputs = try paths.map { try TableInput($0) }
    guard let parquet = inputs.first(where: \.isParquet) else { return inputs }
    if let text = inputs.first(where: { !$0.isParquet }) {
      throw DataError.ofTwoKinds(parquet: parquet.path, text: text.path.tableName)
    }
    try parquet.checkOptions(options)
    try checkUniqueness(inputs.flatMap(\.files))
    return inputs
  }

  private init(_ path: String) throws {
    self.path = path
    isParquet = path != ByteSource.standardInput && ParquetTable.isParquet(path: path)
    guard isParquet else {
      files = [path]
      return
    }
    files = try ParquetFailure.rethrown { () throws(ParquetError) in
      try ParquetTable.files(at: path)
    }
    guard files == [path] || files.contains(where: ParquetTable.isParquet) else {
      throw FileError(
        .cannotRead, "\(path): is a folder, and none of its files is Parquet; name a file")
    }
  }

  private func checkOptions(_ options: PrepareOptions) throws(DataError) {
    let given = [("delimiter", options.delimiter != nil), ("columns", options.columns != nil)]
    guard let option = given.first(where: \.1)?.0 else { return }
    throw DataError(
      .invalidOption,
      "\(path) is Parquet, whose columns have names and no delimiter; leave out --\(option)")
  }

  private static func checkUniqueness(_ files: [String]) throws(DataError) {
    var seen: Set<String> = []
    for file in files where !seen.insert(canonical(file)).inserted {
      throw DataError.givenTwice(file)
    }
  }

  /// The path without links and detours.
  private static func canonical(_ path: String) -> String {
    guard let resolved = unsafe realpath(path, nil) else { return path }
    defer { unsafe free(resolved) }
    return unsafe String(cString: resolved)
  }
}

/// One file of a table.
struct TablePart: Sendable {
  let path: String
  let isParquet: Bool
  /// The place of its table among those that were named.
  let input: Int
  /// Whether it is its table's last file.
  let isLast: Bool

  /// The files of tables, one after another.
  static func all(_ inputs: [TableInput]) -> [TablePart] {
    inputs.enumerated().flatMap { index, input in
      input.files.enumerated().map { place, file in
        TablePart(
          path: file, isParquet: input.isParquet, input: index,
          isLast: place == input.files.count - 1)
      }
    }
  }
}

/// Failures of the Parquet reader in this module's words.
enum ParquetFailure {
  /// Does something with the reader.
  ///
  /// - Parameter body: Throws ``ParquetError``.
  /// - Returns: What `body` returns.
  /// - Throws: ``FileError`` for a failed call; else ``DataError`` `malformedTable` with the column, the
  ///   row group and the page in its message.
  static func rethrown<Result>(
    _ body: () throws(ParquetError) -> Result
  ) throws -> Result {
    do {
      return try body()
    } catch {
      if let cause = error.cause { throw cause }
      throw DataError(
        .malformedTable, String("\(error)".dropFirst(error.place.file.count + 2)),
        at: .init(file: error.place.file))
    }
  }
}

/// What reads a table record by record.
protocol RecordReader: AnyObject {
  /// Bytes of the file that were read so far.
  var bytesRead: Int { get }
  /// The current record, valid until ``next()`` is called.
  var record: RecordView { get }
  /// Goes to the next record.
  ///
  /// - Returns: Whether there is one.
  /// - Throws: ``FileError`` or ``DataError`` where the table cannot be read on.
  func next() throws -> Bool
}

extension CSVReader: RecordReader {}

extension TablePart {
  /// Opens the file and reads what its columns are called.
  ///
  /// - Parameters:
  ///   - schema: Names the columns that are needed.
  ///   - purpose: Decides which of them.
  ///   - options: How to read.
  ///   - onMessage: As ``TableHeader`` has it.
  /// - Returns: A reader at the first row.
  /// - Throws: ``FileError`` or ``DataError``.
  func open(
    _ schema: Schema, _ purpose: TableHeader.Purpose, _ options: PrepareOptions,
    onMessage: (String) -> Void
  ) throws -> (reader: any RecordReader, header: TableHeader) {
    guard isParquet else {
      let reader = try CSVReader(
        path: path, delimiter: path.delimiter(given: options.delimiter),
        chunkSize: options.chunkSize)
      let header = try TableHeader(
        reader, schema: schema, purpose: purpose, columns: options.columns, onMessage: onMessage)
      return (reader, header)
    }
    let file = try ParquetFailure.rethrown { () throws(ParquetError) in
      try ParquetFile(path: path)
    }
    let header = try TableHeader(file, schema: schema, purpose: purpose, onMessage: onMessage)
    return (try ParquetRecordReader(file, header, batchRows: options.batchRows), header)
  }
}
