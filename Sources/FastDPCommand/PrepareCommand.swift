import ArgumentParser
import DPFiles
import FastDP
import Foundation

/// The subcommand `fastdp prepare`.
struct PrepareCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "prepare",
    abstract: "Encode tables by a schema into a dataset file.",
    discussion: """
      Rows are encoded by declared facts only, so this costs no privacy. A missing value is dropped \
      with its row, replaced by a declared value, or marked, as the schema says. Where it asks for an \
      estimate instead (impute: mean, median, most-frequent), one noisy histogram is released and \
      charged to --ledger. A row that the schema does not allow is rejected; above --max-rejected \
      nothing is written (status 65).

      Tables are CSV, or Parquet: files, or folders of part files with _SUCCESS; what a file is its \
      first bytes say. CSV may be compressed by gzip or zstd; '-' is standard input; a pattern such as \
      'part-*.csv' that the shell left alone stands for the files it fits, in the order of their \
      names. Memory stays below some tens of megabytes, however long a table is, and what is made is \
      the same for any number of threads.

      With --shards N the rows are spread over N files, D-00000-of-0000N.safetensors and so on. With \
      '--out -' the rows that are kept are written as CSV to standard output instead; no guarantee can \
      be stated for such a table, since its length depends on cells.

      With --engine spark the rows are prepared on a Spark cluster and D becomes a folder of Parquet \
      files, which 'train' reads like a dataset file; paths are those of the cluster, s3a:// and hdfs:// \
      among them. A token in the URL stands in the list of processes: put it into the environment as \
      FASTDP_SPARK_TOKEN instead. The program fastdp-spark ('make spark') does the talking.

      Examples:
        fastdp prepare people.csv --schema people.yaml --out people.safetensors
        fastdp prepare 'year-*.csv.gz' --schema s.yaml --out d.safetensors
        fastdp prepare people.parquet part-folder --schema s.yaml --out d.safetensors
        zcat people.csv.gz | fastdp prepare - --schema s.yaml --out d.safetensors
        fastdp prepare p.csv --schema s.yaml --out d --max-rejected 9 --rejects bad.csv
        fastdp prepare p.csv --schema s.yaml --out d --ledger budgets --imputation-noise 10
        fastdp prepare p.csv --schema s.yaml --out - > cleaned.csv
        fastdp prepare /data/p.csv --schema s.yaml --out /data/d --engine spark --spark-local
        fastdp prepare 's3a://b/p/*.csv' --schema s.yaml --out s3a://b/d --engine spark \\
          --spark-remote 'sc://spark.example:443/;use_ssl=true'
      """)

  @Argument(
    help: "CSV or Parquet files with the same columns, folders of the latter, patterns, or '-'.")
  var tables: [String]

  @Option(
    help:
      "The dataset file to make (safetensors; on Spark a folder), or '-' for cleaned rows as CSV.")
  var out: String

  @OptionGroup var tableOptions: TableOptions

  @Option(help: "Write rejected rows' lines, columns and reasons here (CSV, without values).")
  var rejects: String?

  @Option(help: "Spread the rows over so many files.")
  var shards = 1

  @Option(help: "The columns' names, with commas between, of tables without a header.")
  var columns: String?

  @Option(help: "At most so many threads. (default: one for each processor)")
  var threads: Int?

  @Flag(help: "Replace existing files.")
  var overwrite = false

  @OptionGroup var sparkOptions: SparkOptions
  @OptionGroup var ledgerOptions: PrepareLedgerOptions
  @OptionGroup var output: OutputOptions

  /// Whether rows go to standard output.
  private var cleans: Bool { out == "-" }

  func run() throws {
    guard let schema = try tableOptions.loadSchema() else {
      throw CommandError.usage(
        "prepare needs a schema; give --schema FILE ('fastdp schema' drafts one)")
    }
    try checkOptions()
    if sparkOptions.isSpark { return try prepareOnSpark(schema) }
    let tables = try TablePattern.files(tables)
    let paths = tables.map { URL(fileURLWithPath: $0).resolvingSymlinksInPath().path }
    guard Set(paths).count == paths.count else {
      throw CommandError.usage(
        "a table is given twice, so its rows would count twice; name each once")
    }
    var options = prepareOptions
    // A place that cannot be written to is found out before anything is paid for.
    for path in files { _ = try AtomicFile(path: path, overwrite: overwrite) }
    let resolved = try ledgerOptions.resolve(schema, tables: tables, options: &options)
    cleans ? try clean(tables, resolved, options) : try prepare(tables, resolved, options)
  }

  /// All files that are to be made.
  private var files: [String] {
    let shards = (0..<shards).map { DatasetShard.path(out, index: $0, count: self.shards) }
    return (cleans ? [] : self.shards == 1 ? [out] : shards) + [rejects].compactMap(\.self)
  }

  private var prepareOptions: PrepareOptions {
    var options = tableOptions.prepareOptions
    options.rejects = rejects
    options.overwrite = overwrite
    options.threads = threads
    options.columns = columns.map { $0.split(separator: ",", omittingEmptySubsequences: false) }?
      .map(String.init)
    return options
  }

  private func prepareOnSpark(_ schema: Schema) throws {
    guard !cleans, shards == 1, threads == nil, !tables.contains("-") else {
      throw CommandError.usage(
        "Spark reads and writes files and spreads them as it likes; leave out '-', --shards and "
          + "--threads, or --engine spark")
    }
    // A place that cannot be written to is found out before Spark is started.
    if let rejects { _ = try AtomicFile(path: rejects, overwrite: overwrite) }
    let report = try sparkOptions.prepare(tables, schema, to: out, prepareOptions, ledgerOptions)
    output.json ? Console.print(PrepareCommand.json(report)) : Console.print(rows(report))
  }

  private func checkOptions() throws {
    try checkThreads(threads)
    try sparkOptions.check()
    guard (1...99_999).contains(shards) else {
      throw CommandError.usage("shards is \(shards); it must be from 1 to 99999")
    }
    guard !cleans || shards == 1 else {
      throw CommandError.usage("standard output has no shards; leave out --shards or name a file")
    }
    guard !cleans || !output.json else {
      throw CommandError.usage(
        "standard output cannot hold both the rows and --json; leave out one of them")
    }
  }

  private func prepare(_ tables: [String], _ schema: Schema, _ options: PrepareOptions) throws {
    let report = try Dataset.prepare(
      tables: tables, schema: schema, to: out, shards: shards, options: options,
      onMessage: Console.message, onProgress: PrepareCommand.show)
    Console.clearProgress()
    output.json ? Console.print(PrepareCommand.json(report)) : Console.print(rows(report))
  }

  private func clean(_ tables: [String], _ schema: Schema, _ options: PrepareOptions) throws {
    ProcessControl.ignoreBrokenPipes()
    let report = try Dataset.clean(
      tables: tables, schema: schema, options: options, onMessage: Console.message,
      onProgress: PrepareCommand.show, write: Console.print)
    Console.clearProgress()
    Console.message(
      "\(report.rowsRead.grouped) rows read, \(report.rowsKept.grouped) kept,"
        + " \(report.rowsMissing.grouped) missing, \(report.rowsRejected.grouped) rejected")
  }

  /// The progress line of a preparation.
  static func show(_ progress: PrepareProgress) {
    let share = progress.totalBytes.map {
      " \((100 * Double(progress.bytesRead) / Double(max(1, $0))).fixed(0)) %"
    }
    Console.progress("prepare\(share ?? "") \(progress.rowsRead.grouped) rows")
  }

  /// The report for programs.
  static func json(_ report: PrepareReport) -> JSONValue {
    .object([
      ("rowsRead", .integer(report.rowsRead)), ("rowsKept", .integer(report.rowsKept)),
      ("rowsMissing", .integer(report.rowsMissing)),
      ("rowsRejected", .integer(report.rowsRejected)),
      ("rowsFiltered", .integer(report.rowsFiltered)),
      ("rowsBounded", .integer(report.rowsBounded)),
      ("trainRows", .integer(report.trainRows)),
      ("trainExamples", .integer(report.trainExamples)),
      ("testExamples", .integer(report.testExamples)), ("features", .integer(report.features)),
      ("bytesRead", .integer(report.bytesRead)), ("seconds", .number(report.seconds)),
    ])
  }

  private func rows(_ report: PrepareReport) -> [(String, String)] {
    [
      ("dataset", shards == 1 ? out : "\(shards) shards of \(out)"),
      ("rows read", report.rowsRead.grouped),
      ("rows kept", report.rowsKept.grouped),
      ("rows missing", report.rowsMissing.grouped),
      ("rows rejected", report.rowsRejected.grouped),
      ("rows filtered", report.rowsFiltered.grouped),
      ("rows beyond their unit's", report.rowsBounded.grouped),
      ("training rows (n)", "\(report.trainRows.grouped), dropped rows included"),
      ("training examples", report.trainExamples.grouped),
      ("test examples", report.testExamples.grouped),
      ("features", report.features.grouped),
      ("seconds", report.seconds.significant(3)),
    ]
  }
}

/// Checks a limit on threads.
func checkThreads(_ threads: Int?) throws {
  guard threads ?? 1 >= 1 else {
    throw CommandError.usage("threads is \(threads ?? 0); it must be at least 1")
  }
}
