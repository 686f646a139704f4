/// How long the client waits for what.
package struct Timing: Hashable, Sendable {
  /// For an answer to one question.
  package var answer: Duration = .seconds(60)
  /// For a stream's next message, before the server is asked whether it is there at all.
  package var silence: Duration = .seconds(60)
  /// For the answer to that.
  package var probe: Duration = .seconds(20)
  /// For a server that does not answer to come back, during a statement.
  package var patience: Duration = .seconds(30)
  /// For a server to answer the first time.
  package var greeting: Duration = .seconds(2)
  /// For each of the steps of leaving: interrupting, releasing.
  package var farewell: Duration = .seconds(5)

  /// The defaults.
  package init() {}

  /// How long to wait before the attempt after `failures` failures in a row: 50 ms, doubled each time, at most 2 s.
  package static func pause(after failures: Int) -> Duration {
    .milliseconds(min(2_000, 50 << min(max(failures - 1, 0), 6)))
  }
}
