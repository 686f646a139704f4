import ArgumentParser
import DPLedger
import DPSpark
import FastDP
import Foundation

/// Where tables are prepared: here, or on a Spark.
struct SparkOptions: ParsableArguments {
  /// What prepares tables.
  enum Engine: String, ExpressibleByArgument, CaseIterable {
    case native
    case spark
  }

  @Option(help: "What prepares the tables: native, or spark, which --spark-... choose.")
  var engine: Engine?

  @Option(
    name: .customLong("spark-remote"),
    help: "Prepare on this Spark Connect server: sc://HOST:PORT[/;token=...;use_ssl=true].")
  var remote: String?

  @Flag(
    name: .customLong("spark-local"), help: "Prepare on a Spark that is started here and stopped.")
  var local = false

  @Option(
    name: .customLong("spark-cores"), help: "Cores for --spark-local. (default: * for all)")
  var cores: String?

  @Option(
    name: .customLong("spark-ca"), help: "Trust the authorities in this PEM file, for use_ssl=true."
  )
  var authorities: String?

  /// Whether Spark prepares the tables.
  var isSpark: Bool { engine == .spark }

  /// Checks that the options go together.
  ///
  /// - Throws: ``CommandError``.
  func check() throws {
    let isNamed = remote != nil || local || cores != nil || authorities != nil
    guard isSpark else {
      guard !isNamed else {
        throw CommandError.usage("--spark-... are for Spark; add --engine spark, or leave them out")
      }
      return
    }
    guard (remote != nil) != local else {
      throw CommandError.usage(
        "--engine spark needs to know which Spark; give either --spark-remote sc://HOST:PORT or "
          + "--spark-local")
    }
    guard local || cores == nil, remote != nil || authorities == nil else {
      throw CommandError.usage(
        "--spark-cores goes with --spark-local, and --spark-ca with --spark-remote; correct that")
    }
    if let cores, cores != "*", !(Int(cores).map { $0 > 0 } ?? false) {
      throw CommandError.usage("--spark-cores is \(cores); it must be a number above 0, or *")
    }
  }

  /// Prepares tables on Spark.
  ///
  /// - Parameters:
  ///   - tables: Paths and patterns as the server sees them.
  ///   - schema: As the file has it.
  ///   - folder: The folder to make.
  ///   - options: How to read, split and check.
  ///   - ledgerOptions: What estimates are charged to.
  /// - Returns: What was found.
  /// - Throws: What the steps throw.
  func prepare(
    _ tables: [String], _ schema: Schema, to folder: String, _ options: PrepareOptions,
    _ ledgerOptions: PrepareLedgerOptions
  ) throws -> PrepareReport {
    let noise = try ledgerOptions.noise(schema)
    let account = try noise.map { _ in
      try ledgerOptions.account(of: schema, source: options.sourceName(of: tables))
    }
    ProcessControl.ignoreBrokenPipes()
    ProcessControl.watchSignals()
    let program = try SparkProgram(
      path: Self.program(), place: place, authorities: authorities,
      isStopped: { ProcessControl.isStopRequested }, onProgress: Self.show,
      onMessage: Console.message)
    defer { program.disconnect() }
    let preparation = SparkPreparation(
      tables: tables, schema: schema, to: folder, options: options, executor: program,
      onMessage: Console.message)
    try preparation.open()
    if let noise, let account {
      try preparation.resolve(
        noiseMultiplier: noise, relation: account.source.relation, ledger: account)
      ledgerOptions.say(noise, account)
    }
    defer { Console.clearProgress() }
    return try preparation.write()
  }

  private var place: SparkProgram.Place {
    guard let remote else { return .local(cores: cores ?? "*") }
    let token = ProcessInfo.processInfo.environment["FASTDP_SPARK_TOKEN"]
    guard let token, !token.isEmpty, !remote.contains(";token=") else { return .remote(remote) }
    let hasParameters = remote.contains("/;")
    // In the URL every mark would mean something; fastdp-spark decodes it.
    let plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
    let encoded = token.addingPercentEncoding(withAllowedCharacters: .init(charactersIn: plain))
    return .remote(
      "\(remote)\(hasParameters ? "" : remote.hasSuffix("/") ? "" : "/");token=\(encoded ?? token)")
  }

  private static func show(_ progress: SparkProgram.Progress) {
    Console.progress("spark: \(progress.title) \(progress.completed)/\(progress.tasks) tasks")
  }

  /// The program that speaks with Spark: the one that `FASTDP_SPARK` names, the one beside this program, or
  /// the first in `PATH`.
  private static func program() throws -> String {
    let environment = ProcessInfo.processInfo.environment
    if let named = environment["FASTDP_SPARK"], !named.isEmpty { return named }
    let own = Bundle.main.executablePath ?? CommandLine.arguments[0]
    let beside = URL(fileURLWithPath: own).resolvingSymlinksInPath().deletingLastPathComponent()
      .path
    let folders = [beside] + (environment["PATH"] ?? "").split(separator: ":").map(String.init)
    let places = folders.map { "\($0)/fastdp-spark" }
    guard let place = places.first(where: FileManager.default.isExecutableFile) else {
      throw CommandError(
        status: ExitStatus.unavailable,
        message: "the program fastdp-spark is not beside fastdp, nor in PATH; build it with "
          + "'make spark', or name it in FASTDP_SPARK")
    }
    return place
  }
}
