internal import GRDB

/// The tables of a ledger, and how those of an older version become those of this one.
///
/// | version | what it brought |
/// |---|---|
/// | 1 | sources, budgets, runs, charges, the chain; one rule, the Rényi filter |
/// | 2 | plans that are registered in advance, content hashes, rows that cannot be changed |
/// | 3 | rows that cannot be replaced, and only such as a ledger writes |
/// | 4 | the number of rows that a step's guarantee is for, where it is more than one |
/// | 5 | the column whose units a run protects as wholes, where it does |
///
/// Columns that a later version adds to a table may be null and are null in older rows: the chain
/// leaves nulls out, so that its hashes stay as they are.
enum LedgerSchema {
  /// The version that this code reads and writes.
  static let version = 5
  /// What says that an SQLite file is a ledger: "fDP1".
  static let applicationID = 0x6644_5031

  /// Every table that the chain covers.
  static let tables = ["ledger", "sources", "budgets", "contents", "plans", "runs", "charges"]

  /// Brings a database to a version, in a transaction that the caller holds.
  ///
  /// - Parameters:
  ///   - db: A new database, or a ledger of an older version.
  ///   - target: The version, ``version`` but for tests.
  ///   - path: The ledger's file, for messages.
  /// - Throws: ``LedgerError`` when the file is of a later version or no ledger.
  static func migrate(_ db: Database, to target: Int = version, path: String) throws {
    let found = try Int.fetchOne(db, sql: "PRAGMA user_version") ?? 0
    guard found >= 0 else {
      throw LedgerError(.notALedger, "\(path): has a version that no ledger has; restore a backup")
    }
    guard found <= version else {
      throw LedgerError(
        .notALedger, "\(path): was made by a later version of fastDP; use that version")
    }
    for step in found..<max(found, target) {
      try db.execute(sql: migrations[step])
      try db.execute(sql: "PRAGMA user_version = \(step + 1)")
    }
  }

  /// Refuses a database that is not a ledger.
  static func check(_ db: Database, path: String) throws {
    let id = try Int.fetchOne(db, sql: "PRAGMA application_id")
    guard id == applicationID else {
      throw LedgerError(.notALedger, "\(path): is not a ledger; make one with 'fastdp ledger init'")
    }
  }

  /// What the database defines otherwise than a ledger does: a trigger, for one, can change rows
  /// before the chain sees them.
  ///
  /// - Parameter db: A database of this version.
  /// - Returns: What differs, in words.
  /// - Throws: The error of the database.
  static func differences(_ db: Database) throws -> [String] {
    let expected = try expectedDefinitions.get()
    let found = try definitions(db)
    return Set(expected.keys).union(found.keys).filter { expected[$0] != found[$0] }.sorted().map {
      "\($0) of the database is \(found[$0] == nil ? "missing" : "not a ledger's")"
    }
  }

  /// What a new ledger of this version defines.
  private static let expectedDefinitions = Result {
    try DatabaseQueue().write { db in
      try migrate(db, path: "")
      return try definitions(db)
    }
  }

  /// The text of every definition, by its kind and name.
  private static func definitions(_ db: Database) throws -> [String: String] {
    let rows = try Row.fetchAll(db, sql: "SELECT type, name, tbl_name, sql FROM sqlite_master")
    return rows.reduce(into: [:]) { definitions, row in
      let (type, name, table): (String, String, String) = (
        row["type"], row["name"], row["tbl_name"]
      )
      let text: String? = row["sql"]
      definitions["\(type) '\(name)'"] = "\(table) \(text ?? "")"
    }
  }

  private static let migrations = [
    """
    PRAGMA application_id = \(applicationID);
    CREATE TABLE ledger (
      id INTEGER PRIMARY KEY CHECK (id = 1),
      identity TEXT NOT NULL,
      created TEXT NOT NULL
    );
    CREATE TABLE sources (
      id INTEGER PRIMARY KEY,
      name TEXT NOT NULL UNIQUE,
      relation TEXT NOT NULL,
      renyi_order REAL NOT NULL,
      registered TEXT NOT NULL
    );
    CREATE TABLE budgets (
      id INTEGER PRIMARY KEY,
      source INTEGER NOT NULL REFERENCES sources (id),
      epsilon REAL NOT NULL CHECK (epsilon > 0),
      delta REAL NOT NULL CHECK (delta > 0 AND delta < 1),
      registered TEXT NOT NULL
    );
    CREATE TABLE runs (
      id INTEGER PRIMARY KEY,
      source INTEGER NOT NULL REFERENCES sources (id),
      name TEXT NOT NULL,
      opened TEXT NOT NULL
    );
    CREATE TABLE charges (
      id INTEGER PRIMARY KEY,
      run INTEGER NOT NULL REFERENCES runs (id),
      kind TEXT NOT NULL CHECK (kind IN ('reserve', 'release')),
      first_step INTEGER NOT NULL CHECK (first_step >= 0),
      end_step INTEGER NOT NULL CHECK (end_step > first_step),
      sampling_rate REAL NOT NULL CHECK (sampling_rate BETWEEN 0 AND 1),
      sigma_effective REAL NOT NULL CHECK (sigma_effective > 0),
      relation TEXT NOT NULL,
      time TEXT NOT NULL
    );
    CREATE TABLE chain (
      position INTEGER PRIMARY KEY,
      kind TEXT NOT NULL,
      row INTEGER NOT NULL,
      hash TEXT NOT NULL,
      UNIQUE (kind, row)
    );
    CREATE UNIQUE INDEX chain_hash ON chain (hash);
    """,
    """
    CREATE TABLE contents (
      id INTEGER PRIMARY KEY,
      source INTEGER NOT NULL REFERENCES sources (id),
      hash TEXT NOT NULL,
      seen TEXT NOT NULL,
      UNIQUE (source, hash)
    );
    CREATE TABLE plans (
      id INTEGER PRIMARY KEY,
      source INTEGER NOT NULL REFERENCES sources (id),
      name TEXT NOT NULL,
      sampling_rate REAL NOT NULL CHECK (sampling_rate BETWEEN 0 AND 1),
      sigma_effective REAL NOT NULL CHECK (sigma_effective > 0),
      steps INTEGER NOT NULL CHECK (steps > 0),
      accountant TEXT NOT NULL,
      registered TEXT NOT NULL,
      UNIQUE (source, name)
    );
    ALTER TABLE sources ADD COLUMN rule TEXT CHECK (rule IN ('filter', 'plans'));
    ALTER TABLE runs ADD COLUMN plan INTEGER REFERENCES plans (id);
    """ + (tables + ["chain"]).map(guardedTable).joined(),
    """
    CREATE INDEX charges_by_run ON charges (run);

    """ + replaceable.map(unreplaceableTable).joined() + rules.map(ruledTable).joined(),
    ["charges", "plans"].map { table in
      """
      ALTER TABLE \(table) ADD COLUMN group_size INTEGER CHECK (group_size IS NULL
        OR typeof(group_size) = 'integer' AND group_size BETWEEN 2 AND 1000);

      """
    }.joined(),
    """
    ALTER TABLE runs ADD COLUMN unit TEXT;

    """,
  ]

  /// The largest number of steps that a charge or a plan may reach: no sum of them overflows.
  static let longestRun = 1 << 40

  /// What makes two rows the same: INSERT OR REPLACE deletes without the triggers of DELETE.
  private static let replaceable = [
    ("ledger", "id = NEW.id"), ("sources", "id = NEW.id OR name = NEW.name"),
    ("budgets", "id = NEW.id"),
    ("contents", "id = NEW.id OR source = NEW.source AND hash = NEW.hash"),
    ("plans", "id = NEW.id OR source = NEW.source AND name = NEW.name"),
    ("runs", "id = NEW.id"), ("charges", "id = NEW.id"),
    (
      "chain",
      "position = NEW.position OR kind = NEW.kind AND row = NEW.row OR hash = NEW.hash"
    ),
  ]

  private static func unreplaceableTable(_ table: String, _ same: String) -> String {
    """
    CREATE TRIGGER \(table)_no_replace BEFORE INSERT ON \(table)
    WHEN EXISTS (SELECT 1 FROM \(table) WHERE \(same))
    BEGIN SELECT RAISE(ABORT, 'a ledger only grows'); END;

    """
  }

  /// What the columns' own constraints leave open: SQLite stores a text in a column of numbers, and
  /// a charge has to follow those before it.
  private static let rules = [
    (
      "sources",
      """
      NEW.relation IN ('zero-out', 'add-remove', 'replace')
        AND typeof(NEW.renyi_order) = 'real' AND NEW.renyi_order BETWEEN 1.1 AND 10000
      """
    ),
    (
      "budgets",
      """
      typeof(NEW.epsilon) = 'real' AND NEW.epsilon BETWEEN 0 AND 1.7976931348623157e308
        AND typeof(NEW.delta) = 'real'
      """
    ),
    (
      "plans",
      """
      typeof(NEW.sampling_rate) = 'real' AND typeof(NEW.sigma_effective) = 'real'
        AND NEW.sigma_effective BETWEEN 1e-4 AND 1e6
        AND typeof(NEW.steps) = 'integer' AND NEW.steps <= \(longestRun)
        AND NOT EXISTS (
          SELECT 1 FROM charges JOIN runs ON runs.id = run WHERE runs.source = NEW.source)
      """
    ),
    (
      "runs",
      """
      NEW.plan IS NULL
        OR EXISTS (SELECT 1 FROM plans WHERE id = NEW.plan AND source = NEW.source)
      """
    ),
    (
      "charges",
      """
      typeof(NEW.sampling_rate) = 'real' AND typeof(NEW.sigma_effective) = 'real'
        AND NEW.sigma_effective BETWEEN 1e-4 AND 1e6
        AND typeof(NEW.first_step) = 'integer'
        AND typeof(NEW.end_step) = 'integer' AND NEW.end_step <= \(longestRun)
        AND CASE NEW.kind
          WHEN 'reserve' THEN NEW.first_step >= coalesce((\(endOfRun)), 0)
          ELSE NEW.end_step = (\(endOfRun)) AND NEW.first_step >= (
            SELECT first_step FROM charges WHERE run = NEW.run AND kind = 'reserve'
            ORDER BY id DESC LIMIT 1)
          END
      """
    ),
  ]

  /// The step after the last that a run has reserved and not released.
  private static let endOfRun = """
    SELECT CASE kind WHEN 'reserve' THEN end_step ELSE first_step END
    FROM charges WHERE run = NEW.run ORDER BY id DESC LIMIT 1
    """

  private static func ruledTable(_ table: String, _ rule: String) -> String {
    """
    CREATE TRIGGER \(table)_rule BEFORE INSERT ON \(table)
    WHEN NOT coalesce((\(rule)), 0)
    BEGIN SELECT RAISE(ABORT, 'a row that no ledger writes'); END;

    """
  }

  /// Triggers that keep rows as they were written: against accidents, not against the file's owner,
  /// whose changes the chain makes visible.
  private static func guardedTable(_ table: String) -> String {
    ["UPDATE", "DELETE"].map { change in
      """
      CREATE TRIGGER \(table)_no_\(change.lowercased()) BEFORE \(change) ON \(table)
      BEGIN SELECT RAISE(ABORT, 'a ledger only grows'); END;

      """
    }.joined()
  }
}
