internal import GRPCCore
internal import SparkProto
internal import SwiftProtobuf
internal import Synchronization

#if canImport(FoundationEssentials)
internal import FoundationEssentials
#else
internal import Foundation
#endif

/// A session on a Spark Connect server, from its first answer to its release.
///
/// Ended by ``close()``, which releases it on the server with all that runs in it. While it lives, its state file tells a later
/// process whose session this is, should this process be killed (``Leftovers``).
package final class SparkSession: Sendable {
  /// Under which the server knows the session.
  package let identifier: String
  /// Whom it is with.
  package let remote: SparkRemote
  /// Spark's version.
  package let version: String

  let stub: ConnectStub
  let timing: Timing
  private let record: SessionRecord
  private let serverSide: Mutex<String>

  static let clientType = "fastdp-spark"

  /// Opens a session: greets the server, releases what dead processes of this machine left on it, and sets the configuration.
  ///
  /// - Parameters:
  ///   - remote: The server.
  ///   - authorities: A PEM file to trust instead of the system's.
  ///   - configuration: Settings of the session; two of our own come first.
  ///   - timing: How long to wait for what.
  ///   - leftovers: Where state files are kept.
  ///   - note: Called with lines for people.
  /// - Returns: The session.
  /// - Throws: ``SparkError``; nothing is left on the server then.
  package static func open(
    _ remote: SparkRemote, authorities: String?, configuration: [String: String], timing: Timing,
    leftovers: Leftovers, note: @Sendable (String) -> Void
  ) async throws(SparkError) -> SparkSession {
    let stub = try ConnectStub(remote, authorities: authorities)
    let identifier = UUID().uuidString.lowercased()
    do throws(SparkError) {
      let record = try leftovers.record(identifier, of: remote)
      let answer = try await greet(stub, remote, identifier, timing)
      let session = SparkSession(stub, remote, identifier, answer, timing, record)
      do throws(SparkError) {
        await leftovers.release(remote, stub: stub, timing: timing, note: note)
        try await session.configure(configuration)
        return session
      } catch {
        await session.release()
        throw error
      }
    } catch {
      leftovers.forget(identifier)
      await stub.close()
      throw error
    }
  }

  private init(
    _ stub: ConnectStub, _ remote: SparkRemote, _ identifier: String,
    _ greeting: SCAnalyzePlanResponse, _ timing: Timing, _ record: SessionRecord
  ) {
    self.stub = stub
    self.remote = remote
    self.identifier = identifier
    self.timing = timing
    self.record = record
    version = greeting.sparkVersion.version
    serverSide = Mutex(greeting.serverSideSessionID)
  }

  /// The server's own name for the session: with it, a server that was started anew says so instead of beginning afresh.
  var serverSideIdentifier: String { serverSide.withLock { $0 } }

  /// Who asks.
  var user: SCUserContext { Self.user(remote) }

  static func user(_ remote: SparkRemote) -> SCUserContext {
    .with {
      $0.userID = remote.userID
      $0.userName = remote.userID
    }
  }

  /// Releases the session with all that runs in it, and ends the connection.
  package func close() async {
    await release()
    await stub.close()
  }

  private func release() async {
    let request = SCReleaseSessionRequest.with {
      $0.sessionID = identifier
      $0.userContext = user
      $0.clientType = Self.clientType
    }
    // A session that could not be released keeps its state file: the next connection releases it.
    if (try? await stub.ask(Procedures.releaseSession, request, timeout: timing.farewell)) != nil {
      record.remove()
    }
  }

  private static func greet(
    _ stub: ConnectStub, _ remote: SparkRemote, _ identifier: String, _ timing: Timing
  ) async throws(SparkError) -> SCAnalyzePlanResponse {
    let request = SCAnalyzePlanRequest.with {
      $0.sessionID = identifier
      $0.userContext = user(remote)
      $0.clientType = clientType
      $0.sparkVersion = .init()
    }
    let end = ContinuousClock.now + timing.greeting
    var failures = 0
    while true {
      do {
        return try await stub.ask(Procedures.analyzePlan, request, timeout: timing.answer)
      } catch let error as RPCError {
        failures += 1
        let mayPass = error.code == .unavailable && ContinuousClock.now < end
        if !mayPass || Task.isCancelled { throw failure(error, at: remote) }
        try? await Task.sleep(for: Timing.pause(after: failures))
      } catch {
        throw .cancelled
      }
    }
  }

  static func failure(_ error: RPCError, at remote: SparkRemote) -> SparkError {
    if Task.isCancelled { return .cancelled }
    return FaultTrailer(error).map { Classification.failure([$0.fault]) }
      ?? Classification.failure(error, at: remote)
  }

  /// Sets the session's configuration.
  private func configure(_ values: [String: String]) async throws(SparkError) {
    var pairs = [
      "spark.sql.execution.arrow.compression.codec": "none",
      "spark.connect.progress.reportInterval": "500ms",
    ]
    pairs.merge(values) { $1 }
    let request = config { operation in
      operation.set = .with { set in
        set.pairs = pairs.sorted { $0.key < $1.key }.map { key, value in
          .with {
            $0.key = key
            $0.value = value
          }
        }
      }
    }
    do {
      _ = try await retrying {
        try await self.stub.ask(Procedures.config, request, timeout: self.timing.answer)
      }
    } catch {
      throw await explain(error)
    }
  }

  /// Whether the server answers at all.
  ///
  /// - Throws: `RPCError` where it does not, or where it answers with an error.
  func probe() async throws {
    let request = config { $0.get = .with { $0.keys = ["spark.sql.session.timeZone"] } }
    _ = try await stub.ask(Procedures.config, request, timeout: timing.probe)
  }

  private func config(_ fill: (inout SCConfigRequest.Operation) -> Void) -> SCConfigRequest {
    .with {
      $0.sessionID = identifier
      $0.userContext = user
      $0.clientType = Self.clientType
      $0.clientObservedServerSideSessionID = serverSideIdentifier
      $0.operation = .with(fill)
    }
  }

  /// Asks again, with pauses, while nobody answers, for as long as the patience lasts.
  private func retrying<T>(_ ask: () async throws -> T) async throws -> T {
    let end = ContinuousClock.now + timing.patience
    var failures = 0
    while true {
      do {
        return try await ask()
      } catch let error as RPCError where error.isOfConnection {
        failures += 1
        if ContinuousClock.now >= end { throw error }
        try await Task.sleep(for: Timing.pause(after: failures))
      }
    }
  }

  /// What a failed call means, from all that the server knows about the error.
  ///
  /// - Parameters:
  ///   - error: What a call threw.
  ///   - kind: What the call was for.
  /// - Returns: The failure in our form.
  func explain(_ error: any Error, of kind: StatementKind = .command) async -> SparkError {
    if let error = error as? SparkError { return error }
    guard let error = error as? RPCError else { return .cancelled }
    guard let trailer = FaultTrailer(error) else {
      return Classification.failure(error, at: remote)
    }
    return Classification.failure(await chain(trailer), of: kind)
  }

  /// The whole chain of an error, or the part that came with it where the server has forgotten the rest.
  private func chain(_ trailer: FaultTrailer) async -> [ServerFault] {
    guard let errorID = trailer.errorID else { return [trailer.fault] }
    let request = SCFetchErrorDetailsRequest.with {
      $0.sessionID = identifier
      $0.userContext = user
      $0.clientType = Self.clientType
      $0.clientObservedServerSideSessionID = serverSideIdentifier
      $0.errorID = errorID
    }
    let details = try? await stub.ask(
      Procedures.fetchErrorDetails, request, timeout: timing.farewell)
    let chain = details.map(ServerFault.chain) ?? []
    return chain.isEmpty ? [trailer.fault] : chain
  }
}

extension RPCError {
  /// Whether the call did not reach the server, or its answer did not reach us: asking again may help.
  var isOfConnection: Bool {
    code == .unavailable && FaultTrailer(self) == nil
  }
}
