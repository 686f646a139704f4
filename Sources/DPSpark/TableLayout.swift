internal import DPData
internal import DPFiles
internal import DPParquet

/// What is known of tables before their rows are read: files, headers, blocks, and so the ordinal of every
/// row.
struct TableLayout {
  /// Blocks are as large as it takes to have about so many of them.
  private static let usualBlocks = 2000
  /// Small enough for the cores of one machine to be done at about the same time.
  private static let smallestBlock = 4 << 20
  /// Tables whose files must be read one by one have at most so many.
  private static let mostSources = 500

  /// The columns that are read, in the order of the first table.
  private(set) var fieldNames: [String] = []
  /// The places in ``fieldNames`` of what some table has as doubles.
  private(set) var doubles: Set<Int> = []
  /// Raw rows of all tables.
  private(set) var rowCount = 0
  /// Bytes of all files.
  private(set) var bytes = 0
  /// The files, in order.
  private(set) var inputs: [Provenance.Input] = []
  /// Where the files are.
  private(set) var paths: [String] = []
  private var parts: [Part] = []
  private var extents: [(table: String, firstRow: Int)] = []

  /// Files that one query reads.
  private struct Part {
    let source: SourceSQL
    let places: [SourceSQL.Place]
    let fields: TableFields
  }

  /// A file, as Spark lists it.
  private struct File {
    let path: String
    /// Its name as Spark's metadata have it, hashed.
    let hash: Int64
    let bytes: Int

    /// Whether it is Parquet, which its name says.
    var isParquet: Bool { path.lowercased().hasSuffix(".parquet") }
  }

  /// A layout of nothing.
  init() {}

  /// Asks for the files, headers and blocks of tables.
  ///
  /// - Parameters:
  ///   - tables: Absolute paths or patterns.
  ///   - schema: Names the columns.
  ///   - options: How to read.
  ///   - executor: Answers.
  ///   - onMessage: Gets lines for the operator.
  /// - Throws: ``DataError`` or ``SparkError``.
  init(
    tables: [String], schema: Schema, options: PrepareOptions, executor: any SparkExecutor,
    onMessage: (String) -> Void
  ) throws {
    guard !tables.isEmpty else {
      throw DataError(.invalidOption, "no table is named; name at least one")
    }
    var files: [[File]] = []
    for table in tables { files.append(try Self.files(of: table, executor)) }
    try Self.checkKinds(files.flatMap(\.self))
    try Self.checkUniqueness(files.flatMap(\.self))
    paths = files.joined().map(\.path)
    bytes = files.joined().reduce(0) { $0 + $1.bytes }
    inputs = files.joined().map { .init(name: $0.path.lastPart, bytes: $0.bytes) }
    try setBlockSize(executor, options)
    var builder = Builder(
      schema: schema, options: options, executor: executor, names: RowSQL.fieldNames(of: schema))
    for (table, files) in zip(tables, files) {
      try builder.add(table, files, onMessage: onMessage)
    }
    parts = builder.parts
    rowCount = builder.rowCount
    extents = builder.extents
    guard let first = parts.first else { return }
    fieldNames = builder.names.sorted {
      first.fields.index(of: $0) ?? 0 < first.fields.index(of: $1) ?? 0
    }
    for part in parts {
      guard case .parquet(let columns) = part.source.form else { continue }
      let names = Set(columns.filter { $0.type == "double" }.map(\.name))
      doubles.formUnion(fieldNames.indices.filter { names.contains(fieldNames[$0]) })
    }
  }

  /// A query for the rows of all tables, as ``RowSQL`` takes them.
  var rows: String {
    let names = fieldNames
    let doubles = doubles
    return parts.map { part in
      let fields = names.map { (index: part.fields.index(of: $0) ?? 0, name: $0) }
      return part.source.rows(
        part.places, fields: fields, fieldCount: part.fields.names.count, doubles: doubles)
    }.joined(separator: " UNION ALL ")
  }

  /// The table of a row, and the row's place in its file, from 1.
  func place(of ordinal: Int) -> (table: String, row: Int) {
    let index = extents.lastIndex { $0.firstRow <= ordinal } ?? 0
    return (extents[index].table, ordinal - extents[index].firstRow + 1)
  }

  /// Refuses Parquet columns whose text engines write differently, where it is their text that counts.
  ///
  /// - Parameter names: The columns whose text counts.
  /// - Throws: ``DataError`` `malformedTable`.
  func checkTexts(_ names: Set<String>) throws(DataError) {
    for part in parts {
      guard case .parquet(let columns) = part.source.form else { continue }
      for column in columns where column.isFloatingPoint && names.contains(column.name) {
        throw DataError(
          .malformedTable,
          "column \"\(column.name)\" holds numbers of type \(column.type), whose text Spark writes in "
            + "its own way; write the column as text or integers, or declare it numeric",
          at: .init(file: part.source.path))
      }
    }
  }

  // MARK: - Files and blocks

  private static func files(of table: String, _ executor: any SparkExecutor) throws -> [File] {
    let list = try executor.rows(
      "SELECT path, length, _metadata.file_path FROM binaryFile.\(SQLText.name(table)) "
        + "WITH (recursiveFileLookup = 'true')", title: "listing \(table.lastPart)")
    guard let rows = list else {
      throw FileError(.missing, "\(table): there is no such file, as Spark sees it; check the path")
    }
    var files: [File] = []
    for row in rows.map(SparkRow.init) {
      let hash = XXH64.hash(Array(try row.text(2).utf8), seed: 42)
      files.append(
        File(path: try row.text(0), hash: Int64(bitPattern: hash), bytes: try row.integer(1)))
    }
    guard !files.isEmpty else {
      throw DataError(
        .emptyFile, "is empty, as Spark sees it; it needs a header and rows",
        at: .init(file: table.withoutFileScheme))
    }
    try checkFolders(of: table, files, executor)
    return files.sorted { $0.path.utf8.lexicographicallyPrecedes($1.path.utf8) }
  }

  /// Refuses folders in folders, and folders of part files whose job has not ended.
  private static func checkFolders(
    of table: String, _ files: [File], _ executor: any SparkExecutor
  ) throws {
    // A file has as many names as its pattern; in a folder that the pattern fits it has one more.
    let depth = ClusterPath(table).names.count
    let inFolders = files.filter { ClusterPath($0.path).names.count > depth }
    guard !inFolders.isEmpty else { return }
    let place = DataError.Location(file: table.withoutFileScheme)
    guard inFolders.allSatisfy({ ClusterPath($0.path).names.count == depth + 1 }) else {
      throw DataError(
        .malformedTable,
        "the folder holds folders; name the folders that hold the files themselves",
        at: place)
    }
    guard try !executor.exists("\(table)/_temporary") else {
      throw DataError(.malformedTable, ParquetTable.unfinished, at: place)
    }
    let parts = inFolders.filter { ParquetTable.isPart($0.path.lastPart) }
    for folder in Set(parts.map { $0.path.dropLast($0.path.lastPart.count + 1) }).sorted() {
      guard try executor.exists("\(SQLText.pattern(String(folder)))/_SUCCESS") else {
        throw DataError(
          .malformedTable, ParquetTable.unfinished,
          at: .init(file: String(folder).withoutFileScheme))
      }
    }
  }

  private static func checkKinds(_ files: [File]) throws(DataError) {
    guard let parquet = files.first(where: \.isParquet),
      let text = files.first(where: { !$0.isParquet })
    else { return }
    throw DataError.ofTwoKinds(
      parquet: parquet.path.withoutFileScheme, text: text.path.withoutFileScheme)
  }

  private static func checkUniqueness(_ files: [File]) throws(DataError) {
    var seen: Set<ClusterPath> = []
    for file in files where !seen.insert(ClusterPath(file.path).resolved).inserted {
      throw DataError.givenTwice(file.path.withoutFileScheme)
    }
  }

  private func setBlockSize(_ executor: any SparkExecutor, _ options: PrepareOptions) throws {
    let size = options.blockSize ?? max(Self.smallestBlock, bytes / Self.usualBlocks)
    for (name, value) in SourceSQL.configuration(blockSize: size) {
      try executor.command("SET \(name)=\(value)", title: "setting the size of blocks")
    }
  }

  /// Collects the parts of tables.
  private struct Builder {
    let schema: Schema
    let options: PrepareOptions
    let executor: any SparkExecutor
    let names: Set<String>
    private(set) var parts: [Part] = []
    private(set) var rowCount = 0
    private(set) var extents: [(table: String, firstRow: Int)] = []

    init(
      schema: Schema, options: PrepareOptions, executor: any SparkExecutor, names: Set<String>
    ) {
      self.schema = schema
      self.options = options
      self.executor = executor
      self.names = names
    }

    mutating func add(_ table: String, _ files: [File], onMessage: (String) -> Void) throws {
      if files.contains(where: \.isParquet) {
        try addParquet(table, files, onMessage: onMessage)
      } else {
        try addText(table, files, onMessage: onMessage)
      }
    }

    // MARK: Text

    private mutating func addText(
      _ table: String, _ files: [File], onMessage: (String) -> Void
    ) throws {
      let delimiter = Unicode.Scalar(table.delimiter(given: options.delimiter))
      let source = SourceSQL(path: table, form: .lines(delimiter: delimiter))
      var headers: [Int64: TableFields] = [:]
      do {
        headers = try self.headers(source, table, files, onMessage: onMessage)
      } catch let error as DataError where error.code == .unclosedQuote {
        // The header holds line ends: its file is among those that are read as a whole.
      }
      let (blocks, open) = try blocks(source)
      if open.isEmpty, Set(headers.values.map(\.isInFirstRecord)).count <= 1,
        let fields = headers.values.first, headers.values.allSatisfy({ $0.names == fields.names })
      {
        return try append(source, table, files, blocks, fields)
      }
      guard files.count <= TableLayout.mostSources else {
        throw DataError(
          .malformedTable,
          "the files have different headers or line ends within quotes, and there are more than "
            + "\(TableLayout.mostSources) of them; write them with one header, or prepare them natively",
          at: .init(file: table))
      }
      for file in files {
        try addFile(file, delimiter, isWhole: open.contains(file.hash), onMessage: onMessage)
      }
    }

    /// A file that is read on its own.
    private mutating func addFile(
      _ file: File, _ delimiter: Unicode.Scalar, isWhole: Bool, onMessage: (String) -> Void
    ) throws {
      let source = SourceSQL(
        path: SQLText.pattern(file.path),
        form: isWhole ? .whole(delimiter: delimiter) : .lines(delimiter: delimiter))
      if isWhole {
        let unclosed = try executor.query(source.isUnclosed, title: "looking for open quotes")
        guard unclosed.isEmpty else {
          throw DataError(
            .unclosedQuote, "a quote opens and is never closed; close it",
            at: .init(file: file.path.withoutFileScheme))
        }
      }
      let headers = try headers(source, file.path, [file], onMessage: onMessage)
      guard let fields = headers[file.hash] else { throw Self.changed }
      try append(source, file.path, [file], blocks(source).blocks, fields)
    }

    /// The header of every file.
    private func headers(
      _ source: SourceSQL, _ table: String, _ files: [File], onMessage: (String) -> Void
    ) throws -> [Int64: TableFields] {
      var headers: [Int64: TableFields] = [:]
      var known: [String: TableFields] = [:]
      func read(_ query: String) throws {
        let rows = try executor.query(query, title: "reading the headers")
        for row in rows.map(SparkRow.init) {
          let (hash, text) = (Int64(try row.integer(0)), try row.text(1))
          let path = files.first { $0.hash == hash }?.path.withoutFileScheme ?? table
          let fields =
            try known[text]
            ?? TableFields(
              firstRecord: text, table: path, schema: schema, options: options, onMessage: onMessage
            )
          known[text] = fields
          headers[hash] = fields
        }
      }
      try read(source.headers(onlyFirst: files.count == 1))
      if headers.count < files.count { try read(source.laterHeaders) }
      if let file = files.first(where: { headers[$0.hash] == nil }) {
        throw DataError(
          .emptyFile, "the table is empty; it needs a header and rows",
          at: .init(file: file.path.withoutFileScheme))
      }
      return headers
    }

    // MARK: Parquet

    private mutating func addParquet(
      _ table: String, _ files: [File], onMessage: (String) -> Void
    ) throws {
      guard options.columns == nil, options.delimiter == nil else {
        throw DataError(
          .invalidOption,
          "\(table) is Parquet, which has its own names and no delimiter; leave out --columns and "
            + "--delimiter")
      }
      guard files.count > 1 else {
        let (source, fields) = try describe(table, called: table, onMessage: onMessage)
        return try append(source, table, files, blocks(source).blocks, fields)
      }
      do throws(SparkError) {
        // All footers are read by one job, which fails where a column has two types.
        _ = try schemaRows(table, merged: true)
      } catch {
        guard ![69, 130].contains(error.status), files.count <= TableLayout.mostSources else {
          throw error
        }
        return try addParquetFiles(files, onMessage: onMessage)
      }
      let (source, fields) = try describe(table, called: table, onMessage: onMessage)
      let blocks = try blocks(source).blocks
      try checkColumns(source, files, blocks)
      try append(source, table, files, blocks, fields)
    }

    /// Files that are read one by one.
    private mutating func addParquetFiles(
      _ files: [File], onMessage: (String) -> Void
    ) throws {
      for (index, file) in files.enumerated() {
        // What one of them says of columns that are ignored would be said of all.
        let (source, fields) = try describe(
          SQLText.pattern(file.path), called: file.path,
          onMessage: index == 0 ? onMessage : { _ in })
        try append(source, file.path, [file], blocks(source).blocks, fields)
      }
    }

    private func schemaRows(_ path: String, merged: Bool) throws(SparkError) -> [[SparkValue]] {
      try executor.query(
        "DESCRIBE QUERY SELECT * FROM parquet.\(SQLText.name(path))"
          + (merged ? " WITH (mergeSchema = 'true')" : ""), title: "reading the schema")
    }

    /// The columns of a Parquet file, or of some file of a folder.
    private func describe(
      _ path: String, called name: String, onMessage: (String) -> Void
    ) throws -> (source: SourceSQL, fields: TableFields) {
      var types: [(name: String, type: String)] = []
      for row in try schemaRows(path, merged: false).map(SparkRow.init) {
        types.append((try row.text(0), try row.text(1)))
      }
      let fields = try TableFields(
        firstRecord: types.map(\.name.csvField).joined(separator: ","),
        table: name.withoutFileScheme, schema: schema, options: options, onMessage: onMessage)
      let columns = zip(fields.names, types).map { name, column in
        SourceSQL.Column(name: name, nameInFile: column.name, type: column.type)
      }
      let needed = columns.filter { names.contains($0.name) }
      if let nested = needed.first(where: { $0.type.contains("<") }) {
        throw DataError(
          .malformedTable,
          "column \"\(nested.name)\" is nested; flatten it where it is written, or ignore it",
          at: .init(file: name.withoutFileScheme))
      }
      return (SourceSQL(path: path, form: .parquet(needed)), fields)
    }

    /// Refuses files that lack a column: Spark would read nulls.
    ///
    /// Only a file in which a column has no value at all can lack it; so many of them are looked at as
    /// are read one by one at most.
    private func checkColumns(
      _ source: SourceSQL, _ files: [File], _ blocks: [SourceSQL.Block]
    ) throws {
      let rowCounts = Dictionary(grouping: blocks, by: \.file).mapValues {
        $0.reduce(0) { $0 + $1.count }
      }
      var suspects: Set<Int64> = []
      let rows = try executor.query(source.valuesBesideNulls, title: "looking for lacking columns")
      for row in rows.map(SparkRow.init) {
        let hash = Int64(try row.integer(0))
        let values = try (2..<row.values.count).map { index throws in try row.integer(index) }
        if try row.integer(1) == rowCounts[hash], values.contains(0) { suspects.insert(hash) }
      }
      for file in files.filter({ suspects.contains($0.hash) }).prefix(TableLayout.mostSources) {
        _ = try describe(SQLText.pattern(file.path), called: file.path) { _ in }
      }
    }

    // MARK: Blocks

    /// The blocks of a source, and the hashes of files whose lines end within quotes.
    private func blocks(
      _ source: SourceSQL
    ) throws -> (blocks: [SourceSQL.Block], open: Set<Int64>) {
      var blocks: [SourceSQL.Block] = []
      var open: Set<Int64> = []
      for row in try executor.query(source.blocks, title: "counting the rows").map(SparkRow.init) {
        let (file, start) = (try row.integer(1), try row.integer(3))
        guard try row.integer(2) == file, try row.integer(4) == start else {
          throw SparkError(
            70,
            "Spark gave two blocks to one task, so that rows cannot be numbered; leave its"
              + " settings of spark.sql.files as they are")
        }
        blocks.append(
          .init(
            task: try row.integer(0), file: Int64(file), start: start, count: try row.integer(5)))
        if try row.integer(6) > 0 { open.insert(Int64(file)) }
      }
      return (blocks, open)
    }

    private static let changed = SparkError(
      65, "\(SourceSQL.movedMessage); prepare them again when they are at rest")

    /// Numbers the rows of a source, on from those before.
    private mutating func append(
      _ source: SourceSQL, _ table: String, _ files: [File], _ blocks: [SourceSQL.Block],
      _ fields: TableFields
    ) throws {
      var places: [SourceSQL.Place] = []
      let isParquet = if case .parquet = source.form { true } else { false }
      let ofFile = Dictionary(grouping: blocks, by: \.file)
      guard Set(ofFile.keys).isSubset(of: files.map(\.hash)) else { throw Self.changed }
      for file in files {
        extents.append((file.path.withoutFileScheme, rowCount))
        let first = rowCount
        var header = !isParquet && fields.isInFirstRecord ? 1 : 0
        for block in (ofFile[file.hash] ?? []).sorted(by: { $0.start < $1.start }) {
          // Of Parquet, a row's number is counted from the file's beginning.
          places.append(
            .init(
              task: block.task, file: file.hash, start: block.start,
              base: isParquet ? first : rowCount - header, firstRow: header))
          rowCount += block.count - header
          header = 0
        }
        guard rowCount > first || isParquet else {
          throw DataError(
            .noRows, "the table has a header and no rows; add rows",
            at: .init(file: file.path.withoutFileScheme, line: 1, column: 1))
        }
      }
      parts.append(Part(source: source, places: places, fields: fields))
    }
  }
}

extension String {
  /// The path of a file of this machine as people write it.
  fileprivate var withoutFileScheme: String {
    hasPrefix("file:/") ? String(dropFirst(5)) : self
  }

  /// What stands behind the last slash.
  fileprivate var lastPart: String {
    lastIndex(of: "/").map { String(self[index(after: $0)...]) } ?? self
  }
}
