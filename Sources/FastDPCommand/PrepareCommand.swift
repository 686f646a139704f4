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

      Examples:
        fastdp prepare people.csv --schema people.yaml --out people.safetensors
        fastdp prepare a.csv b.csv --schema s.yaml --out d.safetensors
        fastdp prepare p.csv --schema s.yaml --out d --max-rejected 9 --rejects bad.csv
        fastdp prepare p.csv --schema s.yaml --out d --ledger budgets --imputation-noise 10
      """)

  @Argument(help: "CSV files with the same columns, each with a header.")
  var tables: [String]

  @Option(help: "The dataset file to make (safetensors).")
  var out: String

  @OptionGroup var tableOptions: TableOptions

  @Option(help: "Write rejected rows' lines, columns and reasons here (CSV, without values).")
  var rejects: String?

  @Option(help: "At most so many threads; this version reads on one.")
  var threads: Int?

  @Flag(help: "Replace existing files.")
  var overwrite = false

  @OptionGroup var ledgerOptions: PrepareLedgerOptions
  @OptionGroup var output: OutputOptions

  func run() throws {
    guard let schema = try tableOptions.loadSchema() else {
      throw CommandError.usage(
        "prepare needs a schema; give --schema FILE ('fastdp schema' drafts one)")
    }
    try checkThreads(threads)
    let paths = tables.map { URL(fileURLWithPath: $0).resolvingSymlinksInPath().path }
    guard Set(paths).count == paths.count else {
      throw CommandError.usage(
        "a table is given twice, so its rows would count twice; name each once")
    }
    var options = tableOptions.prepareOptions
    options.rejects = rejects
    options.overwrite = overwrite
    // A place that cannot be written to is found out before the work, not after it.
    _ = try AtomicFile(path: out, overwrite: overwrite)
    let resolved = try ledgerOptions.resolve(schema, tables: tables, options: &options)
    let (dataset, report) = try Dataset.prepare(
      tables: tables, schema: resolved, options: options, onMessage: Console.message,
      onProgress: PrepareCommand.show)
    Console.clearProgress()
    try dataset.write(to: out, overwrite: overwrite)
    output.json ? Console.print(PrepareCommand.json(report)) : Console.print(rows(report))
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
      ("dataset", out),
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
