import ArgumentParser
import DPFiles
import FastDP
import Foundation

/// The subcommand `fastdp demo`.
struct DemoCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "demo",
    abstract: "The whole way on a synthetic census: make, prepare, train, evaluate.",
    discussion: """
      Makes a table of 1,224,000 rows with the columns of the census records that fastDP was first \
      tried on, prepares it, trains a network of 50 hidden units to ε = 1 at δ = 1e-6, and \
      evaluates it beside the same training without privacy.

      Examples:
        fastdp demo
        fastdp demo --rows 100000 --out /tmp/demo --overwrite
      """)

  @Option(help: "The folder for everything that is made.")
  var out = "fastdp-demo"

  @Option(help: "Rows of the table.")
  var rows = DemoTable.usualRows

  @Flag(help: "Replace an older demo in the folder.")
  var overwrite = false

  @OptionGroup var output: OutputOptions

  func run() throws {
    guard rows >= 1000 else {
      throw CommandError.usage("rows is \(rows); the demo needs at least 1000")
    }
    try makeFolder()
    let table = "\(out)/people.csv"
    let (_, making) = try timed("make \(rows.grouped) rows") {
      try DemoTable.write(to: table, rows: rows, overwrite: overwrite)
    }
    let schema = try Schema(text: DemoTable.schemaText, file: "the demo's schema")
    var file = try AtomicFile(path: "\(out)/people.yaml", overwrite: overwrite)
    try file.write(DemoTable.schemaText)
    try file.commit()
    let (prepared, preparing) = try timed("prepare") {
      var options = PrepareOptions()
      options.overwrite = overwrite
      return try Dataset.prepare(
        tables: [table], schema: schema, to: "\(out)/people.safetensors", options: options,
        onProgress: PrepareCommand.show)
    }
    let dataset = try Dataset(contentsOf: "\(out)/people.safetensors")
    let reference = try train(.none, dataset, "without-privacy")
    let outcome = try train(.epsilon(1), dataset, "run")
    report(prepared, making, preparing, outcome, reference)
  }

  private func makeFolder() throws {
    guard !FileManager.default.fileExists(atPath: out) else {
      guard overwrite else {
        throw CommandError(
          status: ExitStatus.cannotCreate,
          message: "\(out): exists already; --overwrite makes the demo anew, --out names another")
      }
      return
    }
    do {
      try FileManager.default.createDirectory(
        atPath: out, withIntermediateDirectories: false,
        attributes: [.posixPermissions: 0o700])
    } catch {
      throw CommandError(
        status: ExitStatus.cannotCreate,
        message: "\(out): the folder cannot be made; its parent must exist and be writable")
    }
  }

  private func timed<Result>(
    _ what: String, _ work: () throws -> Result
  ) throws -> (Result, Double) {
    Console.progress(what)
    let clock = ContinuousClock()
    let start = clock.now
    let result = try work()
    Console.clearProgress()
    return (result, (clock.now - start) / .seconds(1))
  }

  private func train(
    _ privacy: PrivacyChoice, _ dataset: Dataset, _ name: String
  ) throws -> TrainingOutcome {
    ProcessControl.watchSignals()
    var options = TrainingOptions()
    options.privacy = privacy
    options.delta = 1e-6
    let accountant = PLDAccountant()
    var control = TrainingControl()
    control.threads = ProcessInfo.processInfo.activeProcessorCount
    control.shouldStop = { ProcessControl.isStopRequested }
    control.onProgress = TrainReport.show
    let outcome = try Trainer(
      TrainingPlan(options, dataset: dataset, accountant: accountant), dataset: dataset,
      accountant: accountant
    ).start(in: RunDirectory(path: "\(out)/\(name)"), overwrite: overwrite, control: control)
    Console.clearProgress()
    guard !outcome.interrupted else {
      throw CommandError(status: ExitStatus.interrupted, message: "the demo was interrupted")
    }
    return outcome
  }

  private func report(
    _ prepared: PrepareReport, _ making: Double, _ preparing: Double, _ outcome: TrainingOutcome,
    _ reference: TrainingOutcome
  ) {
    let accuracy = outcome.evaluation?.accuracy ?? 0
    let referenceAccuracy = reference.evaluation?.accuracy ?? 0
    guard !output.json else {
      Console.print(
        .object([
          ("rows", .integer(prepared.rowsRead)), ("makeSeconds", .number(making)),
          ("prepareSeconds", .number(preparing)), ("train", TrainReport.json(outcome)),
          ("trainWithoutPrivacy", TrainReport.json(reference)),
        ]))
      return
    }
    let privacy = outcome.plan.privacy
    Console.print([
      ("made", "\(prepared.rowsRead.grouped) synthetic census rows in \(making.significant(3)) s"),
      (
        "prepared",
        "\(prepared.rowsKept.grouped) examples of \(prepared.features) features in "
          + "\(preparing.significant(3)) s"
      ),
      (
        "trained",
        "\(outcome.plan.steps.grouped) steps of \(outcome.plan.batchSize.grouped) rows in "
          + "\(outcome.seconds.significant(3)) s, \(outcome.examplesPerSecond.compact) examples/s "
          + "(without privacy \(reference.seconds.significant(3)) s)"
      ),
      (
        "guarantee",
        "epsilon \(outcome.statement.epsilon ?? .infinity), delta \(privacy?.delta ?? 1), "
          + "noise multiplier \(privacy?.noiseMultiplier ?? 0)"
      ),
      (
        "test accuracy",
        "\(accuracy.fixed(4)) (without privacy \(referenceAccuracy.fixed(4)))"
      ),
      ("statement", "\(out)/run/statement.txt"),
      ("model", "\(out)/run/model.safetensors"),
    ])
  }
}
