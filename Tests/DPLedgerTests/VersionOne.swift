import Crypto
import Foundation
import GRDB

/// Writes rows as version 1 wrote them.
struct VersionOne {
  let path: String

  /// Adds a source with a budget, a run, and a charge of seven steps.
  ///
  /// - Returns: The head of the chain.
  func fill() throws -> String {
    let queue = try DatabaseQueue(path: path)
    defer { try? queue.close() }
    return try queue.write { db in
      var head = ""
      for (table, sql) in Self.rows {
        try db.execute(sql: sql)
        head = try chain(table, db.lastInsertedRowID, db)
      }
      return head
    }
  }

  /// The chain as its documentation describes it.
  private func chain(_ table: String, _ id: Int64, _ db: Database) throws -> String {
    let last = try Row.fetchOne(db, sql: "SELECT * FROM chain ORDER BY position DESC")
    let position: Int = (last?["position"] ?? 0) + 1
    let before: String = last?["hash"] ?? ""
    var lines = [before, "\(position)", table]
    let row = try Row.fetchOne(db, sql: "SELECT * FROM \(table) WHERE id = \(id)") ?? Row()
    for (name, value) in row.sorted(by: { $0.0 < $1.0 }) {
      switch value.storage {
      case .int64(let number): lines.append("\(name)=i\(number)")
      case .double(let number):
        lines.append("\(name)=r" + String(number.bitPattern, radix: 16))
      case .string(let text): lines.append("\(name)=t\(text.utf8.count):\(text)")
      default: continue
      }
    }
    let hash = SHA256.hash(data: Data(lines.joined(separator: "\n").utf8))
    let text = hash.map { String(format: "%02x", $0) }.joined()
    try db.execute(
      sql: "INSERT INTO chain VALUES (?, ?, ?, ?)", arguments: [position, table, id, text])
    return text
  }

  private static let rows = [
    (
      "sources",
      """
      INSERT INTO sources (name, relation, renyi_order, registered)
      VALUES ('people', 'zero-out', 12, '2026-01-01T00:00:00Z')
      """
    ),
    (
      "budgets",
      """
      INSERT INTO budgets (source, epsilon, delta, registered)
      VALUES (1, 4, 1e-6, '2026-01-01T00:00:00Z')
      """
    ),
    ("runs", "INSERT INTO runs (source, name, opened) VALUES (1, 'r', '2026-01-01T00:00:00Z')"),
    (
      "charges",
      """
      INSERT INTO charges
      (run, kind, first_step, end_step, sampling_rate, sigma_effective, relation, time)
      VALUES (1, 'reserve', 0, 7, 0.1, 2.0, 'zero-out', '2026-01-01T00:00:00Z')
      """
    ),
  ]
}
