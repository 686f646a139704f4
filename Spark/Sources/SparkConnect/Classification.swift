package import GRPCCore

/// What a failed statement means for people, decided from the errors that the server sent.
package enum Classification {
  /// The meaning of a chain of errors.
  ///
  /// The first rule of the table that fits any error of the chain decides, and that error is the one whose words are shown.
  ///
  /// | rule | status |
  /// |---|---|
  /// | the session was closed, changed or not found; the execution was forgotten | 69 |
  /// | cancelled on the server by someone else | 69 |
  /// | SQLSTATE 22, a malformed record, `raise_error` | 65 |
  /// | a path, file or table that is not there | 66 |
  /// | a query that may not read | 66 |
  /// | an output that exists or cannot be made | 73 |
  /// | no space; a file that cannot be read; a write that failed | 74 |
  /// | executors lost too often; Spark is stopping | 69 |
  /// | anything else | 70 |
  ///
  /// - Parameters:
  ///   - chain: From what failed to what caused it; not empty.
  ///   - kind: What failed: a query writes nothing, so what it may not do is to read.
  /// - Returns: The failure in our form. Of data errors Spark's text is left out, since it quotes cells.
  package static func failure(
    _ chain: [ServerFault], of kind: StatementKind = .command
  ) -> SparkError {
    precondition(!chain.isEmpty, "a chain of 0 errors")
    for rule in rules where rule.kind == nil || rule.kind == kind {
      if let fault = chain.last(where: rule.fits) { return rule.failure(fault) }
    }
    return other(chain)
  }

  private struct Rule: Sendable {
    let status: SparkError.Status
    let remedy: String
    /// The only kind of statement that it is for; nil for both.
    var kind: StatementKind?
    var message: @Sendable (ServerFault) -> String = Classification.words
    let fits: @Sendable (ServerFault) -> Bool

    func failure(_ fault: ServerFault) -> SparkError {
      SparkError(
        status, message(fault), remedy: remedy, condition: fault.condition,
        sqlState: fault.sqlState)
    }
  }

  private static let rules = [
    Rule(
      status: .unavailable,
      remedy:
        "run it again, which makes a new session; sessions end when the server restarts, or after "
        + "spark.connect.session.manager.defaultSessionTimeout without a request",
      message: { "Spark has closed the session (\($0.condition ?? "no reason given"))" },
      fits: { $0.condition?.hasPrefix("INVALID_HANDLE.SESSION") == true }),
    Rule(
      status: .unavailable, remedy: "run it again",
      message: { "Spark has forgotten the statement (\($0.condition ?? "no reason given"))" },
      fits: {
        $0.condition?.hasPrefix("INVALID_HANDLE.OPERATION") == true
          || $0.condition?.hasPrefix("INVALID_CURSOR") == true
      }),
    Rule(
      status: .unavailable, remedy: "ask who interrupted it, and run it again",
      message: { _ in "the statement was cancelled on the server, not from here" },
      fits: { $0.condition == "OPERATION_CANCELED" || $0.condition == "JOB_CANCELLED" }),
    Rule(
      status: .data, remedy: "correct the table, or tell fastDP that it is a bug",
      message: { $0.parameters["errorMessage"] ?? "the data was refused by raise_error" },
      fits: { $0.condition?.hasPrefix("USER_RAISED_EXCEPTION") == true }),
    Rule(
      status: .data,
      remedy: "correct the table or the schema; 'fastdp inspect' names the rows and columns",
      message: Classification.dataWords,
      fits: {
        $0.sqlState?.hasPrefix("22") == true
          || $0.condition?.hasPrefix("MALFORMED_RECORD_IN_PARSING") == true
          || $0.condition == "FAILED_READ_FILE.PARQUET_COLUMN_DATA_TYPE_MISMATCH"
          || $0.condition == "FAILED_READ_FILE.CANNOT_READ_FILE_FOOTER"
          || $0.condition == "CANNOT_READ_FILE_FOOTER"
      }),
    Rule(
      status: .inputMissing,
      remedy: "paths and tables are the server's: check the name there, and who may read it",
      fits: {
        [
          "PATH_NOT_FOUND", "FAILED_READ_FILE.FILE_NOT_EXIST", "TABLE_OR_VIEW_NOT_FOUND",
          "UNABLE_TO_INFER_SCHEMA",
        ].contains($0.condition) || $0.isOf("FileNotFoundException", "NoSuchFileException")
      }),
    Rule(
      status: .inputMissing,
      remedy: "tables are read by the server's user: ask their owner to let it read them",
      kind: .query,
      fits: {
        $0.isOf("AccessControlException", "AccessDeniedException") || $0.says("Permission denied")
      }),
    Rule(
      status: .cannotCreate,
      remedy:
        "the folder is made by the server's user: check that it may write there, and that the name is free",
      fits: {
        ["PATH_ALREADY_EXISTS", "LOCATION_ALREADY_EXISTS", "TABLE_OR_VIEW_ALREADY_EXISTS"]
          .contains($0.condition)
          || $0.isOf(
            "FileAlreadyExistsException", "AccessControlException", "AccessDeniedException")
          || $0.says(
            "Mkdirs failed", "Unable to create", "non-empty directory", "Permission denied",
            "Read-only file system")
      }),
    Rule(
      status: .inputOutput, remedy: "make room where the server writes, and run it again",
      fits: { $0.says("No space left on device", "Disk quota exceeded") }),
    Rule(
      status: .unavailable,
      remedy:
        "look at the cluster's log; executors that are killed mostly lack memory (spark.executor.memory)",
      message: { _ in "Spark lost too many executors, or is stopping" },
      fits: {
        $0.says(
          "ExecutorLostFailure", "SparkContext has been shutdown", "SparkContext was shut down",
          "stopped SparkContext", "Master removed our application", "All masters are unresponsive")
      }),
    Rule(
      status: .inputOutput, remedy: "look at the server's log for the file and the reason",
      fits: {
        $0.condition?.hasPrefix("FAILED_READ_FILE") == true || $0.condition == "TASK_WRITE_FAILED"
          || $0.isOf("IOException")
      }),
  ]

  /// The meaning where no rule fits: what Spark says, of the first error that has a condition, or else of the first.
  private static func other(_ chain: [ServerFault]) -> SparkError {
    let fault = chain.first { $0.condition != nil } ?? chain[0]
    let isRefusal = ["42", "0A"].contains { fault.sqlState?.hasPrefix($0) == true }
    return SparkError(
      .refused, words(fault),
      remedy: isRefusal
        ? "Spark refused the statement: check names and conditions in the schema"
        : "look at the server's log; where it is fastDP's statement that is wrong, tell fastDP",
      condition: fault.condition, sqlState: fault.sqlState)
  }

  /// Spark's own first sentence, without its name, its SQLSTATE and the tree or trace behind it.
  private static func words(_ fault: ServerFault) -> String {
    var text = Substring(fault.text)
    if let condition = fault.condition, let name = text.range(of: "[\(condition)]") {
      text = text[name.upperBound...]
    }
    for end in [" SQLSTATE:", "\n== SQL", "\n\tat ", "\n'", ";\n", "\nDriver stacktrace"] {
      if let range = text.range(of: end) { text = text[..<range.lowerBound] }
    }
    let line = String(text).oneLine(limit: 400)
    let named = fault.condition.map { "\($0): \(line)" } ?? line
    return named.isEmpty ? fault.classes.first ?? "Spark gives no reason" : named
  }

  /// A data error in words that quote no cell.
  private static func dataWords(_ fault: ServerFault) -> String {
    let name = fault.condition ?? "SQLSTATE \(fault.sqlState ?? "22000")"
    let parameters = fault.parameters
    if let from = parameters["sourceType"], let to = parameters["targetType"] {
      return "\(name): a value of type \(from) cannot be cast to \(to)"
    }
    if let path = parameters["path"] { return "\(name): \(path)" }
    if name.hasPrefix("MALFORMED_RECORD_IN_PARSING") {
      return "\(name): a row does not parse as the columns that the schema declares"
    }
    return "\(name): a value that Spark cannot compute with"
  }
}

extension ServerFault {
  fileprivate func isOf(_ names: String...) -> Bool {
    classes.contains { full in names.contains { full == $0 || full.hasSuffix("." + $0) } }
      || names.contains { text.contains("." + $0 + ":") }
  }

  fileprivate func says(_ words: String...) -> Bool { words.contains { text.contains($0) } }
}

extension StringProtocol {
  /// Where a text stands in this one for the first time.
  fileprivate func range(of text: String) -> Range<Index>? {
    var start = startIndex
    while start < endIndex {
      if self[start...].hasPrefix(text) {
        return start..<index(start, offsetBy: text.count)
      }
      start = index(after: start)
    }
    return nil
  }
}

extension Classification {
  /// What a call means that failed on the way: nobody answered, or not Spark.
  ///
  /// - Parameters:
  ///   - error: The failure, without details of Spark's.
  ///   - remote: Whom the call was for.
  /// - Returns: The failure in our form; status 69, but 70 for a message above the bound.
  package static func failure(_ error: RPCError, at remote: SparkRemote) -> SparkError {
    let server = remote.server
    switch error.code {
    case .unauthenticated, .permissionDenied:
      return refusedToken(remote)
    case .unimplemented:
      return SparkError(
        .unavailable, "\(server) answers, but not as Spark Connect does",
        remedy: "name the port of Spark's Connect server (15002 where nothing else was set)")
    case .resourceExhausted:
      return SparkError(
        .refused, "a message of \(server) is larger than \(ConnectStub.messageLimit >> 20) MiB",
        remedy: "ask for fewer rows at a time, or write them to Parquet")
    case .deadlineExceeded:
      return SparkError(
        .unavailable, "\(server) does not answer in time",
        remedy: "check the server's load and the network, and run it again")
    case .unavailable, .unknown, .internalError, .cancelled, .aborted:
      return unreachable(server, reasons(error), usesTLS: remote.usesTLS)
    default:
      return SparkError(
        .unavailable, "\(server) ends the call with \(error.code)",
        remedy: "look at the server's log")
    }
  }

  private static func refusedToken(_ remote: SparkRemote) -> SparkError {
    remote.token == nil
      ? SparkError(
        .unavailable, "\(remote.server) wants a token",
        remedy: "add it to the remote: sc://HOST:PORT/;token=...")
      : SparkError(
        .unavailable, "\(remote.server) does not accept the token",
        remedy: "ask who runs the server for a valid one: sc://HOST:PORT/;token=...")
  }

  private static func unreachable(_ server: String, _ reasons: String, usesTLS: Bool) -> SparkError
  {
    func failure(_ message: String, _ remedy: String) -> SparkError {
      SparkError(.unavailable, message, remedy: remedy)
    }
    let says: (String) -> Bool = { reasons.range(of: $0) != nil }
    if says("resolve") {
      return failure("the host of \(server) has no address", "check the host's name in the remote")
    }
    if says("refused") {
      return failure(
        "nothing listens at \(server)", "start Spark's Connect server, or check host and port")
    }
    if says("CERTIFICATE_VERIFY_FAILED") || says("unableToValidateCertificate") {
      return failure(
        "the certificate of \(server) is not to be trusted",
        "name its authority's PEM file, or use the host name that the certificate is for")
    }
    if usesTLS, says("WRONG_VERSION_NUMBER") || says("handshake") || says("uncleanShutdown") {
      return failure(
        "\(server) does not speak TLS", "leave use_ssl=true out, if the network may be trusted")
    }
    return failure(
      "\(server) does not answer, or the connection to it was lost",
      usesTLS
        ? "check that the server runs, and the network between"
        : "check that the server runs, the network between, and whether it wants use_ssl=true")
  }

  /// All that an error and its causes say.
  private static func reasons(_ error: RPCError) -> String {
    var text = error.message
    var cause = error.cause
    for _ in 0..<8 {
      guard let next = cause else { break }
      text += " " + String(describing: next)
      cause = (next as? RPCError)?.cause
    }
    return text
  }
}
