import Foundation

/// A Python that answers questions about privacy by dp_accounting, one at a time.
final class PrivacyPeer {
  /// The version that this program is compared with.
  static let version = "0.6.0"
  /// The package and its version.
  let name = "dp_accounting \(version)"

  private let path: String
  private let process = Process()
  private let questions = Pipe()
  private let answers = Pipe()
  private var unread = Data()

  /// A line of the peer.
  private struct Line: Decodable {
    var version: String?
    var seconds: Double?
    var value: Double?
    var error: String?
  }

  /// Starts the peer.
  ///
  /// - Parameters:
  ///   - folder: Where the peers are: `jax/bin/python` in it is a Python that has dp_accounting.
  ///   - question: What will be asked.
  /// - Throws: ``CommandError`` when something is missing, or of another version.
  init(folder: String, _ question: PrivacyQuestion) throws {
    path = "\(folder)/jax/bin/python"
    guard FileManager.default.fileExists(atPath: folder) else {
      throw PrivacyPeer.missing("\(folder): no such folder")
    }
    guard FileManager.default.isExecutableFile(atPath: path) else {
      throw PrivacyPeer.missing("\(path): no such program")
    }
    // A peer that has ended is told of by what it answers, not by a signal.
    ProcessControl.ignoreBrokenPipes()
    process.executableURL = URL(fileURLWithPath: path)
    let numbers = try JSONEncoder().encode(question)
    process.arguments = ["-c", PrivacyPeer.program, String(decoding: numbers, as: UTF8.self)]
    process.standardInput = questions
    process.standardOutput = answers
    process.standardError = FileHandle.nullDevice
    do { try process.run() } catch { throw unavailable("cannot be started") }
    let found = try nextLine().version
    guard found == PrivacyPeer.version else {
      let what = found.map { "has dp_accounting \($0)" } ?? "has no dp_accounting"
      throw unavailable(
        "\(what), and \(name) is compared with",
        "run '\(path) -m pip install dp-accounting==\(PrivacyPeer.version)'")
    }
  }

  deinit {
    // At the end of its questions the peer ends.
    try? questions.fileHandleForWriting.close()
    if process.isRunning { process.terminate() }
  }

  /// Asks a question.
  ///
  /// - Parameters:
  ///   - question: Its name.
  ///   - timings: Receives how long the answer took, inside the peer.
  /// - Returns: The answer.
  /// - Throws: ``CommandError`` when the peer has failed.
  func ask(_ question: String, _ timings: inout Timings) throws -> Double {
    try? questions.fileHandleForWriting.write(contentsOf: Data("\(question)\n".utf8))
    let line = try nextLine()
    guard let seconds = line.seconds, let value = line.value else {
      throw unavailable("gave no answer to '\(question)'")
    }
    timings.add(seconds)
    return value
  }

  private func nextLine() throws -> Line {
    while !unread.contains(UInt8(ascii: "\n")) {
      let more = answers.fileHandleForReading.availableData
      guard !more.isEmpty else {
        process.waitUntilExit()
        let how = process.terminationReason == .exit ? "status" : "signal"
        throw unavailable("ended with \(how) \(process.terminationStatus)")
      }
      unread += more
    }
    let text = unread.prefix { $0 != UInt8(ascii: "\n") }
    unread = Data(unread.dropFirst(text.count + 1))
    guard let line = try? JSONDecoder().decode(Line.self, from: text) else {
      throw unavailable("printed something else than an answer")
    }
    if let error = line.error {
      throw unavailable("failed: \(String(error.prefix(200).map { $0.isNewline ? " " : $0 }))")
    }
    return line
  }

  private static func missing(_ what: String) -> CommandError {
    CommandError(
      status: ExitStatus.missingInput,
      message: "\(what); --peers names a folder with jax/bin/python ('fastdp bench privacy --help')"
    )
  }

  private func unavailable(
    _ what: String, _ remedy: String = "check that it runs 'import dp_accounting'"
  ) -> CommandError {
    CommandError(status: ExitStatus.unavailable, message: "\(path): \(what); \(remedy)")
  }

  /// The peer's side: each line that it reads names a question, and a line of JSON answers it.
  private static let program = """
    import json
    import sys
    import time
    from importlib import metadata


    def say(**members):
        print(json.dumps(members), flush=True)


    def questions(case):
        from dp_accounting import dp_event, mechanism_calibration
        from dp_accounting.pld import pld_privacy_accountant

        def event(sigma):
            gaussian = dp_event.GaussianDpEvent(sigma)
            step = dp_event.PoissonSampledDpEvent(case["samplingRate"], gaussian)
            return dp_event.SelfComposedDpEvent(step, case["steps"])

        def accountant():
            return pld_privacy_accountant.PLDAccountant(
                value_discretization_interval=case["discretisation"])

        def epsilon():
            composed = accountant().compose(event(case["noiseMultiplier"]))
            return composed.get_epsilon(case["delta"])

        def calibration():
            return mechanism_calibration.calibrate_dp_mechanism(
                accountant, event, case["targetEpsilon"], case["delta"])

        return {"epsilon": epsilon, "calibration": calibration}


    def main():
        try:
            say(version=metadata.version("dp-accounting"))
        except metadata.PackageNotFoundError:
            return say(version=None)
        answers = questions(json.loads(sys.argv[1]))
        for line in sys.stdin:
            start = time.perf_counter()
            value = float(answers[line.strip()]())
            say(seconds=time.perf_counter() - start, value=value)


    try:
        main()
    except Exception as error:
        say(error=f"{type(error).__name__}: {error}")
    """
}
