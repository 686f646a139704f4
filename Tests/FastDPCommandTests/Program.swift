import Foundation
import TestSupport
import Testing

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// What a run of the program left behind.
struct Outcome {
  /// The exit status, or the negative number of the signal that ended the process.
  let status: Int32
  /// Standard output.
  let output: String
  /// Standard error.
  let errors: String

  /// The lines of standard error.
  var errorLines: [String] { errors.split(separator: "\n").map(String.init) }

  /// Standard output as one JSON object, on one line and with nothing beside it.
  func json() throws -> [String: Any] {
    try #require(output.hasSuffix("}\n") && output.hasPrefix("{"), "\(output)\(errors)")
    try #require(output.count { $0.isNewline } == 1, "\(output)")
    return try jsonObject(Data(output.utf8))
  }

  /// A number in standard output's JSON object.
  func number(_ key: String) throws -> Double {
    try #require(json()[key] as? Double, "\(key) in \(output)\(errors)")
  }
}

/// Reads one JSON object.
func jsonObject(_ data: Data) throws -> [String: Any] {
  try #require(JSONSerialization.jsonObject(with: data) as? [String: Any])
}

/// Runs the program to its end, with nothing to read on standard input.
func fastdp(
  _ arguments: String..., environment: [String: String] = [:], timeout: Double = 60
) throws -> Outcome {
  try fastdp(arguments, environment: environment, timeout: timeout)
}

/// Runs the program to its end, with nothing to read on standard input.
func fastdp(
  _ arguments: [String], environment: [String: String] = [:], timeout: Double = 60
) throws -> Outcome {
  try RunningProgram(Program.path(), arguments, environment: environment).wait(timeout: timeout)
}

/// Runs the program and requires that it ends with status 0.
@discardableResult
func succeed(_ arguments: [String], sourceLocation: SourceLocation = #_sourceLocation) throws
  -> Outcome
{
  let outcome = try fastdp(arguments)
  try #require(
    outcome.status == 0, "\(arguments): \(outcome.errors)", sourceLocation: sourceLocation)
  return outcome
}

/// Runs the program and requires that it ends with status 0.
@discardableResult
func succeed(_ arguments: String..., sourceLocation: SourceLocation = #_sourceLocation) throws
  -> Outcome
{
  try succeed(arguments, sourceLocation: sourceLocation)
}

/// Where the program under test is.
enum Program {
  /// The program that `FASTDP_PROGRAM` names, or `fastdp` beside the tests.
  static func path() throws -> String { try found.get() }

  private static let found = Result { try find() }

  private static func find() throws -> String {
    if let named = ProcessInfo.processInfo.environment["FASTDP_PROGRAM"] {
      guard isProgram(named) else { throw NotFound(places: [named]) }
      return named
    }
    let bundles = CommandLine.arguments.filter { $0.contains(".xctest") }
    let starts = CommandLine.arguments.prefix(1) + bundles + [Bundle.main.bundlePath]
    let places = starts.flatMap { folders(above: $0) }.map { "\($0)/fastdp" }
    guard let program = places.first(where: isProgram) else { throw NotFound(places: places) }
    return program
  }

  /// The folder of a file and those that a macOS bundle puts around it.
  private static func folders(above path: String) -> [String] {
    var folder = URL(fileURLWithPath: path).standardizedFileURL
    return (0..<4).map { _ in
      folder.deleteLastPathComponent()
      return folder.path
    }
  }

  private static func isProgram(_ path: String) -> Bool {
    var isFolder: ObjCBool = false
    let exists = unsafe FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
    return exists && !isFolder.boolValue && FileManager.default.isExecutableFile(atPath: path)
  }

  /// The program was not built, or lies elsewhere.
  struct NotFound: Error, CustomStringConvertible {
    let places: [String]
    var description: String {
      "the program fastdp is not there; build it with 'swift build', or name it in "
        + "FASTDP_PROGRAM; looked for \(places.joined(separator: ", "))"
    }
  }
}

/// A process that was started, whose output goes to files so that nothing can block it.
final class RunningProgram {
  let process: pid_t
  private let folder: ScratchFolder
  private var ended: Int32?

  /// Starts a program with `/dev/null` as standard input.
  init(_ path: String, _ arguments: [String], environment: [String: String] = [:]) throws {
    folder = try ScratchFolder()
    process = try RunningProgram.spawn(
      [path] + arguments,
      ProcessInfo.processInfo.environment.merging(environment) { $1 }.map { "\($0)=\($1)" },
      output: folder.file("out"), errors: folder.file("err"))
  }

  deinit {
    guard ended == nil else { return }
    kill(process, SIGKILL)
    // A child that nobody waits for stays a zombie.
    waitpid(process, nil, 0)
  }

  /// Starts `fastdp`.
  convenience init(fastdp arguments: String...) throws {
    try self.init(Program.path(), arguments)
  }

  /// Whether the process has not ended yet.
  var isRunning: Bool {
    if ended == nil {
      var status: Int32 = 0
      // SAFETY: waitpid fills the number it is lent.
      if unsafe waitpid(process, &status, WNOHANG) == process { ended = status }
    }
    return ended == nil
  }

  /// Sends a signal to the process, unless it has ended.
  func send(_ signal: Int32) {
    if isRunning { kill(process, signal) }
  }

  /// Waits until the process ends; one that takes too long is killed and is a failure.
  func wait(timeout: Double = 60) throws -> Outcome {
    let deadline = ContinuousClock.now + .seconds(timeout)
    while isRunning, ContinuousClock.now < deadline { usleep(1000) }
    try #require(!isRunning, "the program did not end within \(timeout) s")
    let status = ended ?? 0
    let signal = status & 0x7F
    return Outcome(
      status: signal == 0 ? (status >> 8) & 0xFF : -signal, output: try folder.text("out"),
      errors: try folder.text("err"))
  }

  private static func spawn(
    _ arguments: [String], _ environment: [String], output: String, errors: String
  ) throws -> pid_t {
    #if canImport(Glibc)
    var actions = unsafe posix_spawn_file_actions_t()
    var attributes = posix_spawnattr_t()
    #else
    var actions: posix_spawn_file_actions_t?
    var attributes: posix_spawnattr_t?
    #endif
    // The threads that run tests may have signals blocked, which a child would inherit.
    var none = sigset_t()
    unsafe sigemptyset(&none)
    unsafe posix_spawnattr_init(&attributes)
    defer { unsafe posix_spawnattr_destroy(&attributes) }
    unsafe posix_spawnattr_setsigmask(&attributes, &none)
    unsafe posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    let flags = O_WRONLY | O_CREAT | O_TRUNC
    unsafe posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    unsafe posix_spawn_file_actions_addopen(&actions, 1, output, flags, 0o600)
    unsafe posix_spawn_file_actions_addopen(&actions, 2, errors, flags, 0o600)
    let words = unsafe arguments.map { unsafe strdup($0) } + [nil]
    let settings = unsafe environment.map { unsafe strdup($0) } + [nil]
    defer {
      for index in unsafe words.indices { unsafe free(words[index]) }
      for index in unsafe settings.indices { unsafe free(settings[index]) }
    }
    var process: pid_t = 0
    // SAFETY: both lists end with nil, and their texts live through the call.
    let failure = unsafe posix_spawnp(
      &process, arguments[0], &actions, &attributes, words, settings)
    try #require(failure == 0, "\(arguments[0]) cannot be started: error \(failure)")
    return process
  }
}
