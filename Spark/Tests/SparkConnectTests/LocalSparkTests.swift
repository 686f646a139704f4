import Foundation
import SparkConnect
import Testing

/// Finding Java and Spark, and watching over what was started, with shell scripts in place of both.
@Suite(.timeLimit(.minutes(1))) struct LocalSparkTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  @Test(arguments: [
    (#"openjdk version "17.0.15" 2025-04-15"#, 17), (#"java version "1.8.0_402""#, 8),
    (#"openjdk version "21" 2023-09-19"#, 21), (#"openjdk version "25-ea" 2025"#, 25),
  ])
  func javaVersions(text: String, version: Int) {
    #expect(SparkInstallation.javaVersion(text) == version)
  }

  @Test(arguments: ["", "java", "\"\"", "command not found: \"java"])
  func noJavaVersions(text: String) { #expect(SparkInstallation.javaVersion(text) == nil) }

  /// An environment with a Java of a version, a Spark, and nothing else.
  private func environment(java: String?, submit: String? = nil) throws -> [String: String] {
    var environment = ["PATH": "/nowhere", "HOME": folder.path]
    if let java {
      _ = try folder.script("jdk/bin/java", "echo 'openjdk version \"\(java)\"' >&2")
      environment["JAVA_HOME"] = folder.path + "/jdk"
    }
    if let submit {
      _ = try folder.script("spark/bin/spark-submit", submit)
      _ = try folder.script("spark/jars/spark-connect_2.13-4.1.0.jar", "")
      environment["SPARK_HOME"] = folder.path + "/spark"
    }
    environment["PATH"] = "/usr/bin:/bin"
    return environment
  }

  private func failure(_ environment: [String: String]) async throws -> SparkError {
    try await #require(throws: SparkError.self) {
      _ = try await SparkInstallation.find(environment)
    }
  }

  @Test func whatIsMissing() async throws {
    var error = try await failure(["PATH": "/nowhere"])
    #expect(error.status == .unavailable && error.message.contains("no Java"))
    error = try await failure(["JAVA_HOME": "/nowhere"])
    #expect(error.message.contains("JAVA_HOME"))
    error = try await failure(try environment(java: "11.0.2", submit: ""))
    #expect(error.message.contains("Java 11") && error.remedy.contains("scripts/spark install"))
    var without = try environment(java: "17.0.1")
    without["PATH"] = "/nowhere"
    error = try await failure(without)
    #expect(error.message.contains("no Spark") && error.remedy.contains("scripts/spark install"))
    without["SPARK_HOME"] = folder.path
    error = try await failure(without)
    #expect(error.message.contains("spark-submit"))
    without["SPARK_HOME"] = nil
    without["FASTDP_PYTHON"] = try folder.script("python", "echo \(folder.path)/other")
    error = try await failure(without)
    #expect(error.message.contains("spark-submit"))
  }

  @Test func found() async throws {
    let environment = try environment(java: "17.0.1", submit: "")
    let found = try await SparkInstallation.find(environment)
    #expect(found.home == folder.path + "/spark")
    #expect(found.javaHome == folder.path + "/jdk")
  }

  /// Starts what stands for Spark.
  private func start(_ submit: String) async throws -> LocalSpark {
    let environment = try environment(java: "17.0.1", submit: submit)
    let installation = try await SparkInstallation.find(environment)
    var options = LocalSparkOptions()
    options.cores = "2"
    return try await LocalSpark.start(options, installation, environment: environment)
  }

  @Test func stopEndsTheProcessAndRemovesItsFolder() async throws {
    let spark = try await start(
      """
      echo "$$ $PWD $SPARK_CONNECT_AUTHENTICATE_TOKEN $*" >\(folder.path)/seen
      echo "INFO SparkConnectServer: Spark Connect server started at: 127.0.0.1:4711" >&2
      exec sleep 600
      """)
    #expect(spark.remote.server == "127.0.0.1:4711")
    let text = String(
      decoding: try #require(Platform.contents(folder.path + "/seen")), as: UTF8.self)
    let seen = text.split(separator: " ")
    let process = try #require(Int32(seen[0]))
    #expect(spark.remote.token == String(seen[2]))
    #expect(text.contains("--master local[2]"))
    #expect(!seen[3...].contains { $0.contains(seen[2]) })
    #expect(Platform.exists(String(seen[1])))
    await spark.stop()
    #expect(kill(process, 0) != 0)
    #expect(!Platform.exists(String(seen[1])))
  }

  @Test func aSparkThatEndsIsReportedWithItsReason() async throws {
    let error = try await #require(throws: SparkError.self) {
      _ = try await start("echo 'Error: Could not find or load main class X' >&2; exit 1")
    }
    #expect(error.status == .unavailable)
    #expect(error.message.contains("Could not find or load"))
  }

  @Test func cancelledStart() async throws {
    let task = Task { try await start("echo $$ >\(folder.path)/pid; exec sleep 600") }
    while Platform.contents(folder.path + "/pid")?.isEmpty != false {
      try await Task.sleep(for: .milliseconds(5))
    }
    task.cancel()
    let error = try await #require(throws: SparkError.self) { try await task.value }
    #expect(error.status == .cancelled)
    let text = String(decoding: Platform.contents(folder.path + "/pid") ?? [], as: UTF8.self)
    #expect(kill(try #require(Int32(text.oneLine(limit: 20))), 0) != 0)
  }
}
