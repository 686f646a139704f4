internal import GRPCCore
internal import SparkProto
internal import SwiftProtobuf

#if canImport(FoundationEssentials)
internal import FoundationEssentials
#else
internal import Foundation
#endif
#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// The state files of sessions on this machine: how a session is found again whose process was killed.
///
/// One file a session, `SESSION.json`, for its owner alone (mode 0600), without the token. The process that holds the
/// session keeps the file locked; the system drops the lock with the process, however it ends. So a
/// file that can be locked is of a session nobody will come back to.
package struct Leftovers: Sendable {
  /// Where the files are.
  package let folder: String

  /// - Parameter folder: Made when first needed.
  package init(folder: String) { self.folder = folder }

  /// The user's folder: `$XDG_STATE_HOME/fastdp/spark`, or `~/.local/state/fastdp/spark`.
  package static var ofUser: Leftovers {
    let state =
      Platform.variable("XDG_STATE_HOME") ?? (Platform.variable("HOME") ?? "/tmp") + "/.local/state"
    return Leftovers(folder: state + "/fastdp/spark")
  }

  /// What a state file says.
  struct Contents: Codable, Hashable {
    var server: String
    var user: String
    var session: String
    var process: Int32
    var started: Date
  }

  /// Writes and locks a session's state file.
  ///
  /// - Parameters:
  ///   - session: Its identifier.
  ///   - remote: Whom it is with.
  /// - Returns: The lock, to be held while the session lives.
  /// - Throws: ``SparkError`` `cannotCreate`.
  func record(_ session: String, of remote: SparkRemote) throws(SparkError) -> SessionRecord {
    let path = path(session)
    guard Platform.makeFolder(folder) else { throw cannotCreate(folder) }
    // Under its name only once it is locked and whole.
    let hidden = "\(folder)/.\(session).partial"
    let file = unsafe open(hidden, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard file >= 0 else { throw cannotCreate(hidden) }
    let record = SessionRecord(file: file, path: path)
    let contents = Contents(
      server: remote.server, user: remote.userID, session: session, process: getpid(),
      started: .now)
    let encoder = JSONEncoder()
    encoder.dateEncodingStrategy = .iso8601
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    guard let bytes = try? encoder.encode(contents), flock(file, LOCK_EX | LOCK_NB) == 0,
      Platform.write([UInt8](bytes), to: file), unsafe rename(hidden, path) == 0
    else {
      let error = cannotCreate(path)
      _ = unsafe unlink(hidden)
      throw error
    }
    return record
  }

  /// Removes a state file, where there is one.
  func forget(_ session: String) { _ = unsafe unlink(path(session)) }

  /// Releases the sessions with a server whose processes are dead.
  ///
  /// - Parameters:
  ///   - remote: The server.
  ///   - stub: A connection to it.
  ///   - timing: How long to wait for each answer.
  ///   - note: Called with a line for each session that was released.
  func release(
    _ remote: SparkRemote, stub: ConnectStub, timing: Timing, note: (String) -> Void
  ) async {
    for name in Platform.names(in: folder) where name.hasSuffix(".json") && !name.hasPrefix(".") {
      guard let dead = Abandoned("\(folder)/\(name)"), dead.contents.server == remote.server
      else { continue }
      let request = SCReleaseSessionRequest.with {
        $0.sessionID = dead.contents.session
        $0.userContext = .with { $0.userID = dead.contents.user }
        $0.clientType = SparkSession.clientType
      }
      do {
        _ = try await stub.ask(Procedures.releaseSession, request, timeout: timing.farewell)
      } catch {
        // A server that knows no such session has nothing to release; one that does not answer is asked next time.
        guard let error = error as? RPCError, FaultTrailer(error) != nil else { continue }
      }
      forget(dead.contents.session)
      note("released session \(dead.contents.session), which a process that was killed had left")
    }
  }

  private func path(_ session: String) -> String { "\(folder)/\(session).json" }

  private func cannotCreate(_ path: String) -> SparkError {
    SparkError(
      .cannotCreate, "\(path): \(Platform.lastError())",
      remedy: "make the folder writable, or set XDG_STATE_HOME to one that is")
  }
}

/// The lock on a session's state file.
final class SessionRecord: Sendable {
  private let file: Int32
  private let path: String

  init(file: Int32, path: String) {
    self.file = file
    self.path = path
  }

  deinit { close(file) }

  /// Removes the file: the session is over.
  func remove() { _ = unsafe unlink(path) }
}

/// A state file that no living process holds, locked while it is looked at.
private struct Abandoned: ~Copyable {
  let contents: Leftovers.Contents
  private let file: Int32

  init?(_ path: String) {
    let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    let decoder = JSONDecoder()
    decoder.dateDecodingStrategy = .iso8601
    guard flock(file, LOCK_EX | LOCK_NB) == 0, let bytes = Platform.bytes(file, limit: 1 << 16),
      let contents = try? decoder.decode(Leftovers.Contents.self, from: Data(bytes)),
      path.hasSuffix("/\(contents.session).json")
    else {
      close(file)
      return nil
    }
    self.contents = contents
    self.file = file
  }

  deinit { close(file) }
}
