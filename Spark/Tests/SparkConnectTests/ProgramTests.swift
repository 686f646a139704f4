import Foundation
import SparkConnect
import SparkProto
import Testing

/// The program itself: its streams, signals and end, against a server in this process.
@Suite(.timeLimit(.minutes(1))) struct ProgramTests {
  private let state: TemporaryFolder

  init() throws { state = try TemporaryFolder() }

  /// A running fastdp-spark.
  private final class Program: Sendable {
    let process = Process()
    let input = Pipe()
    let replies = Replies()

    init(_ state: TemporaryFolder) throws {
      let output = Pipe()
      process.executableURL = Bundle.module.bundleURL.deletingLastPathComponent()
        .appendingPathComponent("fastdp-spark")
      process.environment = ["XDG_STATE_HOME": state.path, "PATH": "/nowhere", "USER": "tester"]
      process.standardInput = input
      process.standardOutput = output
      try process.run()
      let replies = replies
      Thread.detachNewThread {
        var rest = Data()
        while case let data = output.fileHandleForReading.availableData, !data.isEmpty {
          rest += data
          while let end = rest.firstIndex(of: 0x0a) {
            replies.append(String(decoding: rest[..<end], as: UTF8.self))
            rest = Data(rest[rest.index(after: end)...])
          }
        }
        replies.append("the end")
      }
    }

    deinit { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }

    func send(_ line: String) throws {
      try input.fileHandleForWriting.write(contentsOf: Data((line + "\n").utf8))
    }

    /// Waits for the end: the exit status, once all output was read.
    func end() async throws -> Int32 {
      while !replies.all.contains("the end") || process.isRunning {
        try await Task.sleep(for: .milliseconds(5))
      }
      return process.terminationStatus
    }
  }

  /// A server on which a statement runs until it is interrupted.
  private func endless() -> FakeServer {
    FakeServer { server, request, _, send in
      try await send(.progress("p", tasks: 1, completed: 0))
      while !server.log.calls.contains(where: { $0 == "Interrupt \(request.operationID)" })
        && server.log.releasedSessions.isEmpty
      { try await Task.sleep(for: .milliseconds(5)) }
      throw FakeServer.fault("OPERATION_CANCELED", "HY008")
    }
  }

  private func startStatement(_ program: Program, _ port: Int) async throws -> String {
    try program.send(#"{"id":1,"connect":{"remote":"sc://127.0.0.1:\#(port)"}}"#)
    let connected = try await program.replies.end(of: 1)
    try program.send(#"{"id":2,"run":{"sql":"x","kind":"command","title":"a step*/"}}"#)
    while program.replies.contents("progress", of: 2).isEmpty {
      try await Task.sleep(for: .milliseconds(5))
    }
    return try #require(connected.content["session"]?.text)
  }

  @Test func endOfInput() async throws {
    let server = endless()
    try await server.serve { port in
      let program = try Program(state)
      let session = try await startStatement(program, port)
      try program.input.fileHandleForWriting.close()
      #expect(try await program.end() == 0)
      #expect(program.replies.contents("error", of: 2).first?["status"]?.number == 130)
      #expect(server.log.releasedSessions == [session])
      let sql = try #require(server.log.executed.first?.plan.command.sqlCommand.input.sql.query)
      #expect(sql == "/* a step */ x")
    }
    #expect(Platform.names(in: state.path + "/fastdp/spark").isEmpty)
  }

  @Test(arguments: [SIGINT, SIGTERM, SIGHUP])
  func signals(number: Int32) async throws {
    let server = endless()
    try await server.serve { port in
      let program = try Program(state)
      let session = try await startStatement(program, port)
      kill(program.process.processIdentifier, number)
      #expect(try await program.end() == 130)
      #expect(program.replies.contents("error", of: 2).first?["status"]?.number == 130)
      #expect(server.log.releasedSessions == [session])
    }
  }

  /// Killed with -9, nothing can be said any more; the next to come to the same server releases the session, and nobody else's.
  @Test func killed() async throws {
    let server = endless()
    try await server.serve { port in
      let folder = state.path + "/fastdp/spark"
      let program = try Program(state)
      let session = try await startStatement(program, port)
      let living = try Program(state)
      try living.send(#"{"id":1,"connect":{"remote":"sc://127.0.0.1:\#(port)"}}"#)
      _ = try await living.replies.end(of: 1)
      #expect(server.log.releasedSessions.isEmpty)
      #expect(Platform.names(in: folder).count == 2)
      kill(program.process.processIdentifier, SIGKILL)
      _ = try await program.end()

      let next = try Program(state)
      try next.send(#"{"id":1,"connect":{"remote":"sc://127.0.0.1:\#(port)"}}"#)
      _ = try await next.replies.end(of: 1)
      #expect(server.log.releasedSessions == [session])
      #expect(next.replies.contents("note", of: 1).count == 1)
      #expect(Platform.names(in: folder).count == 2)
      for program in [living, next] {
        try program.input.fileHandleForWriting.close()
        #expect(try await program.end() == 0)
      }
    }
  }

  @Test func malformedLinesAndNoConnection() async throws {
    let program = try Program(state)
    for line in ["x", "", #"{"id":5,"run":{"sql":"x","kind":"query"}}"#] { try program.send(line) }
    try program.input.fileHandleForWriting.write(contentsOf: Data("no end of line".utf8))
    try program.input.fileHandleForWriting.close()
    #expect(try await program.end() == 0)
    #expect(program.replies.contents("error", of: nil).count == 2)
    #expect(program.replies.contents("error", of: 5).first?["status"]?.number == 64)
    #expect(program.replies.all.count == 4)
  }
}
