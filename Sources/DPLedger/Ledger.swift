package import DPAccounting
internal import Foundation
internal import GRDB

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// How a source's budget is kept.
package enum BudgetRule: String, Hashable, Sendable, CaseIterable {
  /// A Rényi filter at a fixed order: runs may be chosen after seeing earlier ones.
  case filter
  /// Only plans that were registered before the first of them ran, composed by an accountant.
  case plans
}

/// A source of data: what one budget is for.
package struct LedgerSource: Hashable, Sendable {
  /// The row's key.
  let id: Int64
  /// The name under which data are charged.
  package let name: String
  /// How the budget is kept.
  package let rule: BudgetRule
  /// Which two tables the budget is about.
  package let relation: NeighbouringRelation
  /// The order of the filter; unused under `plans`.
  package let order: Double
  /// The budget that is in force.
  package let target: PrivacyTarget
  /// The largest ε that was ever in force: what the source's rows are guaranteed, since steps may
  /// have been taken, or left, because of results under it.
  package let guaranteedEpsilon: Double
}

/// A number of steps that was registered before any of its source ran.
package struct LedgerPlan: Hashable, Sendable {
  /// The row's key.
  let id: Int64
  /// Its name, unique in its source.
  package let name: String
  /// The most that it may do.
  package let steps: ComposedSteps
}

/// The durable record of what has been spent of the privacy of a data owner's sources: one file.
///
/// The file is an SQLite database in WAL mode whose rows are never changed; each transaction is on
/// disk before the call that made it returns. Any number of processes may use it at once: a
/// reservation reads what is spent and adds to it in one transaction that excludes all others.
///
/// | the process is killed | what the file holds |
/// |---|---|
/// | before a call returns | all of what the call writes, or nothing |
/// | after a call returned | all of what it wrote |
///
/// Where the name no longer leads to the file that was opened, calls throw: charges to a file that
/// was deleted, or replaced by a copy, would be seen by nobody.
package final class Ledger {
  /// The file, as the caller gave it.
  package let path: String
  private let queue: DatabaseQueue
  /// The file that was opened.
  private let file: FileIdentity

  /// How long a call waits for other processes.
  private static let patience: TimeInterval = 30

  // MARK: - Files

  /// Makes a new ledger, readable by its owner only.
  ///
  /// - Parameter path: A name that is free, in a folder that exists.
  /// - Returns: The ledger, open.
  /// - Throws: ``LedgerError``; nothing is then left under the name.
  package static func create(path: String) throws -> Ledger {
    try create(path: path, version: LedgerSchema.version)
    return try Ledger(path: path)
  }

  /// Makes the file under a hidden name, then gives it its own: it appears whole or not at all.
  ///
  /// - Parameters:
  ///   - path: The file.
  ///   - version: Of the tables: an older one in tests of migration only.
  /// - Throws: ``LedgerError``.
  package static func create(path: String, version: Int) throws {
    let (folder, name) = try split(path)
    let random = String(UInt64.random(in: .min ... .max), radix: 36)
    let hidden = "\(folder)/.\(name).\(random).partial"
    guard unsafe access(path, F_OK) != 0 else { throw creating(path, EEXIST) }
    try checkNoRemains(of: path)
    let descriptor = unsafe open(hidden, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw creating(path, errno) }
    _ = fchmod(descriptor, 0o600)
    _ = systemClose(descriptor)
    defer { for end in ["", "-wal", "-shm", "-journal"] { _ = unsafe unlink(hidden + end) } }
    try LedgerError.translating(path) {
      let queue = try connect(hidden)
      try queue.writeWithoutTransaction { try $0.execute(sql: "PRAGMA journal_mode = WAL") }
      try queue.write { db in
        try LedgerSchema.migrate(db, to: version, path: path)
        try db.execute(
          sql: "INSERT INTO ledger (id, identity, created) VALUES (1, ?, ?)",
          arguments: [UUID().uuidString.lowercased(), now()])
        try HashChain.append("ledger", 1, db)
      }
      try queue.close()
    }
    guard unsafe link(hidden, path) == 0 else { throw creating(path, errno) }
    let handle = unsafe open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if handle >= 0 {
      fsync(handle)
      _ = systemClose(handle)
    }
  }

  /// Refuses to begin beside files of a ledger that went away: SQLite would read them as this one's.
  private static func checkNoRemains(of path: String) throws {
    for end in ["-wal", "-shm", "-journal"] where unsafe access(path + end, F_OK) == 0 {
      throw LedgerError(
        .alreadyExists,
        "\(path + end): belongs to a ledger that was moved or deleted while it was in use; put that "
          + "ledger back, or choose another name")
    }
  }

  /// The folder and the name in it.
  private static func split(_ path: String) throws -> (folder: String, name: String) {
    let slash = path.lastIndex(of: "/")
    let name = slash.map { String(path[path.index(after: $0)...]) } ?? path
    guard !name.isEmpty, name != ".", name != ".." else {
      throw LedgerError(.cannotCreate, "'\(path)' is not the name of a file; name a file")
    }
    guard let slash else { return (".", name) }
    return (slash == path.startIndex ? "/" : String(path[..<slash]), name)
  }

  private static func creating(_ path: String, _ number: Int32) -> LedgerError {
    switch number {
    case EEXIST:
      LedgerError(.alreadyExists, "\(path): already exists; a ledger is never overwritten")
    case ENOENT, ENOTDIR:
      LedgerError(.cannotCreate, "\(path): its folder does not exist; make the folder first")
    case EACCES, EPERM, EROFS:
      LedgerError(.cannotCreate, "\(path): its folder may not be written to; choose another folder")
    case ENOSPC, EDQUOT:
      LedgerError(.inputOutput, "\(path): no space left to write it; free some space")
    default:
      LedgerError(.cannotCreate, "\(path): cannot be made (error \(number)); choose another path")
    }
  }

  private static func connect(_ path: String) throws -> DatabaseQueue {
    var configuration = Configuration()
    configuration.busyMode = .timeout(patience)
    configuration.foreignKeysEnabled = true
    configuration.label = "fastDP ledger"
    configuration.prepareDatabase { db in
      // With FULL, a commit in WAL mode returns when its frames are synced; where a sync may leave
      // them in the disk's own memory (macOS), it takes a stronger one.
      try db.execute(sql: "PRAGMA synchronous = FULL; PRAGMA fullfsync = ON")
      try db.execute(sql: "PRAGMA trusted_schema = OFF")
    }
    return try DatabaseQueue(path: path, configuration: configuration)
  }

  /// Opens a ledger, and brings one of an older version up to this one.
  ///
  /// - Parameter path: The file.
  /// - Throws: ``LedgerError`` when it is missing, no ledger, or of a later version.
  package init(path: String) throws {
    guard unsafe access(path, F_OK) == 0 else {
      throw LedgerError(.missing, "\(path): no such ledger; make one with 'fastdp ledger init'")
    }
    self.path = path
    let file = FileIdentity(of: path)
    self.file = file
    queue = try LedgerError.translating(path) {
      let queue = try Ledger.connect(path)
      try file.check(path)
      let version = try queue.read { db in
        try LedgerSchema.check(db, path: path)
        return try Int.fetchOne(db, sql: "PRAGMA user_version")
      }
      if version != LedgerSchema.version {
        try queue.write { try LedgerSchema.migrate($0, path: path) }
      }
      try Ledger.enterWAL(queue, path)
      return queue
    }
  }

  /// Puts a file that another program has left in another mode back into WAL mode: with a rollback
  /// journal, a loss of power can undo a commit whose journal's removal was not synced.
  private static func enterWAL(_ queue: DatabaseQueue, _ path: String) throws {
    let mode = try queue.writeWithoutTransaction {
      try String.fetchOne($0, sql: "PRAGMA journal_mode = WAL")
    }
    guard mode != "wal" else { return }
    throw LedgerError(
      .inputOutput,
      "\(path): cannot be written ahead (journal mode \(mode ?? "unknown")); keep it on a local disk"
    )
  }

  // MARK: - Transactions

  /// Reads one state of the ledger.
  func read<T>(_ body: (Database) throws -> T) throws -> T {
    try LedgerError.translating(path) {
      try queue.read { db in
        try file.check(path)
        return try body(db)
      }
    }
  }

  /// Reads and writes, excluding all other writers; durable when it returns.
  func write<T>(_ body: (Database) throws -> T) throws -> T {
    try LedgerError.translating(path) {
      try queue.write { db in
        try file.check(path)
        let result = try body(db)
        try file.check(path)
        return result
      }
    }
  }

  /// What the connection says of a setting: for tests.
  ///
  /// - Parameter name: The setting's name.
  /// - Returns: Its value; nil where it has none.
  /// - Throws: ``LedgerError``.
  package func pragma(_ name: String) throws -> String? {
    try LedgerError.translating(path) {
      try queue.writeWithoutTransaction { try String.fetchOne($0, sql: "PRAGMA \(name)") }
    }
  }

  /// The time, in the ledger's form.
  static func now() -> String { Date().ISO8601Format() }

  // MARK: - Sources, budgets, plans

  /// Registers a source of data with its budget, or changes the ε of one that is registered.
  ///
  /// Steps stop at the ε that is in force; what is guaranteed is the largest that ever was. δ, the
  /// order, the relation and the rule stay. Once plans are registered, ε cannot be lowered: what
  /// they cost together was agreed to.
  ///
  /// - Parameters:
  ///   - name: The name that prepared data carry: 1 to 200 bytes, without control characters.
  ///   - target: (ε, δ).
  ///   - rule: How the budget is kept; nil for `filter`, or what is registered.
  ///   - relation: Which two tables are compared; nil for `zeroOut`, or what is registered.
  ///   - order: α of the filter; nil for one that suits the budget, or what is registered.
  /// - Returns: What is registered now.
  /// - Throws: ``LedgerError`` when it contradicts what is registered, ``PrivacyError`` when the
  ///   order cannot give the budget.
  @discardableResult
  package func register(
    source name: String, target: PrivacyTarget, rule: BudgetRule? = nil,
    relation: NeighbouringRelation? = nil, order: Double? = nil
  ) throws -> LedgerSource {
    try Ledger.check(name: name, of: "source")
    return try write { db in
      if let old = try source(name, db) {
        let same =
          old.target.delta == target.delta && rule ?? old.rule == old.rule
          && relation ?? old.relation == old.relation && order ?? old.order == old.order
        guard same else {
          throw LedgerError(
            .invalidRequest,
            "\(path): source '\(name)' is registered with other terms; only its epsilon may change")
        }
        if old.rule == .filter { _ = try RenyiFilter(target, order: old.order) }
        try checkPlansKeep(target, old, db)
        try addBudget(target, source: old.id, db)
      } else {
        let filter = try RenyiFilter(target, order: order)
        try db.execute(
          sql: """
            INSERT INTO sources (name, relation, renyi_order, registered, rule)
            VALUES (?, ?, ?, ?, ?)
            """,
          arguments: [
            name, (relation ?? .zeroOut).rawValue, filter.order, Ledger.now(),
            (rule ?? .filter).rawValue,
          ])
        let id = db.lastInsertedRowID
        try HashChain.append("sources", id, db)
        try addBudget(target, source: id, db)
      }
      return try knownSource(name, db)
    }
  }

  /// Refuses a budget below the one that plans were registered for, which would not stop them.
  private func checkPlansKeep(
    _ target: PrivacyTarget, _ source: LedgerSource, _ db: Database
  ) throws {
    guard source.rule == .plans, target.epsilon < source.target.epsilon,
      try !plans(of: source, db).isEmpty
    else { return }
    throw LedgerError(
      .invalidRequest,
      "\(path): source '\(source.name)' has plans that were registered for epsilon "
        + "\(source.target.epsilon); leave it, or make it larger")
  }

  private func addBudget(_ target: PrivacyTarget, source: Int64, _ db: Database) throws {
    try db.execute(
      sql: "INSERT INTO budgets (source, epsilon, delta, registered) VALUES (?, ?, ?, ?)",
      arguments: [source, target.epsilon, target.delta, Ledger.now()])
    try HashChain.append("budgets", db.lastInsertedRowID, db)
  }

  /// Registers a plan, before anything of its source has run.
  ///
  /// - Parameters:
  ///   - name: Its name, unique in its source.
  ///   - steps: The most that it may do.
  ///   - sourceName: A source under the rule `plans`.
  ///   - accountant: Composes it with the plans before.
  /// - Returns: The ε of all plans of the source.
  /// - Throws: ``PrivacyError`` with `budgetExceeded` when all plans together cost more than the
  ///   budget, ``LedgerError`` when it contradicts what is registered.
  @discardableResult
  package func register(
    plan name: String, _ steps: ComposedSteps, source sourceName: String,
    accountant: any PrivacyAccountant
  ) throws -> EpsilonBounds {
    try Ledger.check(name: name, of: "plan")
    guard steps.count > 0 else {
      throw LedgerError(.invalidRequest, "plan '\(name)' has no steps; register at least one")
    }
    try Ledger.checkLength(steps.count)
    return try write { db in
      let source = try knownSource(sourceName, db)
      try checkOpenForPlans(source, name, db)
      try Ledger.check(steps.mechanism.relation, of: source)
      let all = try plans(of: source, db).map(\.steps) + [steps]
      let epsilon = try accountant.epsilon(of: all, delta: source.target.delta)
      guard epsilon.upper <= source.target.epsilon else {
        throw PrivacyError(
          .budgetExceeded,
          "with plan '\(name)' the plans of source '\(sourceName)' would cost epsilon "
            + "\(epsilon.upper), beyond its budget of \(source.target.epsilon); register fewer "
            + "steps or more noise")
      }
      try db.execute(
        sql: """
          INSERT INTO plans
          (source, name, sampling_rate, sigma_effective, steps, accountant, registered, group_size)
          VALUES (?, ?, ?, ?, ?, ?, ?, ?)
          """,
        arguments: [
          source.id, name, steps.mechanism.samplingRate.value,
          steps.mechanism.noiseMultiplier.value, steps.count, accountant.name, Ledger.now(),
          steps.mechanism.storedGroupSize,
        ])
      try HashChain.append("plans", db.lastInsertedRowID, db)
      return epsilon
    }
  }

  private func checkOpenForPlans(_ source: LedgerSource, _ name: String, _ db: Database) throws {
    guard source.rule == .plans else {
      throw LedgerError(
        .invalidRequest,
        "\(path): source '\(source.name)' is kept by a filter, which needs no plans; charge it, or "
          + "register another source with --rule plans")
    }
    let sql = "SELECT COUNT(*) FROM charges JOIN runs ON runs.id = run WHERE source = ?"
    guard try Int.fetchOne(db, sql: sql, arguments: [source.id]) == 0 else {
      throw LedgerError(
        .invalidRequest,
        "\(path): source '\(source.name)' has been charged already; plans are registered before "
          + "the first of them runs")
    }
    guard try plans(of: source, db).allSatisfy({ $0.name != name }) else {
      throw LedgerError(
        .invalidRequest,
        "\(path): source '\(source.name)' has a plan '\(name)'; choose another name")
    }
  }

  private static func check(name: String, of what: String) throws {
    let plain = name.unicodeScalars.allSatisfy { $0.value >= 32 && $0.value != 127 }
    guard !name.isEmpty, name.utf8.count <= 200, plain else {
      throw LedgerError(
        .invalidRequest, "the name of a \(what) must have 1 to 200 bytes and no control characters")
    }
  }

  /// Refuses more steps than a ledger counts.
  static func checkLength(_ steps: Int) throws {
    guard steps <= LedgerSchema.longestRun else {
      throw LedgerError(.invalidRequest, "a run of \(steps) steps is too long; take at most 2^40")
    }
  }

  /// Refuses steps whose guarantee is about other tables than the budget.
  static func check(_ relation: NeighbouringRelation, of source: LedgerSource) throws {
    guard relation == source.relation else {
      throw LedgerError(
        .invalidRequest,
        "the budget of source '\(source.name)' is for the relation \(source.relation.rawValue), "
          + "not \(relation.rawValue); train with --neighbouring \(source.relation.rawValue)")
    }
  }

  // MARK: - Look-ups

  /// All sources, in the order of their registration.
  func sources(_ db: Database) throws -> [LedgerSource] {
    try Row.fetchAll(
      db,
      sql: """
        SELECT sources.*, budgets.epsilon AS epsilon, budgets.delta AS delta,
          (SELECT MAX(epsilon) FROM budgets WHERE budgets.source = sources.id) AS guaranteed
        FROM sources
        JOIN budgets ON budgets.id =
          (SELECT MAX(id) FROM budgets WHERE budgets.source = sources.id)
        ORDER BY sources.id
        """
    ).map(Ledger.source)
  }

  private func source(_ name: String, _ db: Database) throws -> LedgerSource? {
    try sources(db).first { $0.name == name }
  }

  /// The source of a name.
  func knownSource(_ name: String, _ db: Database) throws -> LedgerSource {
    if let source = try source(name, db) { return source }
    throw LedgerError(
      .unknownName,
      "\(path): source '\(name)' is not registered; register it with 'fastdp ledger register "
        + "\(path) \(name) --epsilon E --delta D'")
  }

  private static func source(_ row: Row) throws -> LedgerSource {
    let rule: String = row["rule"] ?? BudgetRule.filter.rawValue
    guard let rule = BudgetRule(rawValue: rule),
      let relation = NeighbouringRelation(rawValue: row["relation"])
    else { throw changed("sources") }
    return LedgerSource(
      id: row["id"], name: row["name"], rule: rule, relation: relation, order: row["renyi_order"],
      target: try PrivacyTarget(epsilon: row["epsilon"], delta: row["delta"]),
      guaranteedEpsilon: row["guaranteed"])
  }

  /// The plans of a source, in the order of their registration.
  func plans(of source: LedgerSource, _ db: Database) throws -> [LedgerPlan] {
    try Row.fetchAll(
      db, sql: "SELECT * FROM plans WHERE source = ? ORDER BY id", arguments: [source.id]
    ).map { row in
      let mechanism = try PoissonSubsampledGaussian(row, relation: source.relation)
      return LedgerPlan(
        id: row["id"], name: row["name"],
        steps: try ComposedSteps(of: mechanism, count: row["steps"]))
    }
  }

  private static func changed(_ table: String) -> LedgerError {
    LedgerError(
      .changed, "a row of \(table) holds what no ledger holds; run 'fastdp ledger verify'")
  }
}

/// Which file a name led to.
private struct FileIdentity: Equatable {
  private let device: dev_t
  private let node: ino_t

  /// Looks a name up; one that leads nowhere has an identity that no file has.
  init(of path: String) {
    var status = stat()
    let found = unsafe stat(path, &status) == 0
    device = found ? status.st_dev : 0
    node = found ? status.st_ino : 0
  }

  /// Throws where the name leads to another file now.
  func check(_ path: String) throws {
    guard FileIdentity(of: path) != self else { return }
    throw LedgerError(
      .changed,
      "\(path): was moved, deleted or replaced while it was in use; put the ledger back, and run "
        + "'fastdp ledger verify' with the runs")
  }
}

/// `close(2)`, under a name that no method hides.
private func systemClose(_ descriptor: Int32) -> Int32 { close(descriptor) }
