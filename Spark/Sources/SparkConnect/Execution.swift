internal import GRPCCore
internal import SparkProto
internal import SwiftProtobuf

#if canImport(FoundationEssentials)
internal import FoundationEssentials
#else
internal import Foundation
#endif

/// What a statement is for.
package enum StatementKind: String, Sendable {
  /// Rows are wanted.
  case query
  /// Something happens, once.
  case command
}

/// Where an execution stands: what was received, and what to ask for next.
///
/// Free of sockets and clocks.
package struct ExecutionState: Hashable, Sendable {
  /// What to ask the server for.
  package enum Step: Hashable, Sendable {
    /// To run the statement.
    case execute
    /// To go on behind a response.
    case reattach(after: String?)
  }

  package private(set) var next = Step.execute
  /// Whether the server has said that there is no more.
  package private(set) var isComplete = false
  private var seen: Set<String> = []

  package init() {}

  /// The request was sent: from now on the statement may be running, and must not be run again.
  package mutating func began() {
    if next == .execute { next = .reattach(after: nil) }
  }

  /// Takes the name of a response.
  ///
  /// - Parameter response: Its name, empty where the server gives none.
  /// - Returns: Whether it is new; one that came before is to be left out.
  package mutating func received(_ response: String) -> Bool {
    guard !response.isEmpty else { return true }
    guard seen.insert(response).inserted else { return false }
    next = .reattach(after: response)
    return true
  }

  /// The server says that all is sent.
  package mutating func completed() { isComplete = true }

  /// The server says it does not know the statement.
  ///
  /// - Returns: Whether it may be run again: only where nothing of it was ever seen, so that it never reached the server.
  package mutating func unknown() -> Bool {
    guard seen.isEmpty else { return false }
    next = .execute
    return true
  }
}

/// One statement on its way: run, followed through cut and silent streams, and released whatever happens.
package actor Execution {
  /// The rows that a statement may hand back.
  package struct Limits: Hashable, Sendable {
    package var rows = 100_000
    package var bytes = 64 << 20
    package init() {}
  }

  /// Under which the server knows the statement.
  package nonisolated let identifier = UUID().uuidString.lowercased()

  private let session: SparkSession
  private let kind: StatementKind
  private let sql: String
  private let limits: Limits
  private let onProgress: @Sendable (ProgressTotals) -> Void
  private let onNote: @Sendable (String) -> Void

  private var state = ExecutionState()
  private var totals = ProgressTotals()
  private var rows = ArrowRows()
  private var bytes = 0
  private var lastHeard = ContinuousClock.now
  private var wasHeard = false
  private var failingSince: ContinuousClock.Instant?
  private var failures = 0
  private var isCancelled = false
  private var isOver = false
  private var attempt: Task<Void, any Error>?

  /// Prepares a statement; ``run()`` sends it.
  package init(
    _ kind: StatementKind, _ sql: String, in session: SparkSession, limits: Limits = Limits(),
    onProgress: @Sendable @escaping (ProgressTotals) -> Void,
    onNote: @Sendable @escaping (String) -> Void
  ) {
    self.kind = kind
    self.sql = sql
    self.session = session
    self.limits = limits
    self.onProgress = onProgress
    self.onNote = onNote
  }

  /// Runs the statement to its end.
  ///
  /// A stream that ends early is taken up behind the last response; one that is silent is taken up again where the server still
  /// answers; a server that does not answer is asked again until the session's patience ends. The statement is sent a second
  /// time only where the server never knew it.
  ///
  /// - Returns: Its rows.
  /// - Throws: ``SparkError``; `cancelled` after ``cancel()``.
  package func run() async throws(SparkError) -> ArrowRows {
    var failure: SparkError?
    do throws(SparkError) {
      while !state.isComplete { try await follow() }
    } catch {
      failure = error
    }
    isOver = true
    await release()
    if let failure { throw isCancelled ? .cancelled : failure }
    return rows
  }

  /// Interrupts the statement on the server, and waits no longer for it than a farewell may take.
  ///
  /// Returns at once where it has ended.
  package func cancel() async {
    isCancelled = true
    let end = ContinuousClock.now + session.timing.farewell
    while !isOver, ContinuousClock.now < end {
      // Again and again: a statement that the server has only just received cannot be interrupted yet.
      await interrupt()
      if !isOver { try? await Task.sleep(for: .milliseconds(200)) }
    }
    attempt?.cancel()
  }

  /// Waits for one stream's end, and decides whether another follows.
  private func follow() async throws(SparkError) {
    if isCancelled, failingSince != nil || state.next == .execute { throw .cancelled }
    do {
      try await listen()
      if !state.isComplete { try await pauseIfIdle() }
    } catch let error as SparkError {
      throw error
    } catch let error as RPCError {
      try await recover(error)
    } catch {
      throw .cancelled
    }
  }

  /// A server may end a stream whenever it likes; one that does so without ever sending anything is not asked in a loop.
  private func pauseIfIdle() async throws {
    guard !wasHeard else { return }
    failures += 1
    try await Task.sleep(for: Timing.pause(after: failures))
  }

  /// Opens a stream and takes what comes, until it ends or is silent for too long.
  private func listen() async throws {
    let step = state.next
    lastHeard = .now
    wasHeard = false
    state.began()
    let reading = Task { try await self.open(step) }
    attempt = reading
    let watching = Task { await self.watch(reading) }
    defer { watching.cancel() }
    do {
      try await reading.value
    } catch {
      if reading.isCancelled, !isCancelled, !(error is SparkError) {
        throw RPCError(code: .deadlineExceeded, message: "silent")
      }
      throw error
    }
  }

  private func watch(_ reading: Task<Void, any Error>) async {
    while !Task.isCancelled {
      let left = lastHeard + session.timing.silence - .now
      if left <= .zero { return reading.cancel() }
      try? await Task.sleep(for: left)
    }
  }

  private nonisolated func open(_ step: ExecutionState.Step) async throws {
    let take: @Sendable (SCExecutePlanResponse) async throws -> Void = {
      try await self.take($0)
    }
    switch step {
    case .execute:
      try await session.stub.stream(Procedures.executePlan, executeRequest, take: take)
    case .reattach(let last):
      try await session.stub.stream(Procedures.reattachExecute, reattachRequest(last), take: take)
    }
  }

  private func take(_ response: SCExecutePlanResponse) throws {
    lastHeard = .now
    wasHeard = true
    failingSince = nil
    failures = 0
    guard state.received(response.responseID) else { return }
    switch response.responseType {
    case .arrowBatch(let batch): try append(batch.data)
    case .sqlCommandResult(let result):
      if result.relation.localRelation.hasData { try append(result.relation.localRelation.data) }
    case .executionProgress(let report):
      let before = totals
      totals.take(report)
      if totals != before { onProgress(totals) }
    case .resultComplete: state.completed()
    case nil: break
    }
  }

  private func append(_ data: Data) throws(SparkError) {
    bytes += data.count
    guard bytes <= limits.bytes else { throw tooLarge("\(limits.bytes >> 20) MiB") }
    let isWithin: Bool
    do throws(ArrowFault) {
      isWithin = try rows.append([UInt8](data), limit: limits.rows)
    } catch {
      throw error.failure
    }
    if !isWithin { throw tooLarge("\(limits.rows) rows") }
  }

  private func tooLarge(_ what: String) -> SparkError {
    SparkError(
      .refused, "the statement's result has more than \(what)",
      remedy: "write it to Parquet files instead")
  }

  /// Decides what a failed stream means: nil errors go on, others are thrown.
  private func recover(_ error: RPCError) async throws(SparkError) {
    if isCancelled, error.code == .cancelled || error.isOfConnection { throw .cancelled }
    if error.code == .deadlineExceeded, error.message == "silent" { return try await wake() }
    let trailer = FaultTrailer(error)
    let condition = trailer?.fault.condition
    if condition == "INVALID_HANDLE.OPERATION_ALREADY_EXISTS" { return }
    if condition == "INVALID_HANDLE.OPERATION_NOT_FOUND", state.unknown() { return }
    if condition == "INVALID_CURSOR.DISCONNECTED" { return try await bear(error) }
    // A stream that our own end gave up, without a word of the server's, was cut like any other.
    let isCut =
      error.isOfConnection || (trailer == nil && [.cancelled, .unknown].contains(error.code))
    guard isCut else { throw await session.explain(error, of: kind) }
    try await bear(error)
  }

  /// Waits for a server that may come back.
  private func bear(_ error: RPCError) async throws(SparkError) {
    let now = ContinuousClock.now
    if failingSince == nil { onNote("the connection to \(session.remote.server) was lost") }
    let since = failingSince ?? now
    failingSince = since
    failures += 1
    guard now - since < session.timing.patience else {
      throw await session.explain(error, of: kind)
    }
    let end = now + Timing.pause(after: failures)
    while ContinuousClock.now < end {
      if isCancelled { throw .cancelled }
      try? await Task.sleep(for: min(.milliseconds(50), end - .now))
    }
  }

  /// After a silence, asks whether the server is there; if it is, the stream is taken up again.
  private func wake() async throws(SparkError) {
    onNote("nothing was heard for \(session.timing.silence); asking again")
    do {
      try await session.probe()
    } catch let error as RPCError {
      let isLate = error.code == .deadlineExceeded
      guard isLate || error.isOfConnection else { throw await session.explain(error, of: kind) }
      try await bear(error)
    } catch {
      throw .cancelled
    }
  }

  private func interrupt() async {
    let request = SCInterruptRequest.with {
      $0.sessionID = session.identifier
      $0.userContext = session.user
      $0.clientType = SparkSession.clientType
      $0.clientObservedServerSideSessionID = session.serverSideIdentifier
      $0.interruptType = .operationID
      $0.operationID = identifier
    }
    _ = try? await session.stub.ask(Procedures.interrupt, request, timeout: session.timing.farewell)
  }

  /// Interrupts what may still run, and has the server forget the execution.
  private func release() async {
    guard state.next != .execute else { return }
    if !state.isComplete { await interrupt() }
    let request = SCReleaseExecuteRequest.with {
      $0.sessionID = session.identifier
      $0.userContext = session.user
      $0.clientType = SparkSession.clientType
      $0.clientObservedServerSideSessionID = session.serverSideIdentifier
      $0.operationID = identifier
      $0.releaseAll = .init()
    }
    _ = try? await session.stub.ask(
      Procedures.releaseExecute, request, timeout: session.timing.farewell)
  }

  private nonisolated var executeRequest: SCExecutePlanRequest {
    .with {
      $0.sessionID = session.identifier
      $0.userContext = session.user
      $0.clientType = SparkSession.clientType
      $0.clientObservedServerSideSessionID = session.serverSideIdentifier
      $0.operationID = identifier
      $0.plan = plan
      $0.requestOptions = [.with { $0.reattachOptions = .with { $0.reattachable = true } }]
    }
  }

  private nonisolated func reattachRequest(_ last: String?) -> SCReattachExecuteRequest {
    .with {
      $0.sessionID = session.identifier
      $0.userContext = session.user
      $0.clientType = SparkSession.clientType
      $0.clientObservedServerSideSessionID = session.serverSideIdentifier
      $0.operationID = identifier
      if let last { $0.lastResponseID = last }
    }
  }

  private nonisolated var plan: SCPlan {
    let relation = SCRelation.with { $0.sql = .with { $0.query = sql } }
    return .with {
      switch kind {
      case .query: $0.root = relation
      case .command: $0.command = .with { $0.sqlCommand = .with { $0.input = relation } }
      }
    }
  }
}

extension ArrowFault {
  /// The fault in our form.
  var failure: SparkError {
    switch self {
    case .unsupported(let column, let type):
      SparkError(
        .refused, "column \(column) of the result is of type \(type)",
        remedy: "cast it to a string in SQL")
    case .compressed:
      SparkError(
        .refused, "the server sends compressed Arrow data",
        remedy: "leave spark.sql.execution.arrow.compression.codec at none")
    case .truncated:
      SparkError(.refused, "the server sends Arrow data that end too early", remedy: "run it again")
    case .malformed(let what):
      SparkError(
        .refused, "the server sends Arrow data that cannot be read: \(what)",
        remedy: "tell fastDP, with Spark's version")
    }
  }
}
