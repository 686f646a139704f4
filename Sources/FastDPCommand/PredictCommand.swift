import ArgumentParser
import FastDP
import Foundation

/// The subcommand `fastdp predict`.
struct PredictCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "predict",
    abstract: "Apply a trained model to a table.",
    discussion: """
      Writes one row for each row of the table, in order: the prediction, and for classes the \
      probability of each. The label column may be absent. A row whose missing values the schema \
      drops, or that its where leaves out, has empty fields.

      Examples:
        fastdp predict run new.csv --out predictions.csv
        fastdp predict run new.tsv --delimiter tab --out predictions.csv --overwrite
      """)

  @Argument(help: ArgumentHelp("The folder of a finished run.", valueName: "run"))
  var folder: String

  @Argument(help: "A CSV or Parquet table with the columns that the model's schema uses.")
  var table: String

  @Option(help: "The CSV file to make.")
  var out: String

  @Option(help: "The character between fields; 'tab' for a tabulator. (default: ,)")
  var delimiter: Delimiter?

  @Flag(help: "Replace an existing file.")
  var overwrite = false

  func run() throws {
    let model = try Model(contentsOf: RunDirectory(path: folder).model)
    let paths = [table, out].map { URL(fileURLWithPath: $0).resolvingSymlinksInPath().path }
    guard paths[0] != paths[1] else {
      throw CommandError.usage("\(out) is the table itself; name another file for the predictions")
    }
    let report = try model.predict(
      table, to: out, delimiter: delimiter?.byte, overwrite: overwrite,
      onMessage: Console.message)
    Console.message("wrote \(report.rows.grouped) predictions to \(out)")
    if report.missing > 0 {
      Console.message("\(report.missing.grouped) rows have missing values and no prediction")
    }
    if report.filtered > 0 {
      Console.message(
        "\(report.filtered.grouped) rows are left out by the schema's where and have no prediction")
    }
  }
}
