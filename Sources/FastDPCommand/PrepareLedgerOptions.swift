import ArgumentParser
import DPFiles
import DPLedger
import FastDP

/// What preparing a table pays from, where its schema asks for estimates.
struct PrepareLedgerOptions: ParsableArguments {
  @Option(help: "Charge the schema's estimates (impute: mean and the like) to this ledger.")
  var ledger: String?

  @Option(
    name: .customLong("ledger-plan"),
    help: "The registered plan that the charge belongs to, where the source is kept by plans.")
  var ledgerPlan: String?

  @Option(
    name: .customLong("imputation-noise"),
    help: "σ of the estimates' release. (default: imputation: noise_multiplier in the schema)")
  var imputationNoise: Double?

  /// Makes the estimates that a schema asks for, charged before they are made.
  ///
  /// - Parameters:
  ///   - schema: As the file has it.
  ///   - tables: The tables to be prepared.
  ///   - options: What they are to be prepared with; gets a record of the estimates.
  /// - Returns: The schema with values.
  /// - Throws: ``CommandError`` where the ledger or the noise is not named, or named for nothing.
  func resolve(
    _ schema: Schema, tables: [String], options: inout PrepareOptions
  ) throws -> Schema {
    guard let noise = try noise(schema) else { return schema }
    if let table = try tables.first(where: { try Self.canBeReadOnce($0) }) {
      throw CommandError.usage(
        "estimates need to read the tables twice, and \(table) can be read once; save it to a file")
    }
    let account = try account(of: schema, source: options.sourceName(of: tables))
    let (resolved, released) = try PaidImputation.resolve(
      schema, tables: tables, options: options, noiseMultiplier: noise,
      relation: account.source.relation, ledger: account, onProgress: PrepareCommand.show)
    say(noise, account)
    options.imputation = released
    return resolved
  }

  /// The ledger's account that estimates are charged to.
  ///
  /// - Parameters:
  ///   - schema: As the file has it.
  ///   - source: The name of the source of the data.
  /// - Returns: The account.
  /// - Throws: ``LedgerError``.
  func account(of schema: Schema, source: String) throws -> RunLedger {
    try Ledger(path: ledger ?? "").openAccount(
      run: "prepare", source: source, plan: ledgerPlan,
      unit: schema.maxRowsPerUnit == nil ? nil : schema.unit)
  }

  /// Says what was charged.
  func say(_ noise: Double, _ account: RunLedger) {
    Console.message(
      "charged one release with noise multiplier \(noise) to source '\(account.source.name)'")
  }

  /// σ of the release of a schema's estimates; nil where it asks for none.
  ///
  /// - Parameter schema: As the file has it.
  /// - Returns: σ.
  /// - Throws: ``CommandError`` where the ledger or the noise is not named, or named for nothing.
  func noise(_ schema: Schema) throws -> Double? {
    let columns = schema.estimatedColumns.map { "\"\($0.name)\"" }.joined(separator: ", ")
    guard !columns.isEmpty else {
      guard ledger == nil, ledgerPlan == nil, imputationNoise == nil else {
        throw CommandError.usage(
          "the schema estimates nothing, so preparing costs no privacy; leave --ledger and "
            + "--imputation-noise out")
      }
      return nil
    }
    guard ledger != nil else {
      throw CommandError.usage(
        "estimates for missing values of \(columns) cost privacy; give the --ledger that they are "
          + "charged to, or declare values in the schema")
    }
    guard let noise = imputationNoise ?? schema.imputationNoise else {
      throw CommandError.usage(
        "estimates for missing values of \(columns) need noise; give --imputation-noise 10 or the "
          + "like, or imputation: {noise_multiplier: 10} in the schema")
    }
    return noise
  }

  /// Whether a table is gone when it was read: standard input, a pipe or a device.
  private static func canBeReadOnce(_ table: String) throws -> Bool {
    try table == "-" || InputFile.size(ofFileAt: table) == nil
  }
}
