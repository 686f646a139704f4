package import DPAccounting
internal import Foundation
internal import GRDB

/// What a ledger says of one source.
package struct SourceSummary: Sendable {
  /// The source and its budget.
  package let source: LedgerSource
  /// How much of what its rule allows is charged, from 0 to 1: of the filter's limit, or of the
  /// registered steps.
  package let spentShare: Double
  /// What all charged steps cost by the accountant, valid if plans were fixed in advance.
  package let epsilonIfFixed: EpsilonBounds
  /// What all registered plans cost by the accountant; nil under a filter.
  package let epsilonOfPlans: EpsilonBounds?
  /// The accountant's name.
  package let accountant: String
  /// How many runs have an account.
  package let runs: Int
  /// How many reservations were made.
  package let charges: Int
  /// The steps that are charged, by mechanism.
  package let composition: [ComposedSteps]
  /// The column whose units all charges protect as wholes; nil where they protect rows.
  package let unit: String?
  /// Its plans, each with the steps that are charged to it.
  package let plans: [(plan: LedgerPlan, chargedSteps: Int)]
  /// The hashes of the encoded rows that were charged, in the order of their appearance.
  package let contents: [String]

  /// The steps that are charged.
  package var steps: Int { composition.reduce(0) { $0 + $1.count } }
}

/// What a ledger says of itself and its sources, at one moment.
package struct LedgerSummary: Sendable {
  /// A random number that the ledger was given when it was made.
  package let identity: String
  /// The version of its tables.
  package let schemaVersion: Int
  /// How many entries the chain has.
  package let entries: Int
  /// The hash of the last.
  package let head: String
  /// Its sources, in the order of their registration.
  package let sources: [SourceSummary]
}

/// Whether a ledger is what was written to it.
package struct LedgerVerification: Sendable {
  /// How many entries of the chain are right, from the first on.
  package let entries: Int
  /// The hash of the last that is.
  package let head: String
  /// What is wrong, in words; none in a ledger as it was written.
  package let problems: [String]
}

/// A value of a column.
package enum LedgerValue: Hashable, Sendable {
  /// No value.
  case null
  /// An integer.
  case integer(Int)
  /// A number.
  case number(Double)
  /// A text.
  case text(String)
}

/// An entry of the chain with its row.
package struct LedgerEntry: Sendable {
  /// Its place in the chain, from 1 on.
  package let position: Int
  /// The row's table.
  package let table: String
  /// Its hash.
  package let hash: String
  /// The row's columns.
  package let columns: [(name: String, value: LedgerValue)]
}

extension Ledger {
  /// What the ledger holds, in one consistent state.
  ///
  /// - Parameters:
  ///   - name: Only this source; nil for all.
  ///   - accountant: Composes what is charged.
  /// - Returns: The summary.
  /// - Throws: ``LedgerError``, ``PrivacyError`` where a row was changed to nonsense.
  /// - Complexity: O(charges), and the accountant's time for each source.
  package func summary(
    of name: String? = nil, accountant: any PrivacyAccountant
  ) throws -> LedgerSummary {
    try read { db in
      let head = try HashChain.head(db)
      let chosen = try name.map { [try knownSource($0, db)] } ?? sources(db)
      return LedgerSummary(
        identity: try String.fetchOne(db, sql: "SELECT identity FROM ledger") ?? "",
        schemaVersion: LedgerSchema.version, entries: head.position, head: head.hash,
        sources: try chosen.map { try summary(of: $0, accountant, db) })
    }
  }

  private func summary(
    of source: LedgerSource, _ accountant: any PrivacyAccountant, _ db: Database
  ) throws -> SourceSummary {
    var spending = Spending(of: source)
    try spending.update(db)
    let plans = try plans(of: source, db)
    let delta = source.target.delta
    func count(_ sql: String) throws -> Int {
      try Int.fetchOne(db, sql: sql, arguments: [source.id]) ?? 0
    }
    return SourceSummary(
      source: source, spentShare: try spentShare(spending, source, plans),
      epsilonIfFixed: try accountant.epsilon(of: spending.composition, delta: delta),
      epsilonOfPlans: source.rule == .plans
        ? try accountant.epsilon(of: plans.map(\.steps), delta: delta) : nil,
      accountant: accountant.name,
      runs: try count("SELECT COUNT(*) FROM runs WHERE source = ?"),
      charges: try count(
        """
        SELECT COUNT(*) FROM charges JOIN runs ON runs.id = charges.run
        WHERE source = ? AND kind = 'reserve'
        """),
      composition: spending.composition, unit: try unit(of: source, db),
      plans: plans.map { ($0, spending.planSteps[$0.id, default: 0]) },
      contents: try String.fetchAll(
        db, sql: "SELECT hash FROM contents WHERE source = ? ORDER BY id", arguments: [source.id]))
  }

  /// What the runs that were charged agree on.
  private func unit(of source: LedgerSource, _ db: Database) throws -> String? {
    let rows = try Row.fetchAll(
      db,
      sql: """
        SELECT DISTINCT unit FROM runs
        WHERE source = ? AND EXISTS (SELECT 1 FROM charges WHERE run = runs.id)
        """, arguments: [source.id])
    return rows.count == 1 ? rows[0]["unit"] : nil
  }

  private func spentShare(
    _ spending: Spending, _ source: LedgerSource, _ plans: [LedgerPlan]
  ) throws -> Double {
    switch source.rule {
    case .plans:
      let registered = plans.reduce(0) { $0 + $1.steps.count }
      return registered > 0 ? Double(spending.totalSteps) / Double(registered) : 0
    case .filter:
      let filter = try RenyiFilter(source.target, order: source.order)
      var costs: [PoissonSubsampledGaussian: Double] = [:]
      return spending.divergence(filter, &costs) / filter.limit
    }
  }

  // MARK: - Verification

  /// Recomputes the chain, compares the database's definitions, replays the charges, and looks for heads that were kept elsewhere.
  ///
  /// - Parameter heads: Hashes from the records of runs, each with what to call it.
  /// - Returns: What is right and what is wrong. A ledger that lost its last entries is found out by
  ///   a head alone.
  /// - Throws: ``LedgerError`` when the file cannot be read at all.
  /// - Complexity: O(entries), about 60 µs each.
  package func verify(heads: [(name: String, hash: String)] = []) throws -> LedgerVerification {
    try read { db in
      let (head, problems) = try HashChain.verify(db)
      var found = try problems + LedgerSchema.differences(db)
      if problems.isEmpty {
        found += try String.fetchAll(db, sql: "PRAGMA quick_check").filter { $0 != "ok" }
        if try Row.fetchOne(db, sql: "PRAGMA foreign_key_check") != nil {
          found.append("a row refers to one that is missing")
        }
        found += try contradictions(db)
      }
      for (name, hash) in heads where try !holds(hash, db) {
        found.append("\(name): the chain lacks the entry that was seen; the ledger was rewritten")
      }
      return LedgerVerification(entries: head.position, head: head.hash, problems: found)
    }
  }

  private func holds(_ hash: String, _ db: Database) throws -> Bool {
    try Int.fetchOne(db, sql: "SELECT 1 FROM chain WHERE hash = ?", arguments: [hash]) != nil
  }

  /// What the rows say against the rules, though the chain is right.
  private func contradictions(_ db: Database) throws -> [String] {
    try overlaps(db) + sources(db).compactMap { try excess(of: $0, db) }
  }

  /// Runs whose charges do not follow each other.
  private func overlaps(_ db: Database) throws -> [String] {
    var last: [Int64: Range<Int>] = [:]
    var problems: [String] = []
    let rows = try Row.fetchCursor(db, sql: "SELECT * FROM charges ORDER BY id")
    while let row = try rows.next() {
      let (id, run): (Int64, Int64) = (row["id"], row["run"])
      let (first, end): (Int, Int) = (row["first_step"], row["end_step"])
      let before = last[run] ?? 0..<0
      if row["kind"] == "reserve" {
        if first < before.upperBound { problems.append("charge \(id) repeats steps of its run") }
        last[run] = first..<end
      } else {
        if end != before.upperBound || first < before.lowerBound {
          problems.append("charge \(id) releases steps that were not reserved last")
        }
        last[run] = before.lowerBound..<max(before.lowerBound, first)
      }
    }
    return problems
  }

  /// How a source is charged with more than its largest budget allowed.
  private func excess(of source: LedgerSource, _ db: Database) throws -> String? {
    var spending = Spending(of: source)
    try spending.update(db)
    let message = "source '\(source.name)' is charged beyond its budget"
    guard source.rule == .filter else {
      let plans = try plans(of: source, db)
      return plans.contains { spending.planSteps[$0.id, default: 0] > $0.steps.count }
        ? message : nil
    }
    let target = try PrivacyTarget(
      epsilon: source.guaranteedEpsilon, delta: source.target.delta)
    let filter = try RenyiFilter(target, order: source.order)
    var costs: [PoissonSubsampledGaussian: Double] = [:]
    return spending.divergence(filter, &costs) > filter.limit ? message : nil
  }

  // MARK: - Export

  /// Every entry of the chain with its row, in the order of writing.
  ///
  /// - Parameter body: Gets one entry at a time.
  /// - Throws: ``LedgerError``, or what `body` throws.
  package func forEachEntry(_ body: (LedgerEntry) throws -> Void) throws {
    try read { db in
      let entries = try Row.fetchCursor(db, sql: "SELECT * FROM chain ORDER BY position")
      while let entry = try entries.next() {
        let table: String = entry["kind"]
        let id: Int64 = entry["row"]
        guard LedgerSchema.tables.contains(table),
          let row = try Row.fetchOne(
            db, sql: "SELECT * FROM \(table) WHERE id = ?", arguments: [id])
        else {
          throw LedgerError(
            .changed, "\(path): row \(id) of \(table) is missing; run 'fastdp ledger verify'")
        }
        try body(
          LedgerEntry(
            position: entry["position"], table: table, hash: entry["hash"],
            columns: row.map { ($0, LedgerValue($1)) }))
      }
    }
  }
}

extension LedgerValue {
  fileprivate init(_ value: DatabaseValue) {
    switch value.storage {
    case .null: self = .null
    case .int64(let number): self = .integer(Int(number))
    case .double(let number): self = .number(number)
    case .string(let text): self = .text(text)
    case .blob(let data): self = .text(data.base64EncodedString())
    }
  }
}
