import Foundation

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Another process, run to its end and measured from outside.
enum MeasuredProcess {
  /// What became of it.
  struct Result {
    /// Its exit status, or 128 and the number of the signal that ended it.
    let status: Int32
    /// What it wrote to standard output.
    let output: String
    /// From before its start to its end.
    let seconds: Double
    /// The most memory that it held, in bytes.
    let peakMemory: Int
  }

  /// Runs a program, without input; what it says on standard error is dropped.
  ///
  /// - Parameters:
  ///   - program: Its path.
  ///   - arguments: Without the program's name.
  /// - Returns: What became of it.
  /// - Throws: ``CommandError`` where it cannot be started.
  static func run(_ program: String, _ arguments: [String]) throws -> Result {
    let path = NSTemporaryDirectory() + "fastdp-\(UUID().uuidString)"
    defer { _ = unsafe unlink(path) }
    #if canImport(Glibc)
    var actions = unsafe posix_spawn_file_actions_t()
    #else
    var actions: posix_spawn_file_actions_t?
    #endif
    // SAFETY: the actions are made and ended here; the arguments outlive the call that reads them.
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    unsafe posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    unsafe posix_spawn_file_actions_addopen(&actions, 1, path, O_WRONLY | O_CREAT | O_EXCL, 0o600)
    unsafe posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
    var texts = unsafe ([program] + arguments).map { unsafe strdup($0) } + [nil]
    defer { for index in unsafe texts.indices { unsafe free(texts[index]) } }
    var process: pid_t = 0
    let clock = ContinuousClock()
    let start = clock.now
    guard unsafe posix_spawn(&process, program, &actions, nil, &texts, environ) == 0 else {
      throw CommandError(
        status: ExitStatus.unavailable, message: "\(program): cannot be started; check the path")
    }
    var status: Int32 = 0
    var usage = rusage()
    while unsafe wait4(process, &status, 0, &usage) < 0, errno == EINTR {}
    let seconds = (clock.now - start) / .seconds(1)
    #if canImport(Glibc)
    let peakMemory = usage.ru_maxrss << 10
    #else
    let peakMemory = usage.ru_maxrss
    #endif
    let signal = status & 0x7F
    return Result(
      status: signal == 0 ? (status >> 8) & 0xFF : 128 + signal,
      output: (try? String(contentsOfFile: path, encoding: .utf8)) ?? "", seconds: seconds,
      peakMemory: peakMemory)
  }
}
