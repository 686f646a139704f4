import Foundation
import GRPCCore
import GRPCNIOTransportHTTP2
import SparkConnect
import SparkProto
import SwiftProtobuf
import Synchronization

/// A Spark Connect server within the test's process, on a real loopback connection, that does as the test says.
final class FakeServer: RegistrableRPCService {
  typealias Response = SCExecutePlanResponse
  /// Sends one response of a stream.
  typealias Send = @Sendable (Response) async throws -> Void

  /// What the server was asked, in the order in which it came.
  struct Log: Sendable {
    var calls: [String] = []
    var executed: [SCExecutePlanRequest] = []
    var reattached: [SCReattachExecuteRequest] = []
    var configured: [String: String] = [:]
    var releasedSessions: [String] = []
    var releasedExecutions: [String] = []
  }

  /// What a call to run a statement does; the count of such calls so far comes with it.
  let onExecute: @Sendable (FakeServer, SCExecutePlanRequest, Int, Send) async throws -> Void
  /// What a call to go on does.
  let onReattach: @Sendable (FakeServer, SCReattachExecuteRequest, Int, Send) async throws -> Void
  let onConfig: @Sendable (FakeServer, SCConfigRequest) async throws -> Void
  let details: SCFetchErrorDetailsResponse?
  let token: String?
  private let state = Mutex(Log())

  init(
    token: String? = nil, details: SCFetchErrorDetailsResponse? = nil,
    onConfig: @Sendable @escaping (FakeServer, SCConfigRequest) async throws -> Void = { _, _ in },
    onReattach:
      @Sendable @escaping (FakeServer, SCReattachExecuteRequest, Int, Send) async throws ->
      Void = { _, _, _, _ in throw FakeServer.fault("INVALID_HANDLE.OPERATION_NOT_FOUND", "HY000")
      },
    onExecute:
      @Sendable @escaping (FakeServer, SCExecutePlanRequest, Int, Send) async throws ->
      Void
  ) {
    self.token = token
    self.details = details
    self.onConfig = onConfig
    self.onExecute = onExecute
    self.onReattach = onReattach
  }

  /// A server whose statements are done at once.
  convenience init(
    token: String? = nil,
    settings: @Sendable @escaping (FakeServer, SCConfigRequest) async throws -> Void = { _, _ in }
  ) {
    self.init(token: token, onConfig: settings) { _, _, _, send in try await send(.done) }
  }

  /// What was asked so far.
  var log: Log { state.withLock { $0 } }

  /// Whether a call of a name has come.
  func saw(_ call: String) -> Bool { log.calls.contains(call) }

  /// Waits until a call of a name has come.
  func wait(for call: String) async throws {
    while !saw(call) { try await Task.sleep(for: .milliseconds(5)) }
  }

  private func note(_ call: String, _ change: (inout Log) -> Void = { _ in }) {
    state.withLock {
      $0.calls.append(call)
      change(&$0)
    }
  }

  func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
    answer(&router, Procedures.analyzePlan) { server, request in
      server.note("AnalyzePlan")
      return .with {
        $0.sessionID = request.sessionID
        $0.serverSideSessionID = "server-side"
        $0.sparkVersion = .with { $0.version = "4.1.0" }
      }
    }
    answer(&router, Procedures.config) { server, request in
      server.note("Config") { log in
        for pair in request.operation.set.pairs { log.configured[pair.key] = pair.value }
      }
      try await server.onConfig(server, request)
      return .init()
    }
    answer(&router, Procedures.interrupt) { server, request in
      server.note("Interrupt \(request.operationID)")
      return .with { $0.interruptedIds = [request.operationID] }
    }
    answer(&router, Procedures.releaseExecute) { server, request in
      server.note("ReleaseExecute") { $0.releasedExecutions.append(request.operationID) }
      return .init()
    }
    answer(&router, Procedures.releaseSession) { server, request in
      server.note("ReleaseSession") { $0.releasedSessions.append(request.sessionID) }
      return .init()
    }
    answer(&router, Procedures.fetchErrorDetails) { server, _ in
      server.note("FetchErrorDetails")
      return server.details ?? .init()
    }
    stream(&router, Procedures.executePlan) { server, request, send in
      server.note("ExecutePlan") { $0.executed.append(request) }
      try await server.onExecute(server, request, server.log.executed.count, send)
    }
    stream(&router, Procedures.reattachExecute) { server, request, send in
      server.note("ReattachExecute") { $0.reattached.append(request) }
      try await server.onReattach(server, request, server.log.reattached.count, send)
    }
  }

  private func answer<T: ServerTransport, Question: Message, Answer: Message>(
    _ router: inout RPCRouter<T>, _ procedure: Procedure<Question, Answer>,
    _ body: @Sendable @escaping (FakeServer, Question) async throws -> Answer
  ) {
    router.registerHandler(
      forMethod: procedure.descriptor, deserializer: MessageCoder<Question>(),
      serializer: MessageCoder<Answer>()
    ) { request, _ in
      let request = try await ServerRequest(stream: request)
      try self.check(request.metadata)
      let answer = try await body(self, request.message)
      return StreamingServerResponse(single: ServerResponse(message: answer))
    }
  }

  private func stream<T: ServerTransport, Question: Message>(
    _ router: inout RPCRouter<T>, _ procedure: Procedure<Question, Response>,
    _ body: @Sendable @escaping (FakeServer, Question, Send) async throws -> Void
  ) {
    router.registerHandler(
      forMethod: procedure.descriptor, deserializer: MessageCoder<Question>(),
      serializer: MessageCoder<Response>()
    ) { request, _ in
      let request = try await ServerRequest(stream: request)
      try self.check(request.metadata)
      return StreamingServerResponse { writer in
        try await body(self, request.message) { try await writer.write($0) }
        return [:]
      }
    }
  }

  private func check(_ metadata: Metadata) throws {
    guard let token else { return }
    guard metadata[stringValues: "authorization"].contains("Bearer \(token)") else {
      throw RPCError(code: .unauthenticated, message: "Invalid authentication token")
    }
  }
}

extension FakeServer {
  /// An error as Spark sends it: with the details in the trailer.
  static func fault(
    _ condition: String?, _ sqlState: String?, text: String = "[CONDITION] Words.",
    errorID: String? = nil, parameters: String? = nil, classes: String? = nil
  ) -> RPCError {
    let info = RPCErrorInfo.with {
      $0.reason = "org.apache.spark.SparkException"
      $0.domain = "org.apache.spark"
      $0.metadata["errorClass"] = condition
      $0.metadata["sqlState"] = sqlState
      $0.metadata["errorId"] = errorID
      $0.metadata["messageParameters"] = parameters
      $0.metadata["classes"] = classes
    }
    let status = RPCStatus.with {
      $0.code = 13
      $0.message = text
      $0.details = [
        .with {
          $0.typeURL = "type.googleapis.com/google.rpc.ErrorInfo"
          $0.value = (try? info.serializedBytes()) ?? .init()
        }
      ]
    }
    let bytes: [UInt8] = (try? status.serializedBytes()) ?? []
    var metadata: Metadata = [:]
    metadata.addBinary(bytes, forKey: "grpc-status-details-bin")
    return RPCError(code: .internalError, message: text, metadata: metadata)
  }

  /// Serves on a free port of loopback while the body runs.
  func serve<R: Sendable>(
    _ security: HTTP2ServerTransport.Posix.TransportSecurity = .plaintext,
    _ body: @Sendable (Int) async throws -> R
  ) async throws -> R {
    let transport = HTTP2ServerTransport.Posix(
      address: .ipv4(host: "127.0.0.1", port: 0), transportSecurity: security)
    let server = GRPCServer(transport: transport, services: [self])
    return try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await server.serve() }
      let port = try await transport.listeningAddress.ipv4?.port ?? 0
      defer { group.cancelAll() }
      return try await body(port)
    }
  }
}

extension SCExecutePlanResponse {
  /// A response of a name.
  static func named(_ name: String, _ fill: (inout Self) -> Void = { _ in }) -> Self {
    .with {
      $0.responseID = name
      fill(&$0)
    }
  }

  /// The end of all responses.
  static var done: Self { named("done") { $0.resultComplete = .init() } }

  /// Rows as Arrow data.
  static func arrow(_ name: String, _ data: [UInt8]) -> Self {
    named(name) { $0.arrowBatch = .with { $0.data = .init(data) } }
  }

  /// A report of one stage.
  static func progress(_ name: String, tasks: Int64, completed: Int64) -> Self {
    named(name) {
      $0.executionProgress = .with {
        $0.stages = [
          .with {
            $0.stageID = 1
            $0.numTasks = tasks
            $0.numCompletedTasks = completed
          }
        ]
      }
    }
  }
}
