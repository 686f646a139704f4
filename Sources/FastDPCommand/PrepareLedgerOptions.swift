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
    let columns = schema.estimatedColumns.map { "\"\($0.name)\"" }.joined(separator: ", ")
    guard !columns.isEmpty else {
      guard ledger == nil, ledgerPlan == nil, imputationNoise == nil else {
        throw CommandError.usage(
          "the schema estimates nothing, so preparing costs no privacy; leave --ledger and "
            + "--imputation-noise out")
      }
      return schema
    }
    guard let ledger else {
      throw CommandError.usage(
        "estimates for missing values of \(columns) cost privacy; give the --ledger that they are "
          + "charged to, or declare values in the schema")
    }
    guard let noise = imputationNoise ?? schema.imputationNoise else {
      throw CommandError.usage(
        "estimates for missing values of \(columns) need noise; give --imputation-noise 10 or the "
          + "like, or imputation: {noise_multiplier: 10} in the schema")
    }
    if let table = try tables.first(where: { try Self.canBeReadOnce($0) }) {
      throw CommandError.usage(
        "estimates need to read the tables twice, and \(table) can be read once; save it to a file")
    }
    let account = try Ledger(path: ledger).openAccount(
      run: "prepare", source: options.sourceName(of: tables), plan: ledgerPlan,
      unit: schema.maxRowsPerUnit == nil ? nil : schema.unit)
    let (resolved, released) = try PaidImputation.resolve(
      schema, tables: tables, options: options, noiseMultiplier: noise,
      relation: account.source.relation, ledger: account, onProgress: PrepareCommand.show)
    Console.message(
      "charged one release with noise multiplier \(noise) to source '\(account.source.name)'")
    options.imputation = released
    return resolved
  }

  /// Whether a table is gone when it was read: standard input, a pipe or a device.
  private static func canBeReadOnce(_ table: String) throws -> Bool {
    try table == "-" || InputFile.size(ofFileAt: table) == nil
  }
}
