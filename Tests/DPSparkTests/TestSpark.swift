import DPSpark
import Foundation
import TestSupport
import Testing

/// The Spark that tests run SQL on, started once: the program `FASTDP_SPARK` names, or a Python with pyspark
/// that speaks the same protocol (`Fixtures/executor.py`).
///
/// Tests that use it run one at a time, and are left out, with a message, where neither is there.
final class TestSpark {
  /// Why there is no Spark; nil where there is one.
  static let absence: Comment? =
    command == nil
    ? "no Spark: needs Java, and pyspark for python3 or what FASTDP_PYTHON names" : nil

  /// Whether tests can use it.
  static var isThere: Bool { absence == nil }

  /// A command that speaks the protocol.
  private static let command: String? = {
    let environment = ProcessInfo.processInfo.environment
    if let program = environment["FASTDP_SPARK"], !program.isEmpty { return "exec '\(program)'" }
    let executor = (Bundle.module.resourcePath ?? ".") + "/Fixtures/executor.py"
    guard succeeds("java -version") else { return nil }
    let cache = environment["XDG_CACHE_HOME"] ?? (environment["HOME"] ?? "") + "/.cache"
    let pythons =
      environment["FASTDP_PYTHON"].map { [$0] } ?? [
        "\(cache)/fastdp/spark/bin/python3", "python3",
      ]
    let python = pythons.first { succeeds("'\($0)' -c 'import pyspark.sql'") }
    return python.map { "exec '\($0)' '\(executor)'" }
  }()

  private static func succeeds(_ command: String) -> Bool {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = ["-c", command + " > /dev/null 2>&1"]
    process.standardInput = FileHandle.nullDevice
    try? process.run()
    process.waitUntilExit()
    return process.terminationStatus == 0
  }

  /// The folder of the script that starts it.
  private let folder: ScratchFolder
  let program: SparkProgram

  init() throws {
    // A Spark that has died is an error to be seen, not this process's end.
    signal(SIGPIPE, SIG_IGN)
    folder = try ScratchFolder()
    let script = try folder.write("#!/bin/sh\n\(Self.command ?? "exit 1")\n", to: "spark")
    try FileManager.default.setAttributes([.posixPermissions: 0o700], ofItemAtPath: script)
    program = try SparkProgram(path: script, place: .local(cores: "2"))
  }
}
