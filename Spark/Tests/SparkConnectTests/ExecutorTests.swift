import Foundation
import GRPCCore
import GRPCNIOTransportHTTP2
import SparkConnect
import SparkProto
import SwiftProtobuf
import Synchronization
import Testing

/// Statements against a server that does as each test says, over real connections.
@Suite(.timeLimit(.minutes(1))) struct ExecutorTests {
  private let state: TemporaryFolder

  init() throws { state = try TemporaryFolder() }

  private func error(_ end: (kind: String, content: JSON)) throws -> JSON {
    try #require(end.kind == "error", "\(end)")
    return end.content
  }

  @Test func oneLife() async throws {
    let arrow = try fixture("types.arrow")
    let server = FakeServer { _, request, _, send in
      #expect(request.requestOptions.first?.reattachOptions.reattachable == true)
      try await send(.progress("p1", tasks: 4, completed: 1))
      try await send(.progress("p2", tasks: 4, completed: 1))
      try await send(.progress("p3", tasks: 4, completed: 9))
      try await send(.arrow("a", arrow))
      try await send(.done)
    }
    try await server.serve { port in
      let client = Client(state: state)
      let connected = try await client.connect(
        port, "/;user_id=ada", #","configuration":{"spark.sql.ansi.enabled":"true"}"#)
      #expect(connected.kind == "connected")
      #expect(connected.content["version"]?.text == "4.1.0")
      #expect(connected.content["server"]?.text == "127.0.0.1:\(port)")
      #expect(connected.content["protocol"]?.number == 1)
      let result = try await client.run(2)
      #expect(result.kind == "rows")
      #expect(result.content["values"]?.list?.count == 5)
      let progress = client.replies.contents("progress", of: 2)
      #expect(progress.map { $0["completed"]?.number } == [1, 4])
      let names = Platform.names(in: state.path)
      #expect(names == ["\(try #require(connected.content["session"]?.text)).json"])
      await client.executor.end()
      #expect(Platform.names(in: state.path).isEmpty)
    }
    let log = server.log
    #expect(log.configured["spark.sql.ansi.enabled"] == "true")
    #expect(log.configured["spark.sql.execution.arrow.compression.codec"] == "none")
    let request = try #require(log.executed.first)
    #expect(request.userContext.userID == "ada")
    #expect(request.plan.root.sql.query == "SELECT 1")
    #expect(log.releasedExecutions == [request.operationID])
    #expect(log.releasedSessions == [request.sessionID])
    #expect(!server.saw("Interrupt \(request.operationID)"))
  }

  @Test func commandsHandBackTheirRows() async throws {
    let arrow = try fixture("types.arrow")
    let server = FakeServer { _, request, count, send in
      #expect(request.plan.command.sqlCommand.input.sql.query == "SHOW")
      if count == 2 {
        try await send(
          .named("r") {
            $0.sqlCommandResult = .with {
              $0.relation = .with { $0.localRelation = .with { $0.data = .init(arrow) } }
            }
          })
      }
      try await send(.done)
    }
    try await server.serve { port in
      let client = Client(state: state)
      _ = try await client.connect(port)
      let nothing = try await client.run(2, "command", "SHOW")
      #expect(nothing.content["values"]?.list == [])
      let rows = try await client.run(3, "command", "SHOW")
      #expect(rows.content["values"]?.list?.count == 5)
      await client.executor.end()
    }
  }

  /// However a stream ends early, what comes afterwards is taken up behind the last response: nothing twice, nothing missed.
  @Test(arguments: [nil, RPCError.Code.unavailable], [0, 1, 2, 5])
  func cutStreams(code: RPCError.Code?, each: Int) async throws {
    let arrow = try fixture("types.arrow")
    let total = 6
    let serve: @Sendable (Int, Int, FakeServer.Send) async throws -> Void = { first, count, send in
      let last = min(first + count, total)
      for index in first..<last { try await send(.arrow("r\(index)", arrow)) }
      if last == total { return try await send(.done) }
      if let code { throw RPCError(code: code, message: "cut") }
    }
    let server = FakeServer(
      onReattach: { _, request, attempt, send in
        let next =
          request.hasLastResponseID ? (Int(request.lastResponseID.dropFirst()) ?? -1) + 1 : 0
        // Where a stream brings nothing, every third brings something after all.
        try await serve(next, each == 0 && attempt % 3 == 0 ? 1 : each, send)
      },
      onExecute: { _, _, _, send in try await serve(0, each, send) })
    try await server.serve { port in
      let client = Client(state: state, timing: Timing())
      _ = try await client.connect(port)
      let result = try await client.run(2)
      #expect(result.kind == "rows", "\(result)")
      #expect(result.content["values"]?.list?.count == 5 * total)
      await client.executor.end()
    }
    #expect(server.log.executed.count == 1)
    #expect(server.log.releasedExecutions.count == 1)
  }

  /// A response that comes again, as after a reattach to a server that keeps too much, counts once.
  @Test func doublesCountOnce() async throws {
    let arrow = try fixture("types.arrow")
    let server = FakeServer(
      onReattach: { _, _, _, send in
        for name in ["a", "b"] { try await send(.arrow(name, arrow)) }
        try await send(.done)
      },
      onExecute: { _, _, _, send in try await send(.arrow("a", arrow)) })
    try await server.serve { port in
      let client = Client(state: state)
      _ = try await client.connect(port)
      let result = try await client.run(2)
      #expect(result.content["values"]?.list?.count == 10)
      await client.executor.end()
    }
  }

  /// A server that stays away: asked again within the patience, then one line with 69.
  @Test func goneForGood() async throws {
    let server = FakeServer(
      onReattach: { _, _, _, _ in throw RPCError(code: .unavailable, message: "away") },
      onExecute: { _, _, _, _ in throw RPCError(code: .unavailable, message: "away") })
    try await server.serve { port in
      let client = Client(state: state)
      _ = try await client.connect(port, "", #","patience":0.5"#)
      let began = ContinuousClock.now
      let failure = try error(try await client.run(2))
      #expect(failure["status"]?.number == 69)
      #expect(ContinuousClock.now - began >= .milliseconds(500))
      #expect(client.replies.contents("note", of: 2).count == 1)
      await client.executor.end()
    }
    #expect(server.log.reattached.count >= 2)
    #expect(server.log.executed.count == 1)
  }

  /// A statement that never reached the server is sent once more; a server that has it already is asked to go on.
  @Test func sentAgainOnlyWhereUnknown() async throws {
    let server = FakeServer { server, request, count, send in
      if count == 1 { throw RPCError(code: .unavailable, message: "lost") }
      #expect(server.log.executed.map(\.operationID) == [request.operationID, request.operationID])
      try await send(.done)
    }
    try await server.serve { port in
      let client = Client(state: state)
      _ = try await client.connect(port)
      #expect(try await client.run(2, "command").kind == "rows")
      await client.executor.end()
    }
    #expect(server.log.executed.count == 2)

    let other = FakeServer(
      onReattach: { _, _, _, _ in
        throw FakeServer.fault("INVALID_HANDLE.OPERATION_NOT_FOUND", "HY000")
      },
      onExecute: { _, _, _, send in
        try await send(.progress("p", tasks: 1, completed: 0))
        throw RPCError(code: .unavailable, message: "lost")
      })
    try await other.serve { port in
      let client = Client(state: state)
      _ = try await client.connect(port)
      let failure = try error(try await client.run(2, "command"))
      #expect(failure["status"]?.number == 69)
      await client.executor.end()
    }
    #expect(other.log.executed.count == 1)
  }

  /// A stream on which nothing comes: the server is asked whether it is there, and the stream is taken up again.
  @Test func silentStream() async throws {
    let server = FakeServer(
      onReattach: { _, _, count, send in
        if count == 1 { try await Task.sleep(for: .seconds(600)) }
        try await send(.done)
      },
      onExecute: { _, _, _, send in
        try await send(.progress("p", tasks: 1, completed: 0))
        try await Task.sleep(for: .seconds(600))
      })
    var timing = Timing()
    timing.silence = .milliseconds(300)
    try await server.serve { [timing] port in
      let client = Client(state: state, timing: timing)
      _ = try await client.connect(port)
      #expect(try await client.run(2).kind == "rows")
      await client.executor.end()
    }
    #expect(server.log.reattached.map(\.lastResponseID) == ["p", "p"])
    #expect(server.log.executed.count == 1)
  }

  /// A server that hangs altogether is given up in bounded time.
  @Test func hangingServer() async throws {
    let isHanging = Mutex(false)
    let server = FakeServer(
      onConfig: { _, _ in
        if isHanging.withLock({ $0 }) { try await Task.sleep(for: .seconds(600)) }
      },
      onReattach: { _, _, _, _ in try await Task.sleep(for: .seconds(600)) },
      onExecute: { _, _, _, _ in
        isHanging.withLock { $0 = true }
        try await Task.sleep(for: .seconds(600))
      })
    var timing = Timing.quick
    (timing.silence, timing.probe, timing.patience) = (
      .milliseconds(100), .milliseconds(100), .milliseconds(400)
    )
    try await server.serve { [timing] port in
      let client = Client(state: state, timing: timing)
      _ = try await client.connect(port)
      let failure = try error(try await client.run(2))
      #expect(failure["status"]?.number == 69)
      #expect(failure["message"]?.text?.contains("in time") == true)
      await client.executor.end()
    }
  }

  @Test func cancelInterruptsAndReleases() async throws {
    let server = FakeServer { server, request, _, send in
      try await send(.progress("p", tasks: 3, completed: 1))
      try await server.wait(for: "Interrupt \(request.operationID)")
      throw FakeServer.fault("OPERATION_CANCELED", "HY008")
    }
    try await server.serve { port in
      let client = Client(state: state)
      _ = try await client.connect(port)
      await client.executor.take(Array(#"{"id":2,"run":{"sql":"x","kind":"command"}}"#.utf8))
      try await server.wait(for: "ExecutePlan")
      let answer = try await client.ask(3, #""cancel":{"id":2}"#)
      #expect(answer.content["running"] == .bool(true))
      let failure = try error(try await client.replies.end(of: 2))
      #expect(failure["status"]?.number == 130)
      let late = try await client.ask(4, #""cancel":{"id":2}"#)
      #expect(late.content["running"] == .bool(false))
      #expect(try await client.ask(5, #""disconnect":{}"#).kind == "disconnected")
      await client.executor.end()
    }
    let calls = server.log.calls
    let operation = try #require(server.log.executed.first?.operationID)
    let interrupt = try #require(calls.firstIndex(of: "Interrupt \(operation)"))
    #expect(try #require(calls.firstIndex(of: "ReleaseExecute")) > interrupt)
    #expect(calls.last == "ReleaseSession")
  }

  /// The end of input while a statement runs leaves nothing on the server.
  @Test func endInterruptsAndReleases() async throws {
    let server = FakeServer { server, request, _, _ in
      try await server.wait(for: "Interrupt \(request.operationID)")
      throw FakeServer.fault("OPERATION_CANCELED", "HY008")
    }
    try await server.serve { port in
      let client = Client(state: state)
      _ = try await client.connect(port)
      await client.executor.take(Array(#"{"id":2,"run":{"sql":"x","kind":"command"}}"#.utf8))
      try await server.wait(for: "ExecutePlan")
      await client.executor.end()
      let failure = try error(try await client.replies.end(of: 2))
      #expect(failure["status"]?.number == 130)
    }
    #expect(server.log.calls.suffix(2) == ["ReleaseExecute", "ReleaseSession"])
  }

  /// Somebody else's interrupt is not taken for ours.
  @Test func cancelledByOthers() async throws {
    let server = FakeServer { _, _, _, _ in throw FakeServer.fault("OPERATION_CANCELED", "HY008") }
    try await server.serve { port in
      let client = Client(state: state)
      _ = try await client.connect(port)
      #expect(try error(try await client.run(2))["status"]?.number == 69)
      await client.executor.end()
    }
  }

  /// The long form decides: a write that failed for a cell that cannot be cast is an error of the data, and quotes no cell.
  @Test func wholeErrors() async throws {
    let details = SCFetchErrorDetailsResponse.with {
      $0.rootErrorIdx = 0
      $0.errors = [
        .with {
          $0.message = "[TASK_WRITE_FAILED] Task failed while writing rows to file:/out."
          $0.causeIdx = 1
          $0.sparkThrowable = .with {
            $0.errorClass = "TASK_WRITE_FAILED"
            $0.sqlState = "58030"
          }
        },
        .with {
          $0.message =
            "[CAST_INVALID_INPUT] The value 'secret' of the type \"STRING\" cannot be cast"
          $0.sparkThrowable = .with {
            $0.errorClass = "CAST_INVALID_INPUT"
            $0.sqlState = "22018"
            $0.messageParameters = [
              "expression": "'secret'", "sourceType": "\"STRING\"", "targetType": "\"TINYINT\"",
            ]
          }
        },
      ]
    }
    let server = FakeServer(details: details) { _, _, _, _ in
      throw FakeServer.fault("TASK_WRITE_FAILED", "58030", text: "cut short", errorID: "e1")
    }
    try await server.serve { port in
      let client = Client(state: state)
      _ = try await client.connect(port)
      let failure = try error(try await client.run(2))
      #expect(failure["status"]?.number == 65)
      #expect(failure["condition"]?.text == "CAST_INVALID_INPUT")
      #expect(failure["sqlState"]?.text == "22018")
      #expect(failure["message"]?.text?.contains("TINYINT") == true)
      #expect(client.replies.all.allSatisfy { !$0.contains("secret") })
      await client.executor.end()
    }
    #expect(server.saw("FetchErrorDetails"))
    #expect(server.log.releasedExecutions.count == 1)
  }

  /// One message of more than the 4 MiB that gRPC takes by default.
  @Test func largeMessage() async throws {
    let padding = [UInt8](repeating: 0x61, count: 6 << 20)
    let arrow = try fixture("types.arrow")
    let server = FakeServer { _, _, _, send in
      try await send(
        .named("a") {
          $0.arrowBatch = .with { $0.data = .init(arrow) }
          $0.operationID = String(decoding: padding, as: UTF8.self)
        })
      try await send(.done)
    }
    try await server.serve { port in
      let client = Client(state: state)
      _ = try await client.connect(port)
      let result = try await client.run(2)
      #expect(result.content["values"]?.list?.count == 5, "\(result.content["message"] as Any)")
      await client.executor.end()
    }
  }

  @Test func tooManyRows() async throws {
    let arrow = try fixture("types.arrow")
    let server = FakeServer { _, _, _, send in
      for index in 0..<100 { try await send(.arrow("r\(index)", arrow)) }
      try await send(.done)
    }
    for (rows, bytes) in [(12, 1 << 20), (1_000, 10_000)] {
      var limits = Execution.Limits()
      (limits.rows, limits.bytes) = (rows, bytes)
      try await server.serve { [limits] port in
        let client = Client(state: state, limits: limits)
        _ = try await client.connect(port)
        #expect(try error(try await client.run(2))["status"]?.number == 70)
        #expect(try error(try await client.run(3))["status"]?.number == 70)
        await client.executor.end()
      }
    }
    #expect(server.log.calls.count { $0.hasPrefix("Interrupt") } == 4)
    #expect(server.log.releasedExecutions.count == 4)
  }

  @Test(arguments: [nil, "wrong", "right"])
  func tokens(token: String?) async throws {
    let server = FakeServer(token: "right")
    try await server.serve { port in
      let client = Client(state: state)
      let end = try await client.connect(port, token.map { "/;token=\($0)" } ?? "")
      if token == "right" {
        #expect(end.kind == "connected")
      } else {
        let failure = try error(end)
        #expect(failure["status"]?.number == 69)
        #expect(failure["message"]?.text?.contains("token") == true)
      }
      let files = Platform.names(in: state.path).map { Platform.contents(state.path + "/" + $0) }
      #expect(files.count == (token == "right" ? 1 : 0))
      for file in files { #expect(!String(decoding: file ?? [], as: UTF8.self).contains("right")) }
      await client.executor.end()
    }
  }

  /// TLS with an authority of one's own; without it, without TLS, or with a name that the certificate has not: one line.
  @Test func tls() async throws {
    let authority = try fixturePath("authority.pem")
    let security = HTTP2ServerTransport.Posix.TransportSecurity.tls(
      certificateChain: [.bytes(try fixture("server.pem"), format: .pem)],
      privateKey: .bytes(try fixture("server.key"), format: .pem))
    let server = FakeServer(token: "right")
    try await server.serve(security) { port in
      let ca = #","ca":"\#(authority)""#
      for host in ["127.0.0.1", "localhost"] {
        let client = Client(state: state)
        let end = try await client.ask(
          1, #""connect":{"remote":"sc://\#(host):\#(port)/;use_ssl=true;token=right"\#(ca)}"#)
        #expect(end.kind == "connected", "\(end)")
        await client.executor.end()
      }
      for (remote, more) in [
        ("127.0.0.1:\(port)/;use_ssl=true", ""), ("127.0.0.1:\(port)", ""),
        ("127.0.0.2:\(port)/;use_ssl=true", ca),
      ] {
        let client = Client(state: state)
        let end = try await client.ask(1, #""connect":{"remote":"sc://\#(remote)"\#(more)}"#)
        #expect(try error(end)["status"]?.number == 69, "\(end)")
        await client.executor.end()
      }
      let client = Client(state: state)
      let end = try await client.ask(
        1, #""connect":{"remote":"sc://127.0.0.1:\#(port)/;use_ssl=true","ca":"/nowhere.pem"}"#)
      #expect(try error(end)["status"]?.number == 64, "\(end)")
    }
  }

  /// Nothing listens, or no such host: soon, and each with its line.
  @Test(arguments: [
    ("sc://127.0.0.1:1", "nothing listens"), ("sc://no-such-host.invalid", "no address"),
    ("sc://127.0.0.1:1/;use_ssl=true", "nothing listens"), ("sc://[::1]:1", "[::1]:1"),
  ])
  func nobodyThere(remote: String, words: String) async throws {
    let client = Client(state: state)
    let failure = try error(try await client.ask(1, #""connect":{"remote":"\#(remote)"}"#))
    #expect(failure["status"]?.number == 69)
    #expect(failure["message"]?.text?.contains(words) == true, "\(failure)")
    #expect(Platform.names(in: state.path).isEmpty)
  }

  /// A configuration that Spark refuses ends the connection and leaves no session.
  @Test func refusedConfiguration() async throws {
    let server = FakeServer(settings: { _, _ in
      throw FakeServer.fault(
        "CANNOT_MODIFY_CONFIG", "46110", text: "[CANNOT_MODIFY_CONFIG] Static.")
    })
    try await server.serve { port in
      let client = Client(state: state)
      let failure = try error(try await client.connect(port))
      #expect(failure["condition"]?.text == "CANNOT_MODIFY_CONFIG")
      #expect(failure["status"]?.number == 70)
    }
    #expect(server.log.releasedSessions.count == 1)
    #expect(Platform.names(in: state.path).isEmpty)
  }

  /// What cannot be understood is answered with 64, under the request's id where it has one, and nothing else happens.
  @Test func malformedLines() async throws {
    let client = Client(state: state)
    for line in [
      "x", "[]", "{", "null", "{}", #"{"connect":{}}"#, #"{"id":"1","connect":{}}"#, "\u{ff}",
    ] {
      await client.executor.take(Array(line.utf8))
    }
    await client.executor.take([0xff, 0xfe, 0x00])
    #expect(client.replies.contents("error", of: nil).count == 9)
    for (id, body) in [
      #""connect":{}"#, #""connect":{"remote":"sc://h","local":{}}"#, #""connect":{"remote":1}"#,
      #""connect":{"remote":"sc://h","patience":"1"}"#, #""connect":{"remote":"sc://h","extra":1}"#,
      #""connect":{"remote":"sc://h","configuration":{"a":1}}"#,
      #""connect":{"local":{"cores":"0"}}"#,
      #""connect":{"local":{"memory":"lots"}}"#, #""connect":{"remote":"spark"}"#,
      #""run":{"sql":"x","kind":"other"}"#, #""run":{"kind":"query"}"#, #""run":[]"#,
      #""run":{"sql":"x","kind":"query"}"#, #""cancel":{}"#, #""sleep":{}"#,
      #""run":{"sql":"x","kind":"query"},"cancel":{"id":1}"#, "\"a\":1",
    ].enumerated() {
      let failure = try error(try await client.ask(Int64(100 + id), body))
      #expect(failure["status"]?.number == 64, "\(body)")
    }
    #expect(try await client.ask(9, #""cancel":{"id":8}"#).content["running"] == .bool(false))
    #expect(try await client.ask(10, #""disconnect":{}"#).kind == "disconnected")
  }

  @Test func oneStatementAndOneConnectionAtATime() async throws {
    let server = FakeServer { server, request, _, _ in
      try await server.wait(for: "Interrupt \(request.operationID)")
      throw FakeServer.fault("OPERATION_CANCELED", "HY008")
    }
    try await server.serve { port in
      let client = Client(state: state)
      _ = try await client.connect(port)
      await client.executor.take(Array(#"{"id":2,"run":{"sql":"x","kind":"command"}}"#.utf8))
      #expect(try error(try await client.run(3))["status"]?.number == 64)
      let second = try await client.ask(4, #""connect":{"remote":"sc://127.0.0.1:\#(port)"}"#)
      #expect(try error(second)["status"]?.number == 64)
      await client.executor.end()
    }
  }
}
