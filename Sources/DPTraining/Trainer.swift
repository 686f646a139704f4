public import DPAccounting
internal import DPCollectives
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
///
/// On several ranks all call the same, each with a trainer of its own. Rank 0 has the folder, the
/// charges and the key; what it may not do no rank does. The others follow: they neither read nor
/// write the folder.
public struct Trainer {
  /// What is to be done.
  public let plan: TrainingPlan
  private let dataset: Dataset
  private let accountant: any PrivacyAccountant
  private let ledger: (any PrivacyLedger)?
  private let ranks: TrainingRanks?
  private let share: RowShare
  /// The rows of the share.
  private let own: ExampleTable
  private let planDigest: String
  /// A hash of the encoded rows: another table cannot take their place by mistake.
  private let contentHash: String

  /// Prepares a run.
  ///
  /// - Parameters:
  ///   - plan: A plan that was made for `dataset`.
  ///   - dataset: The prepared data.
  ///   - accountant: The method that the plan was made with.
  ///   - ledger: A durable ledger to charge besides the run's own record, or nil; rank 0's.
  ///   - ranks: The ranks that train together, or nil to train in this process alone.
  /// - Throws: ``TrainingError`` when the plan is for other data, or does not follow from itself: κ,
  ///   the grid and ε are computed again.
  public init(
    _ plan: TrainingPlan, dataset: Dataset, accountant: some PrivacyAccountant,
    ledger: (any PrivacyLedger)? = nil, ranks: TrainingRanks? = nil
  ) throws {
    guard plan.data.examples == dataset.trainRows, plan.features == dataset.features,
      plan.data.schemaHash == String(dataset.schema.stableHash, radix: 16),
      plan.data.unit == dataset.schema.unitFacts
    else {
      throw TrainingError(.changedPlan, "the plan was made for other data; make a plan anew")
    }
    guard dataset.shard == nil, dataset.held == nil || ranks != nil else {
      throw TrainingError(
        .invalidOption,
        "the data are some rows of a dataset only; open all of its shards, or train on ranks that have "
          + "them")
    }
    try PlanRules.check(plan, accountant: accountant)
    self.plan = plan
    self.dataset = dataset
    self.accountant = accountant
    self.ledger = ledger
    self.ranks = ranks
    share = RowShare(of: dataset, rank: ranks?.rank ?? 0, ranks: ranks?.count ?? 1)
    let train = dataset.train.table
    own = dataset.held == nil ? train.rows(share.rows) : train
    planDigest = try Trainer.digest(of: plan)
    contentHash = String(dataset.contentHash(), radix: 16)
  }

  /// The plan of the run in a folder.
  ///
  /// - Parameter directory: The run's folder.
  /// - Returns: The plan that the run was started with.
  /// - Throws: ``TrainingError`` when the folder holds no run.
  public static func plan(of directory: RunDirectory) throws -> TrainingPlan {
    try RunRecord(of: directory).plan
  }

  /// The plan of the run in rank 0's folder, on every rank.
  ///
  /// - Parameters:
  ///   - directory: The run's folder, which rank 0 alone looks into.
  ///   - ranks: The ranks, all of which call this; nil for one that is alone.
  /// - Returns: The plan that the run was started with.
  /// - Throws: ``TrainingError`` when the folder holds no run, or ``CollectiveError`` that tells it.
  public static func plan(
    of directory: RunDirectory, over ranks: TrainingRanks?
  ) throws -> TrainingPlan {
    guard let ranks else { return try plan(of: directory) }
    return try ranks.fromLeader { try plan(of: directory) }
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
    try together {
      let opening = try open { try openNew(directory, overwrite: overwrite) }
      return try run(opening, control)
    }
  }

  /// What is known of a run before its first step in these processes.
  private struct Opening: Codable {
    /// The next step.
    var step: Int
    /// Whether no step is left, and the model written.
    var isComplete = false
  }

  /// The leader's books of a run.
  private final class Books {
    let directory: RunDirectory
    let lock: FolderLock
    var record: RunRecord
    let charges: ChargeFile?
    let checkpoint: Checkpoint?

    init(
      _ directory: RunDirectory, _ lock: FolderLock, _ record: RunRecord, _ charges: ChargeFile?,
      _ checkpoint: Checkpoint? = nil
    ) {
      self.directory = directory
      self.lock = lock
      self.record = record
      self.charges = charges
      self.checkpoint = checkpoint
    }
  }

  private func openNew(_ directory: RunDirectory, overwrite: Bool) throws -> Books {
    try checkRoom(for: plan.steps)
    let (lock, isNew) = try directory.create(overwrite: overwrite)
    var record = RunRecord(plan: plan, planDigest: planDigest, contentHash: contentHash)
    record.ledgerHead = ledger?.head
    if ranks?.isExposed == true { record.isExposed = true }
    do {
      try directory.write(record.text(), to: directory.record)
      return Books(directory, lock, record, try openCharges(directory))
    } catch {
      directory.removeUnstarted(isNew: isNew)
      throw error
    }
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
    try together {
      let opening = try open { try openOld(directory, control) }
      return try run(opening, control)
    }
  }

  private func openOld(_ directory: RunDirectory, _ control: TrainingControl) throws -> Books {
    let lock = try directory.lock()
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
    guard record.status != "complete" else { return Books(directory, lock, record, charges) }
    let checkpoint = try directory.latestCheckpoint(plan: plan, planDigest: planDigest)
    try checkCharges(directory, record, checkpoint, charges)
    try checkLedger(of: record, in: directory)
    try checkRoom(for: plan.steps - (charges?.charged ?? 0))
    record.status = "running"
    record.processes += 1
    record.ledgerHead = ledger?.head
    if ranks?.isExposed == true { record.isExposed = true }
    try directory.write(record.text(), to: directory.record)
    reportLosses(checkpoint, charges, control)
    return Books(directory, lock, record, charges, checkpoint)
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

  private static func digest(of plan: TrainingPlan) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    return hexDigest(of: try encoder.encode(plan))
  }

  // MARK: - One process's share of a run

  /// Carries out a rank's work; where it fails, the others are told.
  private func together(_ work: () throws -> TrainingOutcome) throws -> TrainingOutcome {
    do { return try work() } catch {
      ranks?.abort("\(error)")
      throw error
    }
  }

  /// Checks that all ranks are about to do the same, and opens the leader's books.
  private func open(_ work: () throws -> Books) throws -> (opening: Opening, books: Books?) {
    guard let ranks else {
      let books = try work()
      return (beginning(of: books), books)
    }
    try ranks.agree(on: facts(of: ranks))
    try ranks.check(share)
    var books: Books?
    let opening = try ranks.fromLeader {
      let opened = try work()
      books = opened
      return beginning(of: opened)
    }
    return (opening, books)
  }

  private func beginning(of books: Books) -> Opening {
    Opening(
      step: books.charges?.charged ?? books.checkpoint?.steps ?? 0,
      isComplete: books.record.status == "complete")
  }

  /// What has to be the same on all ranks.
  private func facts(of ranks: TrainingRanks) -> [String: String] {
    var facts = plan.settings
    facts["version"] = Version.current
    facts["a plan with the hash"] = planDigest
    facts["rows with the hash"] = contentHash
    facts["algorithms"] = ranks.algorithms
    facts["transport"] = ranks.transport
    if plan.numerics == .fast { facts["instruction set"] = TileKernels.fastest().name }
    return facts
  }

  private func run(
    _ opened: (opening: Opening, books: Books?), _ control: TrainingControl
  ) throws -> TrainingOutcome {
    guard !opened.opening.isComplete else { return try finishedOutcome(opened.books) }
    if let seed = plan.insecureSeed {
      return try run(opened.opening, opened.books, control, key: InsecureKey(seed: seed))
    }
    let key = SecureKey()
    return try run(opened.opening, opened.books, control, key: ranks?.share(key) ?? key)
  }

  private func run(
    _ opening: Opening, _ books: Books?, _ control: TrainingControl, key: some RunKey
  ) throws -> TrainingOutcome {
    var generator = StreamGenerator(key, domain: .initialisation)
    let state = try books?.checkpoint?.state ?? ModelState(start: plan, using: &generator)
    let engine = try StepEngine(
      plan, table: own, key: key,
      start: try ranks?.share(state) ?? state, threads: control.threads, share: share,
      communicator: ranks?.communicator)
    let charges = books?.charges.map { [$0 as any PrivacyLedger] } ?? []
    let shared = books == nil ? nil : ledger
    var loop = try TrainingLoop(
      plan: plan, planDigest: planDigest, directory: books?.directory, ranks: ranks,
      engine: engine, ledgers: charges + (shared.map { [$0] } ?? []),
      spending: books == nil ? nil : spending(), firstStep: opening.step, control: control,
      onReserved: { if let books { try keepHead(in: books) } })
    let ended = try loop.run()
    return try conclude(loop, ended: ended, books)
  }

  /// Keeps the ledger's head with the run, so that a killed process too leaves a witness to what it
  /// charged.
  private func keepHead(in books: Books) throws {
    guard let head = ledger?.head else { return }
    books.record.ledgerHead = head
    try books.directory.write(books.record.text(), to: books.directory.record)
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
    _ loop: TrainingLoop, ended: Bool, _ books: Books?
  ) throws -> TrainingOutcome {
    let endings = try ranks?.gather(ending(of: loop)) ?? []
    let state = loop.engine.state
    let statement = try Statement(
      plan, chargedSteps: books?.charges?.charged ?? loop.step, accountant: accountant,
      isExposed: books?.record.isExposed ?? ranks?.isExposed ?? false)
    if ended, let books { try write(model(state.parameters), statement, to: books.directory) }
    let evaluation = ended ? try evaluate(state.parameters) : nil
    let outcome = TrainingOutcome(
      plan: plan, statement: statement, interrupted: !ended, stepsTaken: state.optimizerSteps,
      trainExamples: ranks == nil ? keptRows : endings.reduce(0) { $0 + $1.keptRows },
      evaluation: evaluation, seconds: loop.seconds, examplesDrawn: loop.examplesDrawn,
      ranks: endings.map(\.report))
    guard let books else { return outcome }
    var ending = books.record.ended(outcome)
    ending.ranks = record(of: outcome.ranks)
    ending.ledgerHead = ledger?.head
    try books.directory.write(ending.text(), to: books.directory.record)
    if ended { books.directory.removeCheckpoints() }
    return outcome
  }

  private func model(_ parameters: [Float]) throws -> Model {
    Model(
      architecture: try plan.architecture(), parameters: parameters,
      schemaText: dataset.schema.canonicalJSON)
  }

  /// The metrics of all test rows, where this process has the run's folder; nil elsewhere.
  private func evaluate(_ parameters: [Float]) throws -> Evaluation? {
    if let ranks, dataset.held != nil {
      return try ranks.evaluate(parameters, of: plan.architecture(), on: dataset)
    }
    return ranks?.leads ?? true ? try dataset.evaluate(model(parameters)) : nil
  }

  private func write(
    _ model: Model, _ statement: Statement, to directory: RunDirectory
  ) throws {
    try model.write(to: directory.model, overwrite: true)
    try directory.write(statement.json.text(indented: true) + "\n", to: directory.statement)
    try directory.write(statement.text, to: directory.statementText)
  }

  /// The outcome of a run that was complete before this process came.
  private func finishedOutcome(_ books: Books?) throws -> TrainingOutcome {
    let charged = try fromLeader {
      books?.directory.removeCheckpoints()
      return books?.charges?.charged ?? books?.record.chargedSteps ?? plan.steps
    }
    let statement = try Statement(
      plan, chargedSteps: charged, accountant: accountant,
      isExposed: books?.record.isExposed ?? ranks?.isExposed ?? false)
    let none = [Float](repeating: 0, count: try plan.architecture().parameterCount)
    let parameters = try books.map { try Model(contentsOf: $0.directory.model).parameters } ?? none
    return TrainingOutcome(
      plan: plan, statement: statement,
      interrupted: false, stepsTaken: books?.record.stepsTaken ?? plan.steps,
      trainExamples: try ranks?.gather(keptRows).reduce(0, +) ?? keptRows,
      evaluation: try evaluate(ranks?.share(parameters) ?? parameters), seconds: 0,
      examplesDrawn: 0, ranks: [])
  }

  private func fromLeader<Value: Codable>(_ work: () throws -> Value) throws -> Value {
    guard let ranks else { return try work() }
    return try ranks.fromLeader(work)
  }

  /// Rows of this rank's share that hold an example.
  private var keptRows: Int {
    (0..<own.count).count { !own.label(of: $0).isNaN }
  }

  // MARK: - What ranks report

  /// A rank's end of a run.
  private struct Ending: Codable {
    var report: RankReport
    var keptRows: Int
  }

  private func ending(of loop: TrainingLoop) -> Ending {
    let times = loop.engine.times ?? StepTimes()
    let steps = Double(max(1, times.steps)) * 1e-6
    let rank = ranks?.rank ?? 0
    return Ending(
      report: RankReport(
        rank: rank, host: ranks?.hosts[rank] ?? "",
        rows: [share.rows.lowerBound, share.rows.upperBound], threads: loop.engine.threads,
        instructionSet: TileKernels.fastest().name, computeMicroseconds: times.compute / steps,
        waitMicroseconds: times.wait / steps, transferMicroseconds: times.transfer / steps),
      keptRows: keptRows)
  }

  private func record(of reports: [RankReport]) -> RanksRecord? {
    ranks.map {
      RanksRecord(
        transport: $0.transport, trafficProtection: $0.protection,
        algorithms: $0.algorithms, ranks: reports)
    }
  }
}

extension RunRecord {
  /// The record after a process's share of the run.
  fileprivate func ended(_ outcome: TrainingOutcome) -> RunRecord {
    var record = self
    record.status = outcome.interrupted ? "interrupted" : "complete"
    record.ended = Date().ISO8601Format()
    record.chargedSteps = outcome.statement.chargedSteps
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
