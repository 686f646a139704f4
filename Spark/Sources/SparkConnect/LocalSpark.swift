#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// What a Spark of one's own is started with.
package struct LocalSparkOptions: Hashable, Sendable {
  /// How many threads run tasks; `*` for one a core.
  package var cores = "*"
  /// The JVM's heap.
  package var memory = "2g"
  /// What has to be known before Spark starts.
  package var configuration: [String: String] = [:]

  package init() {}
}

/// A Spark of one's own: a Connect server on this machine's loopback, under a token that nobody else knows.
///
/// It lives no longer than this process: a shell keeps watch over a pipe whose other end only this process holds, and ends the server and removes
/// its folder once the pipe is closed, whether by ``stop()`` or by the end of the process, however that comes.
package final class LocalSpark: Sendable {
  /// How to reach it, with the token.
  package let remote: SparkRemote
  private let keeper: ChildProcess
  private let leash: Int32

  private init(remote: SparkRemote, keeper: ChildProcess, leash: Int32) {
    self.remote = remote
    self.keeper = keeper
    self.leash = leash
  }

  /// Starts Spark, and waits until it listens.
  ///
  /// - Parameters:
  ///   - options: Cores, memory, configuration.
  ///   - installation: Java and Spark.
  ///   - environment: What both are started with, beside our own variables.
  ///   - limit: For how long to wait.
  /// - Returns: The server, which may be asked at once.
  /// - Throws: ``SparkError`` `unavailable` with Spark's reason where it ended, `cancelled`.
  package static func start(
    _ options: LocalSparkOptions, _ installation: SparkInstallation,
    environment: [String: String], limit: Duration = .seconds(120)
  ) async throws(SparkError) -> LocalSpark {
    let token = Platform.randomHex(bytes: 32)
    let folder = try makeFolder()
    let log = folder + "/log4j2.properties"
    let isWritten = Platform.create(log, logging)
    guard isWritten else { throw cannotPrepare(folder) }
    var ends: [Int32] = [-1, -1]
    guard unsafe pipe(&ends) == 0 else { throw cannotPrepare(folder) }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    let keeper: ChildProcess
    do throws(SparkError) {
      defer { close(ends[0]) }
      let null = unsafe open("/dev/null", O_WRONLY | O_CLOEXEC)
      defer { close(null) }
      keeper = try ChildProcess(
        "/bin/sh",
        ["-c", script, "fastdp-spark-keeper", folder]
          + command(options, installation, folder: folder),
        environment: variables(environment, installation, token), input: ends[0], output: null)
    } catch {
      close(ends[1])
      throw error
    }
    do throws(SparkError) {
      let port = try await port(folder, until: .now + limit)
      let remote = try SparkRemote("sc://127.0.0.1:\(port)/;token=\(token)", user: "fastdp")
      return LocalSpark(remote: remote, keeper: keeper, leash: ends[1])
    } catch {
      await end(keeper, ends[1])
      throw error
    }
  }

  /// Ends Spark and removes its folder.
  package func stop() async { await Self.end(keeper, leash) }

  private static func end(_ keeper: ChildProcess, _ leash: Int32) async {
    close(leash)
    if await keeper.wait(atMost: .seconds(15)) == nil { keeper.kill() }
  }

  /// Runs a command until it ends or standard input does; then ends it, by force after 8 s, and removes the folder.
  private static let script = """
    folder=$1; shift
    exec 3<&0
    cd "$folder" || exit 1
    "$@" </dev/null >"$folder/log" 2>&1 3<&- &
    spark=$!
    ( read -r line <&3
      [ -e "$folder/ended" ] && exit
      kill "$spark"
      count=0
      while kill -0 "$spark" && [ $count -lt 80 ]; do sleep 0.1; count=$((count + 1)); done
      kill -9 "$spark" ) 2>/dev/null &
    keeper=$!
    wait "$spark"
    : >"$folder/ended"
    wait "$keeper"
    rm -rf "$folder"
    """

  /// One line of Spark's is needed, which says where it listens; beside it what went wrong.
  private static let logging = """
    rootLogger.level = warn
    rootLogger.appenderRef.stdout.ref = console
    appender.console.type = Console
    appender.console.name = console
    appender.console.target = SYSTEM_ERR
    appender.console.layout.type = PatternLayout
    appender.console.layout.pattern = %p %c{1}: %m%n%ex
    logger.server.name = org.apache.spark.sql.connect.service.SparkConnectServer
    logger.server.level = info
    """

  private static func makeFolder() throws(SparkError) -> String {
    let parent = Platform.variable("TMPDIR") ?? "/tmp"
    let folder = "\(parent)/fastdp-spark-\(Platform.randomHex(bytes: 8))"
    guard unsafe mkdir(folder, 0o700) == 0 else { throw cannotPrepare(folder) }
    return folder
  }

  private static func cannotPrepare(_ folder: String) -> SparkError {
    SparkError(
      .cannotCreate, "\(folder): \(Platform.lastError())",
      remedy: "set TMPDIR to a folder with room that may be written")
  }

  private static func command(
    _ options: LocalSparkOptions, _ installation: SparkInstallation, folder: String
  ) -> [String] {
    var settings = [
      "spark.connect.grpc.binding.address": "127.0.0.1",
      "spark.connect.grpc.binding.port": "0",
      "spark.driver.host": "127.0.0.1",
      "spark.driver.bindAddress": "127.0.0.1",
      "spark.ui.enabled": "false",
      "spark.local.dir": folder + "/local",
      "spark.sql.catalogImplementation": "in-memory",
      "spark.sql.warehouse.dir": folder + "/warehouse",
      "spark.log.structuredLogging.enabled": "false",
    ]
    settings.merge(options.configuration) { $1 }
    return [
      installation.home + "/bin/spark-submit", "--master", "local[\(options.cores)]",
      "--driver-memory", options.memory, "--driver-java-options",
      // Spark makes methods of statements that are longer than Java compiles unless it is told to.
      "-XX:-DontCompileHugeMethods -Dlog4j2.configurationFile=file:\(folder)/log4j2.properties "
        + "-Djava.io.tmpdir=\(folder)",
      "--name", "fastdp", "--class", "org.apache.spark.sql.connect.service.SparkConnectServer",
    ] + settings.sorted { $0.key < $1.key }.flatMap { ["--conf", "\($0.key)=\($0.value)"] }
      + ["spark-internal"]
  }

  private static func variables(
    _ environment: [String: String], _ installation: SparkInstallation, _ token: String
  ) -> [String: String] {
    var variables = environment
    // What would turn a plain start into another one.
    for name in ["SPARK_REMOTE", "SPARK_CONNECT_MODE_ENABLED", "SPARK_API_MODE", "MASTER"] {
      variables[name] = nil
    }
    variables["SPARK_HOME"] = installation.home
    variables["SPARK_LOCAL_IP"] = "127.0.0.1"
    // In the environment other users cannot read it, in the arguments they could.
    variables["SPARK_CONNECT_AUTHENTICATE_TOKEN"] = token
    return variables
  }

  /// The port that Spark's log names, once it listens.
  private static func port(
    _ folder: String, until end: ContinuousClock.Instant
  ) async throws(SparkError) -> Int {
    while ContinuousClock.now < end {
      let hasEnded = Platform.exists(folder + "/ended")
      let log = String(
        decoding: Platform.contents(folder + "/log") ?? [], as: UTF8.self)
      if let port = port(inLog: log) { return port }
      if hasEnded {
        throw SparkError(
          .unavailable, "Spark ended while it started: \(reason(inLog: log))",
          remedy: "check Java, the memory asked for, and Spark's own settings")
      }
      do { try await Task.sleep(for: .milliseconds(50)) } catch { throw .cancelled }
    }
    throw SparkError(
      .unavailable, "Spark does not listen after 120 s", remedy: "check the machine's load and Java"
    )
  }

  /// The port behind the last colon of the line that says where Spark listens.
  package static func port(inLog log: String) -> Int? {
    for line in log.split(separator: "\n") {
      guard line.contains("Spark Connect server started at:"), let colon = line.lastIndex(of: ":")
      else { continue }
      return Int(line[line.index(after: colon)...].prefix { $0.isNumber })
    }
    return nil
  }

  /// The line of a log that most looks like the reason.
  package static func reason(inLog log: String) -> String {
    let lines = log.split(separator: "\n")
    let line =
      lines.first { $0.hasPrefix("Caused by:") } ?? lines.first { $0.contains("Exception") }
      ?? lines.first { $0.hasPrefix("Error") || $0.hasPrefix("ERROR") } ?? lines.last
    return line.map { String($0).oneLine(limit: 300) } ?? "it said nothing"
  }
}

extension Platform {
  /// Writes a new file for its owner alone.
  ///
  /// - Returns: Whether that went well.
  fileprivate static func create(_ path: String, _ text: String) -> Bool {
    let file = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard file >= 0 else { return false }
    defer { close(file) }
    return write(Array(text.utf8), to: file)
  }
}
