public import DPAccounting
public import DPData
internal import DPFiles
internal import DPKernels
internal import DPMechanisms
internal import DPModels
internal import Foundation

/// Trains a model by a plan, into a run's folder.
///
/// Steps are charged before they are taken. Whatever ends the process, the folder holds whole files
/// only, and ``resume(in:control:)`` goes on from the last checkpoint with a fresh key: steps that
/// were charged and lost are not taken again, so the run ends earlier and never spends more than
/// planned.
public struct Trainer {
  /// What is to be done.
  public let plan: TrainingPlan
  private let dataset: Dataset
  private let accountant: any PrivacyAccountant
  private let ledger: (any PrivacyLedger)?
  private let planDigest: String

  /// Prepares a run.
  ///
  /// - Parameters:
  ///   - plan: A plan that was made for `dataset`.
  ///   - dataset: The prepared data.
  ///   - accountant: The method that the plan was made with.
  ///   - ledger: A durable ledger to charge besides the run's own record, or nil.
  /// - Throws: ``TrainingError`` when the plan is for other data, or does not follow from itself: κ,
  ///   the grid and ε are computed again.
  public init(
    _ plan: TrainingPlan, dataset: Dataset, accountant: some PrivacyAccountant,
    ledger: (any PrivacyLedger)? = nil
  ) throws {
    guard plan.data.examples == dataset.train.count, plan.features == dataset.features,
      plan.data.schemaHash == String(dataset.schema.stableHash, radix: 16),
      plan.data.unit == dataset.schema.unitFacts
    else {
      throw TrainingError(.changedPlan, "the plan was made for other data; make a plan anew")
    }
    try PlanRules.check(plan, accountant: accountant)
    self.plan = plan
    self.dataset = dataset
    self.accountant = accountant
    self.ledger = ledger
    planDigest = try Trainer.digest(of: plan)
  }

  /// The plan of the run in a folder.
  ///
  /// - Parameter directory: The run's folder.
  /// - Returns: The plan that the run was started with.
  /// - Throws: ``TrainingError`` when the folder holds no run.
  public static func plan(of directory: RunDirectory) throws -> TrainingPlan {
    try RunRecord(of: directory).plan
  }

  /// Starts a run and trains to its end, or until it is stopped.
  ///
  /// - Parameters:
  ///   - directory: A folder that is absent or empty, or holds an older run.
  ///   - overwrite: Whether an older run may be replaced. What it spent stays spent.
  ///   - control: How the run is watched and stopped.
  /// - Returns: What the run came to.
  /// - Throws: ``TrainingError``, ``PrivacyError`` (before any step, where the ledger has no room for
  ///   all of them), or the error of a file; the folder is then absent or holds whole files.
  public func start(
    in directory: RunDirectory, overwrite: Bool = false, control: TrainingControl = .init()
  ) throws -> TrainingOutcome {
    try checkRoom(for: plan.steps)
    let (lock, isNew) = try directory.create(overwrite: overwrite)
    defer { withExtendedLifetime(lock) {} }
    var record = RunRecord(
      plan: plan, planDigest: planDigest, contentHash: contentHash)
    record.ledgerHead = ledger?.head
    let charges: ChargeFile?
    do {
      try directory.write(record.text(), to: directory.record)
      charges = try openCharges(directory)
    } catch {
      directory.removeUnstarted(isNew: isNew)
      throw error
    }
    return try run(in: directory, record: record, charges: charges, from: nil, control: control)
  }

  /// Goes on with a run that was interrupted, or finishes one that is complete.
  ///
  /// - Parameters:
  ///   - directory: The run's folder.
  ///   - control: How the run is watched and stopped.
  /// - Returns: What the run came to.
  /// - Throws: ``TrainingError`` with `changedPlan` when the plan or the data are not the run's,
  ///   ``PrivacyError``, or the error of a file.
  public func resume(
    in directory: RunDirectory, control: TrainingControl = .init()
  ) throws -> TrainingOutcome {
    let lock = try directory.lock()
    defer { withExtendedLifetime(lock) {} }
    var record = try RunRecord(of: directory)
    let changes = record.plan.differences(from: plan)
    guard changes.isEmpty else {
      throw TrainingError(
        .changedPlan,
        "\(directory.path): the run was started with other settings (\(changes.joined(separator: ", "))"
          + "); resume with the same, or start a new run")
    }
    guard record.exact.contentHash == contentHash else {
      throw TrainingError(
        .changedPlan,
        "\(directory.path): the run was started on other rows; resume with the same data")
    }
    let charges = try openCharges(directory)
    guard record.status != "complete" else {
      return try finishedOutcome(directory, record, charges)
    }
    let checkpoint = try directory.latestCheckpoint(plan: plan, planDigest: planDigest)
    try checkCharges(directory, record, checkpoint, charges)
    try checkLedger(of: record, in: directory)
    try checkRoom(for: plan.steps - (charges?.charged ?? 0))
    record.status = "running"
    record.processes += 1
    record.ledgerHead = ledger?.head
    try directory.write(record.text(), to: directory.record)
    reportLosses(checkpoint, charges, control)
    return try run(
      in: directory, record: record, charges: charges, from: checkpoint, control: control)
  }

  /// The run's record of charges, made where no step can have been taken yet.
  private func openCharges(_ directory: RunDirectory) throws -> ChargeFile? {
    guard plan.privacy != nil else { return nil }
    return directory.hasSteps
      ? try ChargeFile(path: directory.charges, planDigest: planDigest, budget: plan.steps)
      : try ChargeFile.create(
        path: directory.charges, planDigest: planDigest, budget: plan.steps)
  }

  /// Refuses to go on where less is charged than was done: the record of charges is not the run's.
  private func checkCharges(
    _ directory: RunDirectory, _ record: RunRecord, _ checkpoint: Checkpoint?,
    _ charges: ChargeFile?
  ) throws {
    guard let charges else { return }
    let done = max(checkpoint?.steps ?? 0, record.chargedSteps ?? 0)
    guard charges.charged >= done else {
      throw FileError(
        .malformed,
        "\(directory.charges): \(charges.charged) steps are charged and \(done) were taken; the "
          + "run cannot be resumed")
    }
  }

  /// Refuses to begin what the ledger has no room to end: it would spend and give no model.
  private func checkRoom(for steps: Int) throws {
    guard steps > 0, let ledger, let mechanism = try plan.mechanism() else { return }
    try ledger.checkRoom(for: steps, of: mechanism)
  }

  /// Refuses to go on without the ledger that the run's steps are charged to.
  private func checkLedger(of record: RunRecord, in directory: RunDirectory) throws {
    let path = directory.path
    switch (record.ledgerHead, ledger) {
    case (nil, let ledger) where ledger?.head == nil: return
    case (nil, _):
      throw TrainingError(
        .changedPlan,
        "\(path): the run was started without a ledger; resume without one, or start a new run")
    case (_, nil):
      throw TrainingError(
        .changedPlan, "\(path): the run is charged to a ledger; resume with the same --ledger")
    case (let head?, let ledger?):
      guard try ledger.holds(head: head) else {
        throw TrainingError(
          .changedPlan,
          "\(path): the ledger lacks an entry that the run has seen; resume with the ledger that "
            + "the run was started with")
      }
    }
  }

  private func reportLosses(
    _ checkpoint: Checkpoint?, _ charges: ChargeFile?, _ control: TrainingControl
  ) {
    guard let charges else { return }
    let lost = charges.charged - (checkpoint?.steps ?? 0)
    guard lost > 0 else { return }
    control.onMessage(
      "\(lost) steps were charged and lost with the last process; "
        + "\(plan.steps - charges.charged) of \(plan.steps) are left")
  }

  private var contentHash: String { String(dataset.contentHash(), radix: 16) }

  private static func digest(of plan: TrainingPlan) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    return hexDigest(of: try encoder.encode(plan))
  }

  // MARK: - One process's share of a run

  private func run(
    in directory: RunDirectory, record: RunRecord, charges: ChargeFile?, from: Checkpoint?,
    control: TrainingControl
  ) throws -> TrainingOutcome {
    if let seed = plan.insecureSeed {
      return try run(
        in: directory, record, charges, from, control, key: InsecureKey(seed: seed))
    }
    return try run(in: directory, record, charges, from, control, key: SecureKey())
  }

  private func run(
    in directory: RunDirectory, _ record: RunRecord, _ charges: ChargeFile?, _ from: Checkpoint?,
    _ control: TrainingControl, key: some RunKey
  ) throws -> TrainingOutcome {
    let table = dataset.train.table
    var generator = StreamGenerator(key, domain: .initialisation)
    let start = try from?.state ?? ModelState(start: plan, using: &generator)
    let engine = try StepEngine(
      plan, table: table, key: key, start: start, threads: control.threads)
    let ledgers = (charges.map { [$0 as any PrivacyLedger] } ?? []) + (ledger.map { [$0] } ?? [])
    var loop = try TrainingLoop(
      plan: plan, planDigest: planDigest, directory: directory, engine: engine,
      ledgers: ledgers, spending: spending(),
      firstStep: charges?.charged ?? from?.steps ?? 0, control: control,
      onReserved: { try keepHead(in: directory, record) })
    let ended = try loop.run()
    return try conclude(loop, ended: ended, directory, record, charges)
  }

  /// Keeps the ledger's head with the run, so that a killed process too leaves a witness to what it
  /// charged.
  private func keepHead(in directory: RunDirectory, _ record: RunRecord) throws {
    guard let head = ledger?.head else { return }
    var record = record
    record.ledgerHead = head
    try directory.write(record.text(), to: directory.record)
  }

  /// A bound on ε as a function of steps, for the operator; nil where there is no guarantee to speak of.
  ///
  /// It is RDP's, whatever the plan's accountant, and never above the plan's ε: a privacy loss
  /// distribution for every line that is shown could take longer than the training.
  private func spending() throws -> (@Sendable (Int) -> Double)? {
    guard let privacy = plan.privacy, let mechanism = try plan.mechanism(),
      plan.insecureSeed == nil
    else { return nil }
    let bound = try plan.accountant(over: RDPAccountant()).spending(
      of: mechanism, delta: privacy.delta)
    return { min(privacy.epsilon, bound($0)) }
  }

  // MARK: - The end of a run

  /// Writes what a run leaves behind: first what is released, then the record that says so.
  private func conclude(
    _ loop: TrainingLoop, ended: Bool, _ directory: RunDirectory, _ record: RunRecord,
    _ charges: ChargeFile?
  ) throws -> TrainingOutcome {
    let state = loop.engine.state
    let chargedSteps = charges?.charged ?? loop.step
    let statement = try Statement(plan, chargedSteps: chargedSteps, accountant: accountant)
    var evaluation: Evaluation?
    if ended {
      let model = Model(
        architecture: try plan.architecture(), parameters: state.parameters,
        schemaText: dataset.schema.canonicalJSON)
      try model.write(to: directory.model, overwrite: true)
      try directory.write(
        statement.json.text(indented: true) + "\n", to: directory.statement)
      try directory.write(statement.text, to: directory.statementText)
      evaluation = try dataset.evaluate(model)
    }
    let outcome = TrainingOutcome(
      plan: plan, statement: statement, interrupted: !ended, stepsTaken: state.optimizerSteps,
      trainExamples: trainExamples, evaluation: evaluation, seconds: loop.seconds,
      examplesDrawn: loop.examplesDrawn)
    var ending = record.ended(outcome, chargedSteps: chargedSteps)
    ending.ledgerHead = ledger?.head
    try directory.write(ending.text(), to: directory.record)
    if ended { directory.removeCheckpoints() }
    return outcome
  }

  /// The outcome of a run that was complete before this process came.
  private func finishedOutcome(
    _ directory: RunDirectory, _ record: RunRecord, _ charges: ChargeFile?
  ) throws -> TrainingOutcome {
    directory.removeCheckpoints()
    let model = try Model(contentsOf: directory.model)
    let chargedSteps = charges?.charged ?? record.chargedSteps ?? plan.steps
    return TrainingOutcome(
      plan: plan,
      statement: try Statement(plan, chargedSteps: chargedSteps, accountant: accountant),
      interrupted: false, stepsTaken: record.stepsTaken ?? plan.steps,
      trainExamples: trainExamples, evaluation: try dataset.evaluate(model), seconds: 0,
      examplesDrawn: 0)
  }

  private var trainExamples: Int {
    let table = dataset.train.table
    return (0..<table.count).count { !table.label(of: $0).isNaN }
  }
}

extension RunRecord {
  /// The record after a process's share of the run.
  fileprivate func ended(_ outcome: TrainingOutcome, chargedSteps: Int) -> RunRecord {
    var record = self
    record.status = outcome.interrupted ? "interrupted" : "complete"
    record.ended = Date().ISO8601Format()
    record.chargedSteps = chargedSteps
    record.stepsTaken = outcome.stepsTaken
    record.exact = Exact(
      contentHash: record.exact.contentHash, trainSeconds: outcome.seconds,
      examplesPerSecond: outcome.examplesPerSecond, trainExamples: outcome.trainExamples,
      testExamples: outcome.evaluation?.examples, testAccuracy: outcome.evaluation?.accuracy,
      testLoss: outcome.evaluation?.loss?.ifFinite,
      testAuc: outcome.evaluation?.auc,
      testRmse: outcome.evaluation?.rootMeanSquaredError?.ifFinite)
    return record
  }
}

extension Double {
  /// The number, or nil for one that JSON has no text for: what a diverged model measures.
  fileprivate var ifFinite: Double? { isFinite ? self : nil }
}
