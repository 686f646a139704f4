import Foundation
import TestSupport
import Testing

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// `prepare --engine spark`, against programs that stand in for `fastdp-spark`: no Spark is needed.
struct SparkCommandTests {
  let folder: ScratchFolder

  init() throws {
    folder = try ScratchFolder()
    _ = try folder.write(MadeTable(rows: 20).csv, to: "t.csv")
    _ = try folder.write(MadeTable.schema(), to: "s.yaml")
  }

  /// The arguments of a preparation.
  private func arguments(_ more: [String] = ["--spark-local"]) -> [String] {
    [
      "prepare", folder.file("t.csv"), "--schema", folder.file("s.yaml"), "--out",
      folder.file("out"), "--engine", "spark",
    ] + more
  }

  /// A program that keeps what it is asked in `requests`, and answers as a piece of shell says, with the
  /// request's line in `$line` and its number in `$id`.
  private func program(_ answer: String) throws -> [String: String] {
    let script = """
      #!/bin/sh
      while IFS= read -r line; do
        printf '%s\\n' "$line" >> '\(folder.file("requests"))'
        id=$(printf '%s' "$line" | sed 's/.*"id":\\([0-9]*\\).*/\\1/')
        \(answer)
      done
      echo ended >> '\(folder.file("requests"))'
      """
    let path = try folder.write(script, to: "spark")
    try FileManager.default.setAttributes([.posixPermissions: 0o700], ofItemAtPath: path)
    return ["FASTDP_SPARK": path]
  }

  private static let connected = """
    case "$line" in *'"connect"'*) echo "{\\"id\\":$id,\\"connected\\":{\\"version\\":\\"4\\"}}"; continue;; esac
    """

  private func expect(
    _ outcome: Outcome, _ status: Int32, _ words: String,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(outcome.status == status, "\(outcome.errors)", sourceLocation: sourceLocation)
    #expect(outcome.errorLines.count == 1, "\(outcome.errors)", sourceLocation: sourceLocation)
    #expect(outcome.errors.contains(words), "\(outcome.errors)", sourceLocation: sourceLocation)
    #expect(!FileManager.default.fileExists(atPath: folder.file("out")))
  }

  @Test(
    arguments: [
      [], ["--spark-local", "--spark-remote", "sc://h"], ["--spark-local", "--shards", "2"],
      ["--spark-local", "--threads", "2"], ["--spark-remote", "sc://h", "--spark-cores", "2"],
      ["--spark-local", "--spark-cores", "0"], ["--spark-local", "--spark-ca", "f"],
    ])
  func optionsThatMakeNoSenseAreRefused(more: [String]) throws {
    expect(try fastdp(arguments(more)), 64, "; ")
  }

  @Test func sparksOptionsNeedTheEngine() throws {
    let outcome = try fastdp(
      "prepare", folder.file("t.csv"), "--schema", folder.file("s.yaml"), "--out",
      folder.file("out"), "--spark-local")
    expect(outcome, 64, "--engine spark")
  }

  @Test func aProgramThatIsNotThereIsAskedFor() throws {
    let nowhere = folder.file("no-such-program")
    let outcome = try fastdp(arguments(), environment: ["FASTDP_SPARK": nowhere])
    expect(outcome, 69, "make spark")
  }

  @Test func whatSparkRefusesIsOneLine() throws {
    let environment = try program(
      #"echo "{\"id\":$id,\"error\":{\"status\":69,\"message\":\"nobody listens\",\"remedy\":\"start it\"}}""#
    )
    expect(try fastdp(arguments(), environment: environment), 69, "nobody listens; start it")
  }

  @Test func anErrorOfSQLKeepsItsStatus() throws {
    let environment = try program(
      Self.connected
        + "\n"
        + #"echo "{\"id\":$id,\"error\":{\"status\":74,\"message\":\"no space\",\"remedy\":\"make room\"}}""#
    )
    expect(try fastdp(arguments(), environment: environment), 74, "no space; make room")
    // The program was left by closing its input.
    #expect(try folder.text("requests").hasSuffix("ended\n"))
  }

  @Test(arguments: ["exit 3", "kill -9 $$"])
  func aProgramThatDiesIsAnError(answer: String) throws {
    expect(try fastdp(arguments(), environment: try program(answer)), 69, "fastdp-spark ended")
  }

  @Test func nonsenseIsAnInternalFault() throws {
    expect(try fastdp(arguments(), environment: try program("echo nonsense")), 70, "no reply")
  }

  /// A file that is not there, as Spark sees it, is missing input.
  @Test func aMissingTableIsMissingInput() throws {
    let environment = try program(
      Self.connected
        + "\n"
        + #"echo "{\"id\":$id,\"error\":{\"status\":66,\"condition\":\"PATH_NOT_FOUND\",\"message\":\"m\"}}""#
    )
    expect(try fastdp(arguments(), environment: environment), 66, "t.csv: there is no such file")
  }

  @Test(arguments: [SIGINT, SIGTERM])
  func anInterruptIsPassedOn(number: Int32) throws {
    let answer =
      Self.connected + "\n"
        + """
        case "$line" in
          *'"cancel"'*) of=$(printf '%s' "$line" | sed 's/.*"cancel":{"id":\\([0-9]*\\)}.*/\\1/')
            echo "{\\"id\\":$id,\\"cancelled\\":{\\"id\\":$of,\\"running\\":true}}"
            echo "{\\"id\\":$of,\\"error\\":{\\"status\\":130,\\"message\\":\\"cancelled\\"}}";;
          *) : > '\(folder.file("running"))';;
        esac
        """
    let running = try RunningProgram(
      Program.path(), arguments(), environment: try program(answer))
    let deadline = ContinuousClock.now + .seconds(30)
    while !FileManager.default.fileExists(atPath: folder.file("running")) {
      try #require(ContinuousClock.now < deadline && running.isRunning)
      usleep(1000)
    }
    running.send(number)
    expect(try running.wait(), 130, "interrupted")
    let requests = try folder.text("requests")
    #expect(requests.contains("cancel") && requests.hasSuffix("ended\n"), "\(requests)")
  }

  /// A token in the environment reaches the program by its input alone.
  @Test(arguments: ["sc://h:1", "sc://h:1/", "sc://h:1/;use_ssl=true"])
  func theTokenComesFromTheEnvironment(remote: String) throws {
    var environment = try program(
      #"echo "{\"id\":$id,\"error\":{\"status\":69,\"message\":\"m\",\"remedy\":\"r\"}}""#)
    environment["FASTDP_SPARK_TOKEN"] = "sesame"
    let outcome = try fastdp(
      arguments(["--spark-remote", remote]), environment: environment)
    #expect(outcome.status == 69)
    #expect(!outcome.errors.contains("sesame"))
    let requests = try folder.text("requests")
    let whole = remote.hasSuffix("true") ? remote : "sc://h:1/"
    #expect(requests.contains("\"\(whole);token=sesame\""), "\(requests)")
  }

  /// Whatever a token holds, it reaches the server as it is.
  @Test func theTokenIsEncoded() throws {
    var environment = try program(
      #"echo "{\"id\":$id,\"error\":{\"status\":69,\"message\":\"m\",\"remedy\":\"r\"}}""#)
    environment["FASTDP_SPARK_TOKEN"] = "a%41;b=c+/ é~"
    let outcome = try fastdp(arguments(["--spark-remote", "sc://h:1"]), environment: environment)
    #expect(outcome.status == 69)
    let requests = try folder.text("requests")
    #expect(
      requests.contains("\"sc://h:1/;token=a%2541%3Bb%3Dc%2B%2F%20%C3%A9~\""), "\(requests)")
  }

  /// A list of rejected rows that cannot be made is found out before Spark is started.
  @Test(arguments: ["t.csv", "no/folder/bad.csv"])
  func theListOfRejectedRowsIsTriedFirst(name: String) throws {
    let environment = try program("exit 3")
    let outcome = try fastdp(
      arguments(["--spark-local", "--rejects", folder.file(name)]), environment: environment)
    expect(outcome, 73, "; ")
    #expect(!FileManager.default.fileExists(atPath: folder.file("requests")))
  }
}
