#if canImport(FoundationEssentials)
internal import FoundationEssentials
#else
internal import Foundation
#endif

/// What a line of standard output says.
package enum Reply: Hashable, Sendable {
  case connected(version: String, session: String, server: String)
  case progress(ProgressTotals)
  case note(String)
  case rows(ArrowRows)
  case error(SparkError)
  case cancelled(id: Int64, running: Bool)
  case disconnected

  /// The reply on one line, without the line's end.
  ///
  /// - Parameter id: The request's.
  /// - Returns: The JSON text.
  package func line(to id: Int64?) -> String {
    let (name, value) = content
    return JSON.object([.init("id", id.map(JSON.integer) ?? .null), .init(name, value)]).line
  }

  private var content: (String, JSON) {
    switch self {
    case .connected(let version, let session, let server):
      (
        "connected",
        .object([
          .init("protocol", .integer(1)), .init("version", .string(version)),
          .init("session", .string(session)), .init("server", .string(server)),
        ])
      )
    case .progress(let totals): ("progress", Self.json(totals))
    case .note(let message): ("note", .object([.init("message", .string(message))]))
    case .rows(let rows): ("rows", Self.json(rows))
    case .error(let error): ("error", Self.json(error))
    case .cancelled(let id, let running):
      ("cancelled", .object([.init("id", .integer(id)), .init("running", .bool(running))]))
    case .disconnected: ("disconnected", .object([]))
    }
  }

  private static func json(_ totals: ProgressTotals) -> JSON {
    .object([
      .init("stages", .integer(Int64(totals.stages))),
      .init("stagesDone", .integer(Int64(totals.stagesDone))),
      .init("tasks", .integer(totals.tasks)),
      .init("completed", .integer(totals.completed)),
      .init("bytesRead", .integer(totals.bytesRead)),
    ])
  }

  private static func json(_ error: SparkError) -> JSON {
    var members = [JSON.Member("status", .integer(Int64(error.status.rawValue)))]
    if let condition = error.condition { members.append(.init("condition", .string(condition))) }
    if let sqlState = error.sqlState { members.append(.init("sqlState", .string(sqlState))) }
    members.append(.init("message", .string(error.message)))
    members.append(.init("remedy", .string(error.remedy)))
    return .object(members)
  }

  private static func json(_ rows: ArrowRows) -> JSON {
    .object([
      .init("columns", .array(rows.columns.map(JSON.string))),
      .init("types", .array(rows.types.map(JSON.string))),
      .init("values", .array(rows.values.map { .array($0.map(json)) })),
    ])
  }

  private static func json(_ cell: Cell) -> JSON {
    switch cell {
    case .null: .null
    case .bool(let value): .bool(value)
    case .integer(let value): .integer(value)
    case .float(let value): .float(value)
    case .double(let value): .double(value)
    case .text(let value): .string(value)
    case .binary(let bytes): .string(Data(bytes).base64EncodedString())
    }
  }
}
