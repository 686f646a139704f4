package import DPAccounting
internal import Foundation
internal import GRDB

/// One run's account in a ledger: where a trainer reserves its steps.
///
/// A process that goes on with a run opens an account of its own; what earlier ones reserved stays
/// charged.
package final class RunLedger: PrivacyLedger {
  /// A charge that is on disk.
  package struct Charge: Hashable, Sendable {
    /// The row's number, unique in the ledger.
    package let id: Int
    /// The position of its entry in the chain.
    package let position: Int
    /// The hash of its entry.
    package let hash: String
  }

  /// The source that is charged.
  package let source: LedgerSource
  /// What the operator should know: data that differ from what was charged under this name.
  package let warnings: [String]
  /// The last charge that this account made.
  package private(set) var lastCharge: Charge?

  private let ledger: Ledger
  private let run: Int64
  private let plan: LedgerPlan?
  /// The column whose units the run protects as wholes; nil where it protects rows.
  private let unit: String?
  private let filter: RenyiFilter?
  private var spending: Spending
  private var costs: [PoissonSubsampledGaussian: Double] = [:]
  /// The last range and its mechanism; steps below its end are taken.
  private var last: (steps: Range<Int>, mechanism: PoissonSubsampledGaussian)?
  private var lastHead: String

  /// The hash of the last entry that this account has made in the ledger's chain.
  package var head: String? { lastHead }

  fileprivate init(
    _ ledger: Ledger, source: LedgerSource, plan: LedgerPlan?, unit: String?, run: Int64,
    head: String, warnings: [String]
  ) throws {
    self.ledger = ledger
    self.source = source
    self.plan = plan
    self.unit = unit
    self.run = run
    lastHead = head
    self.warnings = warnings
    filter = source.rule == .filter ? try RenyiFilter(source.target, order: source.order) : nil
    spending = Spending(of: source)
  }

  /// Charges a range of steps, durably, before any of them runs.
  ///
  /// - Parameters:
  ///   - steps: The next steps of the run, after all that were reserved before.
  ///   - mechanism: What each of the steps releases.
  /// - Throws: ``PrivacyError`` with `budgetExceeded` when they do not fit, ``LedgerError``.
  /// - Complexity: One sync of the disk, and O(rows that came since the last call).
  package func reserve(_ steps: Range<Int>, of mechanism: PoissonSubsampledGaussian) throws {
    precondition(
      !steps.isEmpty && steps.lowerBound >= (last?.steps.upperBound ?? 0),
      "steps \(steps) after \(String(describing: last?.steps))")
    try Ledger.checkLength(steps.upperBound)
    let charge = try ledger.write { db in
      try check(mechanism)
      try checkUnit(db)
      try spending.update(db)
      try refuseUnlessFits(steps.count, mechanism, try currentTarget(db))
      return try insert("reserve", steps, mechanism, db)
    }
    record(charge)
    last = (steps, mechanism)
  }

  /// Takes back the end of the last reserved range: steps that did not run and never will.
  ///
  /// - Parameter steps: The unused tail of the last reserved range.
  /// - Throws: ``LedgerError``; the range then stays charged.
  package func release(_ steps: Range<Int>) throws {
    guard !steps.isEmpty else { return }
    guard let (reserved, mechanism) = last, steps.upperBound == reserved.upperBound,
      steps.lowerBound >= reserved.lowerBound
    else { preconditionFailure("steps \(steps) are no tail of \(String(describing: last?.steps))") }
    record(try ledger.write { db in try insert("release", steps, mechanism, db) })
    last = (reserved.lowerBound..<steps.lowerBound, mechanism)
  }

  /// Refuses a number of steps that the budget has no room for at this moment; charges nothing.
  ///
  /// - Parameters:
  ///   - count: T.
  ///   - mechanism: What each of the steps would release.
  /// - Throws: What ``reserve(_:of:)`` would throw.
  package func checkRoom(for count: Int, of mechanism: PoissonSubsampledGaussian) throws {
    try ledger.read { db in
      try check(mechanism)
      try checkUnit(db)
      try spending.update(db)
      try refuseUnlessFits(count, mechanism, try currentTarget(db))
    }
  }

  /// Whether an entry of the chain has a hash.
  ///
  /// - Parameter head: A hash that a run kept.
  /// - Returns: False where the ledger is another one, or was rewritten.
  /// - Throws: ``LedgerError``.
  package func holds(head: String) throws -> Bool {
    try ledger.holds(head: head)
  }

  // MARK: - The rules

  /// The budget that is in force now, which may have been changed since the account was opened.
  private func currentTarget(_ db: Database) throws -> PrivacyTarget {
    try ledger.knownSource(source.name, db).target
  }

  private func check(_ mechanism: PoissonSubsampledGaussian) throws {
    try Ledger.check(mechanism.relation, of: source)
    guard let registered = plan?.steps.mechanism else { return }
    // More noise at the same rate costs no more: the released sum, with noise added to it.
    guard mechanism.samplingRate == registered.samplingRate,
      mechanism.groupSize == registered.groupSize,
      mechanism.noiseMultiplier.value >= registered.noiseMultiplier.value
    else {
      throw LedgerError(
        .invalidRequest,
        "plan '\(plan?.name ?? "")' is for q = \(registered.samplingRate.value) and effective sigma "
          + "of at least \(registered.noiseMultiplier.value), not q = "
          + "\(mechanism.samplingRate.value) and \(mechanism.noiseMultiplier.value), each for as many "
          + "rows of a unit (\(registered.groupSize), not \(mechanism.groupSize)); run what was "
          + "registered")
    }
  }

  /// Refuses steps that protect something else than those that were charged before.
  ///
  /// Where units are bounded, a row that contributes nothing makes room for another of its unit, so
  /// that one row moves two: what such steps cost a unit is no bound on what they cost a row, or a
  /// unit of another column. (Charges of before version 5 that do not say their unit are let pass.)
  private func checkUnit(_ db: Database) throws {
    let other = try Row.fetchOne(
      db,
      sql: """
        SELECT unit FROM runs WHERE source = ? AND unit IS NOT ? AND EXISTS (
          SELECT 1 FROM charges WHERE run = runs.id AND (unit IS NOT NULL OR group_size IS NULL))
        LIMIT 1
        """, arguments: [source.id, unit])
    guard let other else { return }
    func name(_ unit: String?) -> String { unit.map { "units of \"\($0)\"" } ?? "single rows" }
    throw LedgerError(
      .invalidRequest,
      "source '\(source.name)' has been charged for \(name(other["unit"])) and cannot be for "
        + "\(name(unit)), since all charges together would protect neither; prepare all data of a "
        + "source with the same unit, or register another source, whose budget adds up")
  }

  private func refuseUnlessFits(
    _ count: Int, _ mechanism: PoissonSubsampledGaussian, _ target: PrivacyTarget
  ) throws {
    if let plan {
      let left = plan.steps.count - spending.planSteps[plan.id, default: 0]
      guard count > left else { return }
      throw refusal(count, left, "plan '\(plan.name)' of source '\(source.name)'")
    }
    guard let order = filter?.order else { preconditionFailure("neither plan nor filter") }
    let filter = try RenyiFilter(target, order: order)
    var after = spending
    after.add(count, of: mechanism)
    guard after.divergence(filter, &costs) > filter.limit else { return }
    let left = filter.steps(
      of: filter.cost(of: mechanism), after: spending.divergence(filter, &costs))
    throw refusal(
      count, min(left, count - 1),
      "the budget of source '\(source.name)' (epsilon \(target.epsilon) at delta \(target.delta))")
  }

  private func refusal(_ count: Int, _ left: Int, _ what: String) -> PrivacyError {
    PrivacyError(
      .budgetExceeded,
      "\(count) \(count == 1 ? "step does" : "steps do") not fit \(what): \(max(0, left)) of this "
        + "kind are left; take fewer steps or more noise, or ask the data's owner")
  }

  /// Keeps a charge that is on disk.
  private func record(_ charge: Charge) {
    lastCharge = charge
    lastHead = charge.hash
  }

  private func insert(
    _ kind: String, _ steps: Range<Int>, _ mechanism: PoissonSubsampledGaussian, _ db: Database
  ) throws -> Charge {
    try db.execute(
      sql: """
        INSERT INTO charges
        (run, kind, first_step, end_step, sampling_rate, sigma_effective, relation, time, group_size)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
      arguments: [
        run, kind, steps.lowerBound, steps.upperBound, mechanism.samplingRate.value,
        mechanism.noiseMultiplier.value, mechanism.relation.rawValue, Ledger.now(),
        mechanism.storedGroupSize,
      ])
    let id = db.lastInsertedRowID
    let head = try HashChain.append("charges", id, db)
    return Charge(id: Int(id), position: head.position, hash: head.hash)
  }
}

extension Ledger {
  /// Opens a run's account.
  ///
  /// - Parameters:
  ///   - run: What to call the run, for people.
  ///   - sourceName: The source of its data.
  ///   - planName: The registered plan that it carries out: needed under the rule `plans` only.
  ///   - unit: The column whose units it protects as wholes, where rows are bounded by unit.
  ///   - contentHash: A hash of the encoded rows; another one than before gives a warning.
  ///   - noise: The kind of noise of its steps.
  /// - Returns: The account.
  /// - Throws: ``LedgerError`` when the source or the plan is not registered, the source's rule does
  ///   not cover the noise, or the database would not keep what is written to it.
  package func openAccount(
    run: String, source sourceName: String, plan planName: String? = nil,
    unit: String? = nil, contentHash: String? = nil, noise: NoiseKind = .gaussian
  ) throws -> RunLedger {
    try write { db in
      if let difference = try LedgerSchema.differences(db).first {
        throw LedgerError(.changed, "\(path): \(difference); run 'fastdp ledger verify'")
      }
      let source = try knownSource(sourceName, db)
      let plan = try plan(planName, of: source, db)
      try check(noise, of: source)
      let warnings = try contentHash.map { try note(contentHash: $0, of: source, db) } ?? []
      try db.execute(
        sql: "INSERT INTO runs (source, name, opened, plan, unit) VALUES (?, ?, ?, ?, ?)",
        arguments: [source.id, run, Ledger.now(), plan?.id, unit])
      let id = db.lastInsertedRowID
      let head = try HashChain.append("runs", id, db)
      return try RunLedger(
        self, source: source, plan: plan, unit: unit, run: id, head: head.hash,
        warnings: warnings)
    }
  }

  private func plan(_ name: String?, of source: LedgerSource, _ db: Database) throws -> LedgerPlan?
  {
    switch (source.rule, name) {
    case (.filter, nil): return nil
    case (.filter, _?):
      throw LedgerError(
        .invalidRequest,
        "\(path): source '\(source.name)' is kept by a filter, which has no plans; leave the plan "
          + "out")
    case (.plans, nil):
      throw LedgerError(
        .invalidRequest,
        "\(path): source '\(source.name)' is kept by plans; name the plan that is carried out")
    case (.plans, let name?):
      if let plan = try plans(of: source, db).first(where: { $0.name == name }) { return plan }
      throw LedgerError(
        .unknownName,
        "\(path): source '\(source.name)' has no plan '\(name)'; 'fastdp ledger show' lists them")
    }
  }

  /// Refuses noise whose steps cost other than the Gaussian ones that the rule counts.
  private func check(_ noise: NoiseKind, of source: LedgerSource) throws {
    let filter =
      source.rule == .filter ? try RenyiFilter(source.target, order: source.order) : nil
    guard noise != .gaussian, filter?.covers(noise, source.relation) != true else { return }
    throw LedgerError(
      .invalidRequest,
      "\(path): source '\(source.name)' cannot count discrete noise, which takes a filter of an "
        + "integer order and a relation other than replace; train with --noise gaussian")
  }

  /// Records what the rows looked like, and says what is odd about it.
  private func note(
    contentHash: String, of source: LedgerSource, _ db: Database
  ) throws -> [String] {
    let before = try Row.fetchAll(
      db,
      sql: """
        SELECT contents.hash AS hash, sources.name AS name FROM contents
        JOIN sources ON sources.id = contents.source
        """)
    let own: [String] = before.filter { $0["name"] == source.name }.map { $0["hash"] }
    guard !own.contains(contentHash) else { return [] }
    try db.execute(
      sql: "INSERT INTO contents (source, hash, seen) VALUES (?, ?, ?)",
      arguments: [source.id, contentHash, Ledger.now()])
    try HashChain.append("contents", db.lastInsertedRowID, db)
    var warnings: [String] = []
    if !own.isEmpty {
      warnings.append(
        "the rows of source '\(source.name)' are not those that were charged before; they share "
          + "its budget")
    }
    let elsewhere: [String] = before.filter { $0["hash"] == contentHash }.map { $0["name"] }
    if let other = elsewhere.first {
      warnings.append(
        "these rows were charged as source '\(other)' before; one table under two names has two "
          + "budgets, which add up")
    }
    return warnings
  }

  /// Whether an entry of the chain has a hash.
  ///
  /// - Parameter head: A hash that was kept outside the ledger.
  /// - Returns: False where the ledger is another one, or was rewritten.
  /// - Throws: ``LedgerError``.
  package func holds(head: String) throws -> Bool {
    try read { db in
      try Int.fetchOne(db, sql: "SELECT 1 FROM chain WHERE hash = ?", arguments: [head]) != nil
    }
  }
}
