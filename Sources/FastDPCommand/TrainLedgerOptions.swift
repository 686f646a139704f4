import ArgumentParser
import DPLedger
import FastDP

/// The ledger that a run is charged to.
struct TrainLedgerOptions: ParsableArguments {
  @Option(help: "Charge the run to its source's budget in this ledger ('fastdp ledger').")
  var ledger: String?

  @Option(
    name: .customLong("ledger-plan"),
    help: "The registered plan that the run carries out, where the source is kept by plans.")
  var ledgerPlan: String?

  @Option(
    name: .customLong("register-plan"),
    help: "Register what would run as a plan of this name in --ledger, and stop before any step.")
  var registerPlan: String?

  /// Refuses options that contradict each other.
  func check(planOnly: Bool) throws {
    guard ledger != nil || (ledgerPlan == nil && registerPlan == nil) else {
      throw CommandError.usage(
        "--ledger-plan and --register-plan need a ledger; give --ledger FILE")
    }
    guard ledger == nil || !planOnly else {
      throw CommandError.usage(
        "--plan-only charges nothing; leave --ledger out, or register the plan: --register-plan")
    }
    guard ledgerPlan == nil || registerPlan == nil else {
      throw CommandError.usage(
        "--ledger-plan and --register-plan exclude each other; register first, then run")
    }
  }

  /// Registers the plan where that is asked for.
  ///
  /// - Returns: Whether it was.
  func register(_ plan: TrainingPlan, _ accountant: any PrivacyAccountant) throws -> Bool {
    guard let ledger, let registerPlan else { return false }
    guard plan.privacy?.noise != .discrete else {
      throw CommandError.usage(
        "plans are composed for Gaussian noise; leave --noise discrete out, or register the source "
          + "with a filter, which needs no plans")
    }
    let steps = try ComposedSteps(of: try mechanism(of: plan), count: plan.steps)
    try Ledger(path: ledger).register(
      plan: registerPlan, steps, source: plan.data.source, accountant: accountant)
    Console.message("registered plan '\(registerPlan)' of source '\(plan.data.source)'")
    return true
  }

  /// The run's account; nil without a ledger.
  func account(
    _ plan: TrainingPlan, _ dataset: Dataset, folder: String
  ) throws -> RunLedger? {
    guard let ledger else { return nil }
    let mechanism = try mechanism(of: plan)
    guard mechanism.groupSize == 1 || plan.privacy?.noise != .discrete else {
      throw CommandError.usage(
        "a ledger cannot count discrete noise for units of several rows; train with --noise gaussian"
      )
    }
    let account = try Ledger(path: ledger).openAccount(
      run: folder.split(separator: "/").last.map(String.init) ?? folder, source: plan.data.source,
      plan: ledgerPlan, unit: plan.data.unit?.column,
      contentHash: String(dataset.contentHash(), radix: 16),
      noise: plan.privacy?.noise ?? .gaussian)
    for warning in account.warnings { Console.message("warning: \(warning)") }
    return account
  }

  private func mechanism(of plan: TrainingPlan) throws -> PoissonSubsampledGaussian {
    guard let mechanism = try plan.mechanism() else {
      throw CommandError.usage("a run without privacy cannot be charged; leave --ledger out")
    }
    guard plan.insecureSeed == nil else {
      throw CommandError.usage(
        "a run with an insecure seed has no guarantee that could be charged; leave --ledger out")
    }
    return mechanism
  }
}
