#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// A Java and a Spark on this machine that can run together.
package struct SparkInstallation: Hashable, Sendable {
  /// The folder above `bin/java`, where it is not simply the first in the search path.
  package let javaHome: String?
  /// The folder above `bin/spark-submit`.
  package let home: String

  /// The oldest Java that Spark 4 runs on.
  static let oldestJava = 17

  /// Looks for both.
  ///
  /// Java: `JAVA_HOME`, else the search path. Spark: `SPARK_HOME`, else the `pyspark` package of `FASTDP_PYTHON`, else of the
  /// environment that `scripts/spark install` makes, else of `python3`.
  ///
  /// - Parameter environment: The variables to go by.
  /// - Returns: What was found.
  /// - Throws: ``SparkError`` `unavailable`: no Java, a Java too old, no Spark.
  package static func find(
    _ environment: [String: String]
  ) async throws(SparkError) -> SparkInstallation {
    let java = try await java(environment)
    return SparkInstallation(javaHome: java, home: try await spark(environment))
  }

  private static let remedy =
    "run scripts/spark install, which says how to get Java 17 and puts Spark into a folder of its own"

  private static func java(_ environment: [String: String]) async throws(SparkError) -> String? {
    let home = environment["JAVA_HOME"].flatMap { $0.isEmpty ? nil : $0 }
    guard let program = home.map({ $0 + "/bin/java" }) ?? search("java", environment),
      Platform.isExecutable(program)
    else {
      throw SparkError(
        .unavailable,
        home.map { "JAVA_HOME is \($0), where there is no bin/java" } ?? "there is no Java here",
        remedy: remedy)
    }
    let answer = await ChildProcess.output(of: program, ["-version"], environment: environment)
    guard let answer, answer.status == 0, let version = javaVersion(answer.text) else {
      throw SparkError(.unavailable, "\(program) does not tell its version", remedy: remedy)
    }
    guard version >= oldestJava else {
      throw SparkError(
        .unavailable, "\(program) is Java \(version); Spark needs \(oldestJava) or later",
        remedy: remedy)
    }
    return home
  }

  /// The major version in what `java -version` says: 17 of `"17.0.15"`, 8 of `"1.8.0_402"`.
  package static func javaVersion(_ text: String) -> Int? {
    let quoted = text.split(separator: "\"", omittingEmptySubsequences: false)
    guard quoted.count >= 3 else { return nil }
    let numbers = quoted[1].split { !$0.isNumber }.prefix(2).compactMap { Int($0) }
    return numbers.first == 1 && numbers.count == 2 ? numbers[1] : numbers.first
  }

  private static func search(_ name: String, _ environment: [String: String]) -> String? {
    (environment["PATH"] ?? "/usr/local/bin:/usr/bin:/bin").split(separator: ":")
      .map { "\($0)/\(name)" }.first(where: Platform.isExecutable)
  }

  private static func spark(_ environment: [String: String]) async throws(SparkError) -> String {
    if let home = environment["SPARK_HOME"], !home.isEmpty {
      try check(home, "SPARK_HOME is \(home), where there")
      return home
    }
    for python in pythons(environment) {
      let code =
        "import importlib.util as u; s = u.find_spec('pyspark'); print(s.submodule_search_locations[0] if s else '')"
      let answer = await ChildProcess.output(of: python, ["-c", code], environment: environment)
      guard let answer, answer.status == 0 else { continue }
      let home = answer.text.oneLine(limit: 4_096)
      guard !home.isEmpty else { continue }
      try check(home, "pyspark of \(python) is \(home), where there")
      return home
    }
    throw SparkError(
      .unavailable, "there is no Spark here: SPARK_HOME is not set and no python3 has pyspark",
      remedy: remedy)
  }

  private static func check(_ home: String, _ place: String) throws(SparkError) {
    guard Platform.isExecutable(home + "/bin/spark-submit") else {
      throw SparkError(.unavailable, "\(place) is no bin/spark-submit", remedy: remedy)
    }
    guard Platform.names(in: home + "/jars").contains(where: { $0.hasPrefix("spark-connect_") })
    else {
      throw SparkError(
        .unavailable, "\(place) is no jars/spark-connect_*.jar",
        remedy: "use Spark 4.0 or later, which has it: scripts/spark install")
    }
  }

  private static func pythons(_ environment: [String: String]) -> [String] {
    if let python = environment["FASTDP_PYTHON"], !python.isEmpty {
      return [python.contains("/") ? python : search(python, environment) ?? python]
    }
    let cache =
      environment["XDG_CACHE_HOME"].flatMap { $0.isEmpty ? nil : $0 }
      ?? (environment["HOME"] ?? "") + "/.cache"
    return [cache + "/fastdp/spark/bin/python3", search("python3", environment)]
      .compactMap(\.self).filter(Platform.isExecutable)
  }
}
