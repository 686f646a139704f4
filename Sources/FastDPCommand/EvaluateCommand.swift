import ArgumentParser
import DPFiles
import FastDP

/// The subcommand `fastdp evaluate`.
struct EvaluateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "evaluate",
    abstract: "Measure a trained model on the test split.",
    discussion: """
      The results are exact facts about the test rows: for the operator, not for release.

      Examples:
        fastdp evaluate run people.safetensors
        fastdp evaluate run 'people-*-of-00004.safetensors'
        fastdp evaluate run people.csv --schema people.yaml --split-key 3 --json
      """)

  @Argument(help: ArgumentHelp("The folder of a finished run.", valueName: "run"))
  var folder: String

  @Argument(help: "A dataset file, all its shards, or tables with --schema.")
  var data: [String]

  @OptionGroup var table: TableOptions
  @OptionGroup var output: OutputOptions

  func run() throws {
    let model = try Model(contentsOf: RunDirectory(path: folder).model)
    let dataset = try table.open(data, like: model.schema())
    let result = try dataset.evaluate(model)
    guard result.examples > 0 else {
      throw CommandError(
        status: ExitStatus.badData,
        message: "\(data[0]): the test split has no examples; prepare with a larger --test-fraction"
      )
    }
    output.json
      ? Console.print(EvaluateCommand.json(result)) : Console.print(EvaluateCommand.rows(result))
  }

  private static func json(_ result: Evaluation) -> JSONValue {
    if let rmse = result.rootMeanSquaredError {
      return .object([
        ("rmse", .number(rmse)), ("mae", .optional(result.meanAbsoluteError)),
        ("examples", .integer(result.examples)),
      ])
    }
    return .object([
      ("accuracy", .optional(result.accuracy)), ("logLoss", .optional(result.loss)),
      ("auc", .optional(result.auc)), ("balancedAccuracy", .optional(result.balancedAccuracy)),
      ("examples", .integer(result.examples)),
    ])
  }

  private static func rows(_ result: Evaluation) -> [(String, String)] {
    let metrics: [(String, Double?)] = [
      ("accuracy", result.accuracy),
      ("balanced accuracy", result.balancedAccuracy),
      ("area under ROC", result.auc),
      ("log loss", result.accuracy == nil ? nil : result.loss),
      ("rmse", result.rootMeanSquaredError),
      ("mae", result.meanAbsoluteError),
    ]
    return metrics.compactMap { name, value in value.map { (name, $0.significant(4)) } } + [
      ("test examples", result.examples.grouped)
    ]
  }
}
