import DPAccounting
import DPLedger
import Foundation
import GRDB
import TestSupport
import Testing

/// The promise: whatever is changed in a ledger's file by other means, `verify` says so.
@Suite struct TamperingTests {
  private static let tables = [
    "ledger", "sources", "budgets", "contents", "plans", "runs", "charges", "chain",
  ]

  /// A ledger with rows in every table; the head that a run kept.
  private func filled() throws -> (fixture: LedgerFixture, head: String) {
    let fixture = try LedgerFixture()
    let target = try PrivacyTarget(epsilon: 2, delta: 1e-6)
    try fixture.register("x", roomFor: 50)
    try fixture.ledger.register(source: "y", target: target, rule: .plans)
    try fixture.ledger.register(
      plan: "p", ComposedSteps(of: fixture.mechanism(), count: 9), source: "y",
      accountant: RDPAccountant())
    let first = try fixture.ledger.openAccount(
      run: "a", source: "x", unit: "home", contentHash: "1")
    try first.reserve(0..<10, of: fixture.mechanism())
    try first.release(5..<10)
    let second = try fixture.ledger.openAccount(run: "b", source: "y", plan: "p")
    try second.reserve(0..<4, of: fixture.mechanism())
    return (fixture, second.head ?? "")
  }

  private func queue(_ fixture: LedgerFixture) throws -> DatabaseQueue {
    try DatabaseQueue(path: fixture.path)
  }

  @Test func everyTableIsTried() throws {
    let (fixture, _) = try filled()
    let names = try queue(fixture).read {
      try String.fetchSet($0, sql: "SELECT name FROM sqlite_master WHERE type = 'table'")
    }
    #expect(names == Set(Self.tables))
  }

  /// Changes a copy of a ledger behind its back, and verifies it.
  private func problems(
    _ fixture: LedgerFixture, heads: [(name: String, hash: String)] = [],
    _ change: (Database) throws -> Void
  ) throws -> [String] {
    let copy = fixture.folder.file("copy")
    for end in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: copy + end) }
    _ = try fixture.ledger.pragma("wal_checkpoint(TRUNCATE)")
    try FileManager.default.copyItem(atPath: fixture.path, toPath: copy)
    var configuration = Configuration()
    configuration.foreignKeysEnabled = false
    let queue = try DatabaseQueue(path: copy, configuration: configuration)
    try queue.writeWithoutTransaction { db in
      try db.execute(sql: "PRAGMA ignore_check_constraints = ON; PRAGMA synchronous = OFF")
      try db.inTransaction {
        // The guards are put aside, and put back, or their absence would be what is noticed.
        let triggers = try Row.fetchAll(
          db, sql: "SELECT * FROM sqlite_master WHERE type = 'trigger'")
        for trigger in triggers {
          let name: String = trigger["name"]
          try db.execute(sql: "DROP TRIGGER \(name)")
        }
        try change(db)
        for trigger in triggers { try db.execute(sql: trigger["sql"]) }
        return .commit
      }
    }
    try queue.close()
    return try Ledger(path: copy).verify(heads: heads).problems
  }

  @Test func anUntouchedCopyIsRight() throws {
    let (fixture, head) = try filled()
    #expect(try problems(fixture, heads: [("run", head)]) { _ in }.isEmpty)
  }

  @Test func everyColumnOfEveryRowCounts() throws {
    let (fixture, _) = try filled()
    var cases = 0
    for table in Self.tables {
      let rows = try queue(fixture).read { db in
        try Row.fetchAll(db, sql: "SELECT rowid AS key, * FROM \(table)")
      }
      #expect(!rows.isEmpty)
      for row in rows {
        for (column, value) in row.dropFirst() {
          let found = try problems(fixture) { db in
            try db.execute(
              sql: "UPDATE \(table) SET \(column) = ? WHERE rowid = ?",
              arguments: [Self.other(value), row["key"]])
          }
          #expect(!found.isEmpty, "\(table).\(column) of row \(row)")
          cases += 1
        }
      }
    }
    #expect(cases > 100)
  }

  /// Another value of the same type.
  private static func other(_ value: DatabaseValue) -> any DatabaseValueConvertible {
    switch value.storage {
    case .null: 1
    case .int64(let number): number + 1000
    case .double(let number): number.nextUp
    case .string(let text): text + "x"
    case .blob(let data): data + [0]
    }
  }

  /// What a text hides behind a zero byte, or in bytes that are no text, is a change too.
  @Test(arguments: ["0078", "ff"])
  func everyByteOfATextCounts(added: String) throws {
    let (fixture, _) = try filled()
    for table in Self.tables {
      let columns = try queue(fixture).read { db in
        try db.columns(in: table).filter { $0.type == "TEXT" }.map(\.name)
      }
      for column in columns {
        let found = try problems(fixture) { db in
          let bytes = "CAST(\(column) AS BLOB) || x'\(added)'"
          let last = "(SELECT MAX(rowid) FROM \(table) WHERE \(column) IS NOT NULL)"
          try db.execute(
            sql: "UPDATE \(table) SET \(column) = CAST(\(bytes) AS TEXT) WHERE rowid = \(last)")
          #expect(db.changesCount == 1)
        }
        #expect(!found.isEmpty, "\(table).\(column)")
      }
    }
  }

  @Test func everyRowIsMissed() throws {
    let (fixture, _) = try filled()
    for table in Self.tables {
      let count = try queue(fixture).read {
        try Int.fetchOne($0, sql: "SELECT COUNT(*) FROM \(table)")
      }
      for row in 1...(count ?? 1) {
        let found = try problems(fixture) { db in
          try db.execute(sql: "DELETE FROM \(table) WHERE rowid = ?", arguments: [row])
        }
        #expect(!found.isEmpty, "\(table) without row \(row)")
      }
    }
  }

  @Test func anAddedRowIsNoticed() throws {
    let (fixture, _) = try filled()
    let found = try problems(fixture) { db in
      try db.execute(
        sql: """
          INSERT INTO budgets (source, epsilon, delta, registered)
          SELECT source, 100, delta, registered FROM budgets WHERE id = 1
          """)
    }
    #expect(!found.isEmpty)
  }

  /// A definition can undo a row while it is written, before the chain covers it.
  @Test(arguments: [
    """
    CREATE TRIGGER cheaper AFTER INSERT ON charges
    BEGIN INSERT INTO runs (source, name, opened) VALUES (1, '', ''); END
    """,
    "DROP TRIGGER charges_no_update", "DROP TRIGGER plans_rule", "DROP INDEX chain_hash",
    "CREATE TABLE more (x)", "CREATE VIEW v AS SELECT * FROM charges",
    "ALTER TABLE charges ADD COLUMN more TEXT",
    """
    DROP TRIGGER charges_no_delete;
    CREATE TRIGGER charges_no_delete BEFORE DELETE ON charges WHEN 0 BEGIN SELECT 1; END
    """,
  ])
  func changedDefinitionsAreNoticed(change: String) throws {
    let (fixture, head) = try filled()
    try queue(fixture).writeWithoutTransaction { try $0.execute(sql: change) }
    #expect(!(try fixture.ledger.verify(heads: [("run", head)]).problems.isEmpty))
    #expect(
      ledgerCode { _ = try fixture.ledger.openAccount(run: "d", source: "x") } == .changed)
  }

  @Test func onlyTheRunsRecordMissesACutOffEnd() throws {
    let (fixture, head) = try filled()
    func cut(_ db: Database) throws {
      try db.execute(
        sql: """
          DELETE FROM charges WHERE id = (SELECT MAX(id) FROM charges);
          DELETE FROM chain WHERE position = (SELECT MAX(position) FROM chain)
          """)
    }
    #expect(try problems(fixture, cut).isEmpty)
    #expect(try problems(fixture, heads: [("run", head)], cut).count == 1)
  }

  /// A row that would be the same as another but for its key replaces the other.
  @Test func namesCannotBeReplaced() throws {
    let (fixture, _) = try filled()
    for row in [
      "sources (name, relation, renyi_order, registered) VALUES ('x', 'zero-out', 9000.0, '')",
      "contents (source, hash, seen) VALUES (1, '1', '')",
      "chain (position, kind, row, hash) VALUES (1000, 'charges', 1, '')",
    ] {
      #expect(throws: (any Error).self) {
        try queue(fixture).write { try $0.execute(sql: "INSERT OR REPLACE INTO \(row)") }
      }
    }
  }

  /// The database itself takes no row that contradicts the others.
  @Test(arguments: [
    "(1, 'reserve', 4, 9, 0.01, 1.0, 'zero-out', '')",  // Steps below 5 are taken.
    "(1, 'reserve', -3, 9, 0.01, 1.0, 'zero-out', '')",
    "(1, 'reserve', 5, 5, 0.01, 1.0, 'zero-out', '')",
    "(1, 'reserve', 5, 9223372036854775807, 0.01, 1.0, 'zero-out', '')",
    "(1, 'reserve', 5, 'x', 0.01, 1.0, 'zero-out', '')",
    "(1, 'reserve', 5.5, 6, 0.01, 1.0, 'zero-out', '')",
    "(1, 'reserve', 5, 6, 1.01, 1.0, 'zero-out', '')",
    "(1, 'reserve', 5, 6, 0.01, 9e999, 'zero-out', '')",
    "(1, 'reserve', 5, 6, 0.01, 'x', 'zero-out', '')",
    "(1, 'reserve', 5, 6, 0.01, NULL, 'zero-out', '')",
    "(9, 'reserve', 5, 6, 0.01, 1.0, 'zero-out', '')",  // There is no run 9.
    "(1, 'refund', 5, 6, 0.01, 1.0, 'zero-out', '')",
    "(1, 'release', 5, 10, 0.01, 1.0, 'zero-out', '')",  // Released already.
    "(1, 'release', 3, 4, 0.01, 1.0, 'zero-out', '')",  // Not the end.
    "(1, 'release', -1, 5, 0.01, 1.0, 'zero-out', '')",
    "(3, 'release', 0, 5, 0.01, 1.0, 'zero-out', '')",  // Nothing is reserved.
  ])
  func chargesThatContradictOthersAreRefused(values: String) throws {
    let (fixture, _) = try filled()
    _ = try fixture.ledger.openAccount(run: "c", source: "x")
    let columns = "run, kind, first_step, end_step, sampling_rate, sigma_effective, relation, time"
    func insert(_ values: String) throws {
      try queue(fixture).write {
        try $0.execute(sql: "INSERT INTO charges (\(columns)) VALUES \(values)")
      }
    }
    #expect(throws: DatabaseError.self) { try insert(values) }
    try insert("(1, 'reserve', 5, 6, 0.01, 1.0, 'zero-out', '')")
  }

  @Test(arguments: [
    "plans (source, name, sampling_rate, sigma_effective, steps, accountant, registered) "
      + "VALUES (2, 'late', 0.01, 1.0, 5, 'rdp', '')",
    "runs (source, name, opened, plan) VALUES (1, 'other', '', 1)",
    "budgets (source, epsilon, delta, registered) VALUES (1, 9e999, 1e-6, '')",
    "budgets (source, epsilon, delta, registered) VALUES (1, 'much', 1e-6, '')",
    "sources (name, relation, renyi_order, registered) VALUES ('z', 'none', 8.0, '')",
    "sources (name, relation, renyi_order, registered) VALUES ('z', 'replace', 1.0, '')",
  ])
  func rowsThatContradictTheRulesAreRefused(row: String) throws {
    let (fixture, _) = try filled()
    #expect(throws: DatabaseError.self) {
      try queue(fixture).write { try $0.execute(sql: "INSERT INTO \(row)") }
    }
  }

  @Test func rowsCannotBeChangedByAccident() throws {
    let (fixture, _) = try filled()
    for table in Self.tables {
      for change in [
        "UPDATE \(table) SET rowid = 77", "DELETE FROM \(table)",
        "INSERT OR REPLACE INTO \(table) SELECT * FROM \(table)",
      ] {
        #expect(throws: (any Error).self) {
          try queue(fixture).write { try $0.execute(sql: change) }
        }
      }
    }
    #expect(try fixture.ledger.verify().problems.isEmpty)
  }
}
