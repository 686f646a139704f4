package import GRPCCore
internal import GRPCNIOTransportHTTP2
package import SparkProto
package import SwiftProtobuf

/// The procedures of a Spark Connect server, each a call.
///
/// One HTTP/2 connection, made when it is first needed and again when it was lost. Nothing is retried here.
package final class ConnectStub: Sendable {
  /// The largest message, in either direction.
  static let messageLimit = 256 << 20
  /// The service, as it stands in every procedure's path.
  package static let service = ServiceDescriptor(
    fullyQualifiedService: "spark.connect.SparkConnectService")

  private let client: GRPCClient<HTTP2ClientTransport.Posix>
  private let connections: Task<Void, any Error>
  private let metadata: Metadata

  /// Prepares the connection; nothing is sent yet.
  ///
  /// - Parameters:
  ///   - remote: The server.
  ///   - authorities: A PEM file of certificates to trust instead of the system's.
  /// - Throws: ``SparkError`` `usage` for a file that holds no certificates.
  package init(_ remote: SparkRemote, authorities: String?) throws(SparkError) {
    do {
      let transport = try HTTP2ClientTransport.Posix(
        target: Self.target(remote), transportSecurity: Self.security(remote, authorities),
        config: .defaults { config in
          config.backoff = .init(
            initial: .milliseconds(100), max: .seconds(2), multiplier: 1.6, jitter: 0.2)
        })
      let client = GRPCClient(transport: transport)
      self.client = client
      connections = Task { try await client.runConnections() }
    } catch {
      throw SparkError(
        .usage, "the certificates of \(authorities ?? "the system") cannot be used",
        remedy: "name a PEM file of certificate authorities")
    }
    var metadata: Metadata = [:]
    if let token = remote.token { metadata.addString("Bearer \(token)", forKey: "authorization") }
    for (name, value) in remote.headers { metadata.addString(value, forKey: name) }
    self.metadata = metadata
  }

  deinit { client.beginGracefulShutdown() }

  /// Ends the connection.
  package func close() async {
    client.beginGracefulShutdown()
    connections.cancel()
    _ = await connections.result
  }

  /// Asks one question.
  ///
  /// - Parameters:
  ///   - procedure: The question.
  ///   - request: What is asked.
  ///   - timeout: How long an answer is waited for.
  /// - Returns: The answer.
  /// - Throws: `RPCError`, also for an answer that is late (`deadlineExceeded`), or `CancellationError`.
  package func ask<Request: Message, Response: Message>(
    _ procedure: Procedure<Request, Response>, _ request: Request, timeout: Duration
  ) async throws -> Response {
    try await client.unary(
      request: ClientRequest(message: request, metadata: metadata),
      descriptor: procedure.descriptor, serializer: MessageCoder<Request>(),
      deserializer: MessageCoder<Response>(), options: Self.options(timeout)
    ) { try $0.message }
  }

  /// Opens a stream and hands over each message as it comes.
  ///
  /// - Parameters:
  ///   - procedure: The procedure.
  ///   - request: What is asked.
  ///   - take: Called for each message, one after the other.
  /// - Throws: `RPCError`, `CancellationError`, or what `take` throws.
  package func stream<Request: Message, Response: Message>(
    _ procedure: Procedure<Request, Response>, _ request: Request,
    take: @Sendable @escaping (Response) async throws -> Void
  ) async throws {
    try await client.serverStreaming(
      request: ClientRequest(message: request, metadata: metadata),
      descriptor: procedure.descriptor, serializer: MessageCoder<Request>(),
      deserializer: MessageCoder<Response>(), options: Self.options(nil)
    ) { for try await message in $0.messages { try await take(message) } }
  }

  private static func options(_ timeout: Duration?) -> CallOptions {
    var options = CallOptions.defaults
    options.waitForReady = false
    options.timeout = timeout
    // The transport bounds what comes in by the bound for what goes out.
    options.maxRequestMessageBytes = messageLimit
    options.maxResponseMessageBytes = messageLimit
    return options
  }

  private static func target(_ remote: SparkRemote) -> any ResolvableTarget {
    if remote.host.contains(":") { return .ipv6(address: remote.host, port: remote.port) }
    if SparkRemote.isIPv4(remote.host) { return .ipv4(address: remote.host, port: remote.port) }
    return .dns(host: remote.host, port: remote.port)
  }

  private static func security(
    _ remote: SparkRemote, _ authorities: String?
  ) -> HTTP2ClientTransport.Posix.TransportSecurity {
    guard remote.usesTLS else { return .plaintext }
    return .tls { tls in
      if let authorities {
        tls.trustRoots = .certificates([.file(path: authorities, format: .pem)])
      }
    }
  }
}

/// One procedure of the service with the types of its messages.
package struct Procedure<Request: Message, Response: Message>: Sendable {
  package let descriptor: MethodDescriptor

  init(_ name: String) {
    descriptor = MethodDescriptor(service: ConnectStub.service, method: name)
  }
}

/// The procedures that are used.
package enum Procedures {
  package static let executePlan = Procedure<SCExecutePlanRequest, SCExecutePlanResponse>(
    "ExecutePlan")
  package static let reattachExecute = Procedure<SCReattachExecuteRequest, SCExecutePlanResponse>(
    "ReattachExecute")
  package static let releaseExecute = Procedure<SCReleaseExecuteRequest, SCReleaseExecuteResponse>(
    "ReleaseExecute")
  package static let analyzePlan = Procedure<SCAnalyzePlanRequest, SCAnalyzePlanResponse>(
    "AnalyzePlan")
  package static let config = Procedure<SCConfigRequest, SCConfigResponse>(
    "Config")
  package static let interrupt = Procedure<SCInterruptRequest, SCInterruptResponse>(
    "Interrupt")
  package static let releaseSession = Procedure<SCReleaseSessionRequest, SCReleaseSessionResponse>(
    "ReleaseSession")
  package static let fetchErrorDetails = Procedure<
    SCFetchErrorDetailsRequest, SCFetchErrorDetailsResponse
  >(
    "FetchErrorDetails")
}

/// Messages to bytes and back.
package struct MessageCoder<Body: Message>: MessageSerializer, MessageDeserializer {
  package init() {}

  package func serialize<Bytes: GRPCContiguousBytes>(_ message: Body) throws -> Bytes {
    let bytes: [UInt8] = try message.serializedBytes()
    return Bytes(bytes)
  }

  package func deserialize<Bytes: GRPCContiguousBytes>(_ bytes: Bytes) throws -> Body {
    // SAFETY: the buffer is copied within the closure.
    let copy = unsafe bytes.withUnsafeBytes { buffer in unsafe [UInt8](buffer) }
    do {
      return try Body(serializedBytes: copy)
    } catch {
      throw RPCError(code: .internalError, message: "a message of the server cannot be read")
    }
  }
}
