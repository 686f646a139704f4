/// The other end of the protocol: takes requests one by one, and answers each in its own time.
///
/// Holds one session at most, and in it one statement at most.
package actor Executor {
  /// What the executor needs of the world.
  package struct Surroundings: Sendable {
    package var timing = Timing()
    package var limits = Execution.Limits()
    package var leftovers: Leftovers
    package var user: String
    package var environment: [String: String]

    package init(leftovers: Leftovers, user: String, environment: [String: String]) {
      self.leftovers = leftovers
      self.user = user
      self.environment = environment
    }
  }

  private enum State {
    case idle
    case connecting(Task<Void, Never>, id: Int64)
    case connected(SparkSession, LocalSpark?)
  }

  private let surroundings: Surroundings
  private let send: @Sendable (String) -> Void
  private var state = State.idle
  private var running: (id: Int64, execution: Execution, task: Task<Void, Never>)?
  private var isEnding = false

  /// - Parameters:
  ///   - surroundings: Clocks, folders, environment.
  ///   - send: Called with each line of the answer, without its end.
  package init(_ surroundings: Surroundings, send: @Sendable @escaping (String) -> Void) {
    self.surroundings = surroundings
    self.send = send
  }

  /// Takes a line, and returns as soon as the next may be taken.
  ///
  /// - Parameter line: The bytes without the line's end.
  package func take(_ line: [UInt8]) async {
    guard !line.isEmpty, !isEnding else { return }
    do throws(Request.Malformed) {
      let request = try Request(line)
      await start(request)
    } catch {
      reply(.error(error.error), to: error.id)
    }
  }

  /// Ends: interrupts what runs, releases the session, ends a local Spark.
  package func end() async {
    isEnding = true
    if case .connecting(let task, _) = state {
      task.cancel()
      await task.value
    }
    await leave()
  }

  private func start(_ request: Request) async {
    switch request.body {
    case .connect(let connect): begin(connect, request.id)
    case .run(let kind, let sql, let title): await run(kind, sql, title, request.id)
    case .cancel(let id): await cancel(id, request.id)
    case .disconnect:
      await leave()
      reply(.disconnected, to: request.id)
    }
  }

  private func reply(_ reply: Reply, to id: Int64?) { send(reply.line(to: id)) }

  private func begin(_ connect: Request.Connect, _ id: Int64) {
    guard case .idle = state else {
      return reply(.error(Request.refusal("there is a connection already")), to: id)
    }
    let task = Task { await self.connect(connect, id) }
    state = .connecting(task, id: id)
  }

  private func connect(_ connect: Request.Connect, _ id: Int64) async {
    do throws(SparkError) {
      var local: LocalSpark?
      if let options = connect.local { local = try await startLocal(options) }
      do throws(SparkError) {
        let session = try await open(connect, local, id)
        state = .connected(session, local)
        reply(
          .connected(
            version: session.version, session: session.identifier, server: session.remote.server),
          to: id)
      } catch {
        await local?.stop()
        throw error
      }
    } catch {
      state = .idle
      reply(.error(error), to: id)
    }
  }

  private func startLocal(_ options: LocalSparkOptions) async throws(SparkError) -> LocalSpark {
    let environment = surroundings.environment
    let installation = try await SparkInstallation.find(environment)
    return try await LocalSpark.start(options, installation, environment: environment)
  }

  private func open(
    _ connect: Request.Connect, _ local: LocalSpark?, _ id: Int64
  ) async throws(SparkError) -> SparkSession {
    let remote: SparkRemote
    if let local {
      remote = local.remote
    } else {
      remote = try SparkRemote(connect.remote ?? "", user: surroundings.user)
    }
    if remote.sendsTokenInClear {
      reply(.note("the token goes to \(remote.server) without encryption (use_ssl=false)"), to: id)
    }
    var timing = surroundings.timing
    if let patience = connect.patience {
      timing.patience = patience
      timing.greeting = min(timing.greeting, patience)
    }
    let send = send
    return try await SparkSession.open(
      remote, authorities: connect.authorities, configuration: connect.configuration,
      timing: timing, leftovers: surroundings.leftovers,
      note: { send(Reply.note($0).line(to: id)) })
  }

  private func run(
    _ kind: StatementKind, _ sql: String, _ title: String?, _ id: Int64
  ) async {
    guard case .connected(let session, _) = state else {
      return reply(.error(Request.refusal("run comes before connected")), to: id)
    }
    if let running {
      return reply(.error(Request.refusal("statement \(running.id) is still running")), to: id)
    }
    let send = send
    let execution = Execution(
      kind, Self.titled(sql, title), in: session, limits: surroundings.limits,
      onProgress: { send(Reply.progress($0).line(to: id)) },
      onNote: { send(Reply.note($0).line(to: id)) })
    let task = Task { await self.finish(execution, id) }
    running = (id, execution, task)
  }

  /// The statement with its title as a comment before it, where Spark's UI shows it.
  private static func titled(_ sql: String, _ title: String?) -> String {
    guard let title else { return sql }
    let words = title.oneLine(limit: 60).filter {
      $0.isLetter || $0.isNumber || " .,-()".contains($0)
    }
    return "/* \(words) */ \(sql)"
  }

  private func finish(_ execution: Execution, _ id: Int64) async {
    let result: Reply
    do throws(SparkError) {
      result = .rows(try await execution.run())
    } catch {
      result = .error(error)
    }
    running = nil
    reply(result, to: id)
  }

  private func cancel(_ target: Int64, _ id: Int64) async {
    if case .connecting(let task, target) = state {
      task.cancel()
      return reply(.cancelled(id: target, running: true), to: id)
    }
    guard let running, running.id == target else {
      return reply(.cancelled(id: target, running: false), to: id)
    }
    reply(.cancelled(id: target, running: true), to: id)
    Task { await running.execution.cancel() }
  }

  private func leave() async {
    if let running {
      await running.execution.cancel()
      await running.task.value
    }
    guard case .connected(let session, let local) = state else { return }
    state = .idle
    await session.close()
    await local?.stop()
  }
}
