/// A failure in the form in which it reaches people: a status, one line of what, one of what to do.
package struct SparkError: Error, Hashable, Sendable {
  /// The exit status that the calling program ends with.
  package enum Status: Int32, Hashable, Sendable {
    case usage = 64
    case data = 65
    case inputMissing = 66
    case unavailable = 69
    case refused = 70
    case cannotCreate = 73
    case inputOutput = 74
    case cancelled = 130
  }

  /// The kind, to match on.
  package let status: Status
  /// Spark's name for the error, `PATH_NOT_FOUND`.
  package let condition: String?
  /// Spark's SQLSTATE, `42K03`.
  package let sqlState: String?
  /// What happened, in one line without cell values.
  package let message: String
  /// What to do, in one line.
  package let remedy: String

  package init(
    _ status: Status, _ message: String, remedy: String, condition: String? = nil,
    sqlState: String? = nil
  ) {
    self.status = status
    self.condition = condition
    self.sqlState = sqlState
    self.message = message.oneLine(limit: 500)
    self.remedy = remedy.oneLine(limit: 300)
  }

  /// What a statement ends with that was cancelled by the one who asked for it.
  package static let cancelled = SparkError(
    .cancelled, "cancelled", remedy: "run it again")
}

extension String {
  /// The text with every run of white space as one space, cut after `limit` characters.
  package func oneLine(limit: Int) -> String {
    let line = split(whereSeparator: \.isWhitespace).joined(separator: " ")
    return line.count <= limit ? line : line.prefix(limit - 1) + "…"
  }
}
