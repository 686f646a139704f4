public import DPAccounting
public import DPData
internal import DPFiles
internal import Foundation

/// The preparation of tables on a Spark, by SQL alone.
///
/// The rows, their splits and their encoded values are those of ``Dataset/prepare(tables:schema:options:onMessage:onProgress:)``.
/// What comes out is a folder (see ``PreparedFolder``) that ``Dataset/init(contentsOf:)`` reads.
///
/// | step | by |
/// |---|---|
/// | list the files and their sizes | ``open()`` |
/// | read headers, count each block's rows | ``open()`` |
/// | count the values of columns that are estimated | ``resolve(noiseMultiplier:relation:ledger:)`` |
/// | encode and write all rows | ``write()`` |
/// | count what became of them | ``write()`` |
/// | write the mark | ``write()`` |
///
/// Whatever fails or is interrupted leaves a folder without the mark, or none.
public final class SparkPreparation {
  /// What a Spark session must be told for the SQL to mean what it is written to mean.
  public static let configuration = [
    "spark.sql.ansi.enabled": "true",
    "spark.sql.caseSensitive": "true",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parser.escapedStringLiterals": "false",
    "spark.sql.variable.substitute": "false",
    "spark.sql.files.ignoreCorruptFiles": "false",
    "spark.sql.files.ignoreMissingFiles": "false",
    "spark.sql.runSQLOnFiles": "true",
    "spark.sql.sources.ignoreDataLocality": "true",
    "spark.sql.parquet.int96RebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
  ]

  /// What a cluster's session is told besides, to be faster.
  ///
  /// Java compiles no method of more than 8000 bytes unless it was told to, as the Java of a local Spark is, and
  /// runs those that Spark makes of a statement some three times as slowly.
  static let clusterConfiguration = ["spark.sql.codegen.hugeMethodLimit": "8000"]

  private let tables: [String]
  private var schema: Schema
  private var output: OutputFolder
  private var options: PrepareOptions
  private let executor: any SparkExecutor
  private let onMessage: (String) -> Void
  private let start = ContinuousClock.now
  private var layout = TableLayout()

  /// A preparation that has not begun.
  ///
  /// - Parameters:
  ///   - tables: Files, folders or patterns as Spark's server sees them; relative ones are below the
  ///     current folder here.
  ///   - schema: The declared facts.
  ///   - folder: The folder to make.
  ///   - options: How to read, split and check.
  ///   - executor: A session that was told ``configuration``.
  ///   - onMessage: Gets lines for the operator.
  public init(
    tables: [String], schema: Schema, to folder: String, options: PrepareOptions,
    executor: any SparkExecutor, onMessage: @escaping (String) -> Void = { _ in }
  ) {
    self.tables = tables.map(Self.absolute)
    self.schema = schema
    output = OutputFolder(
      Self.absolute(folder), overwrites: options.overwrite, executor: executor)
    self.options = options
    self.executor = executor
    self.onMessage = onMessage
  }

  /// Finds the tables, reads their headers and counts their rows; nothing is written.
  ///
  /// - Throws: ``DataError`` for options, tables and headers, as the native engine does; ``FileError`` where
  ///   the folder is there already, or the list of rejected rows cannot be made; ``SparkError``.
  public func open() throws {
    try options.check()
    try output.check(apartFrom: tables)
    // A place that cannot be written to is found out before anything is paid for.
    if let rejects = options.rejects {
      _ = try AtomicFile(path: rejects, overwrite: options.overwrite)
    }
    try output.check()
    layout = try TableLayout(
      tables: tables, schema: schema, options: options, executor: executor, onMessage: onMessage)
    try output.check(apartFrom: layout.paths)
    let rows = RowSQL(try schema.withAnyValues(), options, fieldNames: layout.fieldNames)
    try layout.checkTexts(rows.textFields)
  }

  /// Makes the estimates that the schema asks for, charged before they are made.
  ///
  /// - Parameters:
  ///   - noiseMultiplier: σ.
  ///   - relation: Which two tables are compared.
  ///   - ledger: Charged one step.
  /// - Throws: As ``PaidImputation`` does, and ``SparkError``.
  public func resolve(
    noiseMultiplier: Double, relation: NeighbouringRelation, ledger: any PrivacyLedger
  ) throws {
    (schema, options.imputation) = try PaidImputation.resolve(
      schema, noiseMultiplier: noiseMultiplier, relation: relation, ledger: ledger, counting: count)
  }

  /// Encodes and writes all rows.
  ///
  /// What fails before Spark has begun to write leaves a dataset that is to be replaced as it was.
  ///
  /// - Returns: What was found, which is for the operator only.
  /// - Throws: ``DataError`` where more rows are rejected than may be, or the training examples have one
  ///   class; ``FileError`` for the list of rejected rows; ``SparkError``.
  public func write() throws -> PrepareReport {
    do {
      return try writeAll()
    } catch {
      output.takeBack()
      throw error
    }
  }

  // MARK: - Paths

  /// Relative paths mean nothing to a server.
  private static func absolute(_ path: String) -> String {
    var path = path
    while path.hasSuffix("/"), path.utf8.count > 1 { path.removeLast() }
    let scheme = path.prefix { $0.isLetter || $0.isNumber || "+.-".contains($0) }
    guard !path.hasPrefix("/"), !path[scheme.endIndex...].hasPrefix(":/") else { return path }
    return FileManager.default.currentDirectoryPath + "/" + path
  }

  // MARK: - Rows

  private func writeAll() throws -> PrepareReport {
    guard schema.estimatedColumns.isEmpty else { throw PaidImputation.unresolved(schema) }
    let rows = RowSQL(schema, options, fieldNames: layout.fieldNames)
    // Another job may have made the folder meanwhile.
    try output.check()
    output.begin()
    try executor.command(
      "INSERT OVERWRITE DIRECTORY \(SQLText.literal(output.path)) USING parquet "
        + "OPTIONS ('compression' = 'snappy') "
        + rows.encoded(layout.rows, doubles: layout.doubles), title: "encoding the rows")
    output.finish()
    let tally = try tally()
    try checkRejects(tally)
    try checkClasses(tally)
    try writeMark(trainRows: tally.trainRows)
    return report(tally)
  }

  /// What was counted in the rows that were written.
  private struct Tally {
    var rows = 0
    var ordinals = 0.0
    var counts: [Int: Int] = [:]
    var rejected = 0
    var trainRows = 0
    var trainExamples = 0
    var testExamples = 0
    var leastLabel = Double.infinity
    var largestLabel = -Double.infinity
  }

  private var written: String { "parquet.\(SQLText.name(SQLText.pattern(output.path)))" }

  private func tally() throws -> Tally {
    let rows = try executor.query(
      """
      SELECT \(PreparedFolder.isTest), \(PreparedFolder.status), count(*), \
      CAST(sum(CAST(\(PreparedFolder.ordinal) AS DOUBLE)) AS DOUBLE), min(y), max(y) \
      FROM \(written) GROUP BY 1, 2
      """, title: "counting what became of the rows")
    var tally = Tally()
    for row in rows.map(SparkRow.init) {
      let (isTest, status, count) = (try row.bool(0), try row.integer(1), try row.integer(2))
      tally.rows += count
      tally.ordinals += row.number(3) ?? 0
      if status >= RejectReason.Status.rejected { tally.rejected += count }
      tally.counts[status, default: 0] += count
      if !isTest { tally.trainRows += count }
      guard status == RejectReason.Status.kept else { continue }
      if isTest {
        tally.testExamples += count
      } else {
        tally.trainExamples += count
        tally.leastLabel = row.number(4) ?? .infinity
        tally.largestLabel = row.number(5) ?? -.infinity
      }
    }
    let sum = Double(layout.rowCount) * Double(layout.rowCount - 1) / 2
    guard tally.rows == layout.rowCount, abs(tally.ordinals - sum) <= sum * 1e-9 else {
      throw SparkError(65, "\(SourceSQL.movedMessage); prepare them again when they are at rest")
    }
    return tally
  }

  private func report(_ tally: Tally) -> PrepareReport {
    func count(_ status: Int) -> Int { tally.counts[status] ?? 0 }
    return PrepareReport(
      rowsRead: tally.rows, rowsKept: count(RejectReason.Status.kept),
      rowsMissing: count(RejectReason.Status.missing), rowsRejected: tally.rejected,
      rowsFiltered: count(RejectReason.Status.filtered),
      rowsBounded: count(RejectReason.Status.bounded), trainRows: tally.trainRows,
      trainExamples: tally.trainExamples, testExamples: tally.testExamples,
      features: schema.features, bytesRead: layout.bytes,
      seconds: (ContinuousClock.now - start) / .seconds(1))
  }

  // MARK: - Checks

  /// The most rejected rows that are listed: what a result may hold.
  private static let longestList = 100_000

  private func checkRejects(_ tally: Tally) throws {
    guard tally.rejected > 0 || options.rejects != nil else { return }
    let isTooMany = tally.rejected > options.maxRejected
    guard isTooMany || options.rejects != nil else { return }
    let rows = try executor.query(
      "SELECT \(PreparedFolder.ordinal), \(PreparedFolder.status) FROM \(written) "
        + "WHERE \(PreparedFolder.status) >= \(RejectReason.Status.rejected) "
        + "ORDER BY 1 LIMIT \(options.rejects == nil ? 1 : Self.longestList)",
      title: "finding rejected rows")
    var rejected: [RejectedRow] = []
    for row in rows.map(SparkRow.init) {
      rejected.append(try rejectedRow(ordinal: row.integer(0), status: row.integer(1)))
    }
    if let path = options.rejects { try writeRejects(rejected, to: path, tally.rejected) }
    if isTooMany, let first = rejected.first {
      let (problem, remedy) = first.reason.problem(first.column)
      throw DataError(
        first.reason.code, "row \(first.row): \(problem); \(remedy)", at: .init(file: first.table))
    }
  }

  /// A rejected row: its table, its place in it from 1, and why.
  private struct RejectedRow {
    let table: String
    let row: Int
    let column: String?
    let reason: RejectReason
  }

  private func rejectedRow(ordinal: Int, status: Int) throws -> RejectedRow {
    guard let reason = RejectReason(rawValue: status % 16 - RejectReason.Status.rejected) else {
      throw SparkError(70, "Spark wrote the status \(status), which is none; please report it")
    }
    let (table, row) = layout.place(of: ordinal)
    let field = status / 16 - 1
    let column = layout.fieldNames.indices.contains(field) ? layout.fieldNames[field] : nil
    return RejectedRow(table: table, row: row, column: column, reason: reason)
  }

  private func writeRejects(_ rows: [RejectedRow], to path: String, _ count: Int) throws {
    var file = try AtomicFile(path: path, overwrite: options.overwrite)
    try file.write("file,row,column,reason\n")
    for row in rows {
      let reason = row.reason.problem(row.column).problem
      try file.write(
        "\(row.table.csvField),\(row.row),\((row.column ?? "").csvField),\(reason.csvField)\n")
    }
    try file.commit()
    if count > rows.count {
      onMessage("\(path) lists the first \(rows.count) of \(count) rejected rows")
    }
  }

  private func checkClasses(_ tally: Tally) throws(DataError) {
    let place = tables.first.map { DataError.Location(file: $0) }
    guard tally.trainExamples > 0 else {
      throw DataError(
        .degenerateLabel,
        "no training row has every value it needs; impute missing values or lower the test fraction",
        at: place)
    }
    if case .numeric = schema.labelKind { return }
    guard tally.leastLabel < tally.largestLabel else {
      throw DataError(
        .degenerateLabel,
        "the label \"\(schema.label)\" has one class only in the training rows;"
          + " add rows of another class or choose another label", at: place)
    }
  }

  private func writeMark(trainRows: Int) throws {
    let provenance = Provenance(
      source: options.sourceName(of: tables), inputs: layout.inputs, rowsRead: layout.rowCount,
      splitKey: options.splitKey, testFraction: options.testFraction, trainRows: trainRows,
      featureNames: schema.featureNames, fastdpVersion: Version.current,
      imputation: options.imputation)
    let line = try PreparedFolder.Mark(schema, provenance).line
    let target = SQLText.literal("\(output.path)/\(PreparedFolder.markName)")
    try executor.command(
      "INSERT OVERWRITE DIRECTORY \(target) USING text SELECT \(SQLText.literal(line)) AS value",
      title: "marking the result as whole")
  }

  // MARK: - Estimates

  /// The exact counts of the columns that are estimated, which nobody may see.
  package func count(_ bins: [EstimateBins]) throws -> [[Int]] {
    let rows = RowSQL(try schema.withAnyValues(), options, fieldNames: layout.fieldNames)
    let expressions = bins.map { ColumnSQL.bin($0, rows.field($0.column.name)) }
    var counts = bins.map { [Int](repeating: 0, count: $0.count) }
    let result = try executor.query(
      rows.counted(layout.rows, doubles: layout.doubles, bins: expressions),
      title: "counting the values of estimated columns")
    for row in result.map(SparkRow.init) {
      let (column, bin, count) = (try row.integer(0), try row.integer(1), try row.integer(2))
      if column < 0 {
        guard count <= options.maxRejected else {
          throw DataError(
            .invalidOption,
            "\(count) rows are rejected, and --max-rejected is \(options.maxRejected); prepare with "
              + "declared values and --rejects to see where, and correct them")
        }
      } else if counts.indices.contains(column), counts[column].indices.contains(bin) {
        counts[column][bin] = count
      }
    }
    return counts
  }
}

extension ColumnSQL {
  /// The bin that a row is counted in; null for none.
  static func bin(_ bins: EstimateBins, _ field: FieldSQL?) -> String {
    guard let field else { return "CAST(NULL AS INT)" }
    guard let bounds = bins.bounds else {
      let code =
        if case .binary(nil) = bins.column.type {
          bits(field.text)
        } else {
          index(of: field.text, in: bins.texts)
        }
      return "CAST(CASE WHEN NOT \(field.isMissing) THEN \(code) END AS INT)"
    }
    // As the native engine: scaled to -1 up to 1, then cut.
    let scaled = scaled(field.number, to: bounds)
    let bin = "CAST((\(scaled) + 1.0D) / 2.0D * \(SQLText.literal(Double(bins.count))) AS INT)"
    // `least` passes over nulls.
    return "CASE WHEN NOT \(field.isMissing) THEN least(\(bins.count - 1), \(bin)) END"
  }
}
