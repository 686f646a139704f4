internal import Crypto
internal import Foundation
internal import GRDB

/// The chain of SHA-256 hashes over every row of a ledger, in the order of their writing.
///
/// An entry's hash covers the hash before it, its position, and every column of its row that is not
/// null. Whoever changes, adds, removes or reorders rows has to make all later hashes anew, and
/// these no longer match the heads that were kept elsewhere, in the records of runs.
enum HashChain {
  /// The last entry of a chain.
  struct Head {
    var position: Int
    var hash: String

    /// What the first entry follows.
    static let start = Head(position: 0, hash: "")
  }

  /// The last entry, or the start of an empty chain.
  static func head(_ db: Database) throws -> Head {
    let row = try Row.fetchOne(
      db, sql: "SELECT position, hash FROM chain ORDER BY position DESC LIMIT 1")
    return row.map { Head(position: $0["position"], hash: $0["hash"]) } ?? .start
  }

  /// Adds a row that was just written.
  ///
  /// - Parameters:
  ///   - table: The row's table.
  ///   - id: Its key.
  ///   - db: The database, in a transaction.
  /// - Returns: The new head.
  /// - Throws: The error of the database.
  @discardableResult
  static func append(_ table: String, _ id: Int64, _ db: Database) throws -> Head {
    let before = try head(db)
    guard
      let row = try Row.fetchOne(db, sql: "SELECT * FROM \(table) WHERE id = ?", arguments: [id])
    else { preconditionFailure("row \(id) of \(table) was not written") }
    let next = Head(
      position: before.position + 1,
      hash: digest(of: row, table, at: before.position + 1, after: before.hash))
    try db.execute(
      sql: "INSERT INTO chain (position, kind, row, hash) VALUES (?, ?, ?, ?)",
      arguments: [next.position, table, id, next.hash])
    return next
  }

  /// Recomputes the chain.
  ///
  /// - Parameter db: The database, in a transaction.
  /// - Returns: The head, and what is wrong, in words: nothing in a ledger as it was written.
  /// - Throws: The error of the database.
  /// - Complexity: O(entries).
  static func verify(_ db: Database) throws -> (head: Head, problems: [String]) {
    var last = Head.start
    var covered: [String: Int] = [:]
    let entries = try Row.fetchCursor(db, sql: "SELECT * FROM chain ORDER BY position")
    while let entry = try entries.next() {
      let place = "entry \(last.position + 1)"
      guard let position = Int.fromDatabaseValue(entry["position"]),
        let table = String.fromDatabaseValue(entry["kind"]), LedgerSchema.tables.contains(table),
        let id = Int64.fromDatabaseValue(entry["row"]),
        let hash = String.fromDatabaseValue(entry["hash"])
      else { return (last, ["\(place) of the chain was changed"]) }
      guard position == last.position + 1 else {
        return (last, ["\(place) of the chain is missing"])
      }
      guard
        let row = try Row.fetchOne(db, sql: "SELECT * FROM \(table) WHERE id = ?", arguments: [id])
      else { return (last, ["\(place): row \(id) of \(table) is missing"]) }
      guard digest(of: row, table, at: position, after: last.hash) == hash else {
        return (last, ["\(place): row \(id) of \(table), or the chain there, was changed"])
      }
      last = Head(position: position, hash: hash)
      covered[table, default: 0] += 1
    }
    let problems = try LedgerSchema.tables.compactMap { table -> String? in
      let rows = try Int.fetchOne(db, sql: "SELECT COUNT(*) FROM \(table)") ?? 0
      let known = covered[table] ?? 0
      return rows == known ? nil : "\(table) has \(rows) rows, the chain knows of \(known)"
    }
    return (last, try problems + unreadTexts(db))
  }

  /// Texts that hold more than is read of them, and so more than a hash covers: a zero byte ends
  /// what is read, and bytes that are no UTF-8 are read as a replacement character.
  private static func unreadTexts(_ db: Database) throws -> [String] {
    try (LedgerSchema.tables + ["chain"]).flatMap { table in
      try db.columns(in: table).filter { $0.type == "TEXT" }.compactMap { column in
        let texts = try Row.fetchCursor(
          db,
          sql: """
            SELECT \(column.name) AS text, CAST(\(column.name) AS BLOB) AS bytes FROM \(table)
            WHERE \(column.name) IS NOT NULL
            """)
        while let row = try texts.next() {
          let text: String = row["text"]
          let bytes: Data = row["bytes"]
          guard bytes.elementsEqual(text.utf8) else {
            return "a text in \(column.name) of \(table) was changed"
          }
        }
        return nil
      }
    }
  }

  /// The hash of an entry.
  static func digest(of row: Row, _ table: String, at position: Int, after: String) -> String {
    let columns = row.compactMap { name, value in encoded(value).map { "\(name)=\($0)" } }
    let text = ([after, "\(position)", table] + columns.sorted()).joined(separator: "\n")
    return SHA256.hash(data: Data(text.utf8)).map {
      String(UInt16($0) + 256, radix: 16).dropFirst()
    }.joined()
  }

  /// A value with its type, so that no two values share a text; nil for null.
  private static func encoded(_ value: DatabaseValue) -> String? {
    switch value.storage {
    case .null: nil
    case .int64(let number): "i\(number)"
    case .double(let number): "r" + String(number.bitPattern, radix: 16)
    case .string(let text): "t\(text.utf8.count):\(text)"
    case .blob(let data): "b\(data.base64EncodedString())"
    }
  }
}
