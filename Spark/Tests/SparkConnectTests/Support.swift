import Foundation
import SparkConnect
import SwiftProtobuf
import Synchronization
import Testing

/// The bytes of a fixture.
func fixture(_ name: String) throws -> [UInt8] {
  let path = try #require(Bundle.module.path(forResource: "Fixtures/\(name)", ofType: nil))
  return try #require(Platform.contents(path))
}

/// The path of a fixture.
func fixturePath(_ name: String) throws -> String {
  try #require(Bundle.module.path(forResource: "Fixtures/\(name)", ofType: nil))
}

/// A folder that is gone after the test.
final class TemporaryFolder: Sendable {
  let path: String

  init() throws {
    path = NSTemporaryDirectory() + "/fastdp-spark-tests-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// Writes a program for the shell.
  func script(_ name: String, _ text: String) throws -> String {
    let file = path + "/" + name
    let folder = (file as NSString).deletingLastPathComponent
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try Data("#!/bin/sh\n\(text)\n".utf8).write(to: URL(fileURLWithPath: file))
    try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: file)
    return file
  }
}

/// The lines that an executor or a program wrote, waited for by their content.
final class Replies: Sendable {
  private let lines = Mutex<[String]>([])

  func append(_ line: String) { lines.withLock { $0.append(line) } }

  /// All lines so far.
  var all: [String] { lines.withLock { $0 } }

  /// All lines so far of one request and one kind.
  func contents(_ kind: String, of id: Int64?) -> [JSON] {
    all.compactMap { line in
      guard let members = JSON.parse(Array(line.utf8))?.members else { return nil }
      return members["id"] == (id.map(JSON.integer) ?? .null) ? members[kind] : nil
    }
  }

  /// The line that ends a request: its kind and content.
  func end(of id: Int64?) async throws -> (kind: String, content: JSON) {
    while true {
      for kind in ["connected", "rows", "error", "cancelled", "disconnected"] {
        if let content = contents(kind, of: id).first { return (kind, content) }
      }
      try await Task.sleep(for: .milliseconds(5))
    }
  }
}

/// An executor, and what it has answered.
struct Client {
  let executor: Executor
  let replies = Replies()

  init(
    state: TemporaryFolder, timing: Timing = .quick, limits: Execution.Limits = .init(),
    environment: [String: String] = [:]
  ) {
    var surroundings = Executor.Surroundings(
      leftovers: Leftovers(folder: state.path), user: "tester", environment: environment)
    surroundings.timing = timing
    surroundings.limits = limits
    executor = Executor(surroundings) { [replies] in replies.append($0) }
  }

  /// Sends a line and waits for what ends the request.
  func ask(_ id: Int64, _ body: String) async throws -> (kind: String, content: JSON) {
    await executor.take(Array(#"{"id":\#(id),\#(body)}"#.utf8))
    return try await replies.end(of: id)
  }

  /// Connects to a port of loopback.
  func connect(_ port: Int, _ parameters: String = "", _ more: String = "") async throws -> (
    kind: String, content: JSON
  ) {
    try await ask(1, #""connect":{"remote":"sc://127.0.0.1:\#(port)\#(parameters)"\#(more)}"#)
  }

  /// Runs a statement.
  func run(_ id: Int64, _ kind: String = "query", _ sql: String = "SELECT 1") async throws -> (
    kind: String, content: JSON
  ) {
    try await ask(id, #""run":{"sql":"\#(sql)","kind":"\#(kind)"}"#)
  }
}

extension JSON {
  /// A member by name.
  subscript(_ name: String) -> JSON? { members?[name] }

  /// A whole number.
  var number: Int64? {
    guard case .integer(let value) = self else { return nil }
    return value
  }

  /// The values of a list.
  var list: [JSON]? {
    guard case .array(let values) = self else { return nil }
    return values
  }
}

extension Timing {
  /// Short waits where a test is for their end; long ones stay where a busy machine could pass them.
  static var quick: Timing {
    var timing = Timing()
    timing.greeting = .milliseconds(300)
    timing.patience = .seconds(1)
    return timing
  }
}
