#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// A program that was started, in a process group of its own, so that a Ctrl-C in the terminal is not for it.
package struct ChildProcess: Sendable {
  package let identifier: Int32

  /// Starts a program.
  ///
  /// - Parameters:
  ///   - path: The program.
  ///   - arguments: Without the program's own name.
  ///   - environment: All of it.
  ///   - input: What it reads from as standard input.
  ///   - output: Where standard output and standard error go.
  /// - Throws: ``SparkError`` `unavailable`.
  init(
    _ path: String, _ arguments: [String], environment: [String: String], input: Int32,
    output: Int32
  ) throws(SparkError) {
    #if canImport(Glibc)
    var attributes = posix_spawnattr_t()
    var actions = unsafe posix_spawn_file_actions_t()
    #else
    var attributes: posix_spawnattr_t?
    var actions: posix_spawn_file_actions_t?
    #endif
    unsafe posix_spawnattr_init(&attributes)
    defer { unsafe posix_spawnattr_destroy(&attributes) }
    unsafe posix_spawnattr_setpgroup(&attributes, 0)
    // This program ignores SIGPIPE, and threads of the pool block all signals: neither is for what they start.
    var signals = sigset_t()
    unsafe sigemptyset(&signals)
    unsafe posix_spawnattr_setsigmask(&attributes, &signals)
    unsafe sigaddset(&signals, SIGPIPE)
    unsafe posix_spawnattr_setsigdefault(&attributes, &signals)
    let flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF
    unsafe posix_spawnattr_setflags(&attributes, Int16(flags))
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    for (from, to) in [(input, 0), (output, 1), (output, 2)] as [(Int32, Int32)] {
      unsafe posix_spawn_file_actions_adddup2(&actions, from, to)
    }
    var child: pid_t = 0
    let list = [path] + arguments
    let pairs = environment.map { "\($0)=\($1)" }
    // SAFETY: both lists end with nil and are freed after the call, which copies what it needs.
    let code = unsafe withCStrings(list) { arguments in
      unsafe withCStrings(pairs) { environment in
        unsafe posix_spawn(&child, path, &actions, &attributes, arguments, environment)
      }
    }
    guard code == 0 else {
      throw SparkError(
        .unavailable, "\(path) cannot be started: \(unsafe String(cString: strerror(code)))",
        remedy: "check that it is a program and may be run")
    }
    identifier = child
  }

  /// Its exit status once it has ended, 128 and the signal where one ended it; nil while it runs.
  func poll() -> Int32? {
    var status: Int32 = 0
    guard unsafe waitpid(identifier, &status, WNOHANG) != 0 else { return nil }
    return status & 0x7f == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f)
  }

  /// Waits for its end.
  ///
  /// - Parameter limit: For how long at most.
  /// - Returns: Its exit status, nil where it still runs.
  func wait(atMost limit: Duration) async -> Int32? {
    let end = ContinuousClock.now + limit
    while true {
      if let status = poll() { return status }
      if ContinuousClock.now >= end { return nil }
      await pause(.milliseconds(20))
    }
  }

  /// Ends it and all that it started, at once.
  func kill() {
    #if canImport(Glibc)
    _ = Glibc.kill(-identifier, SIGKILL)
    #else
    _ = Darwin.kill(-identifier, SIGKILL)
    #endif
  }
}

/// Sleeps, even where the task is cancelled: for the steps that clean up.
func pause(_ duration: Duration) async {
  await Task.detached { try? await Task.sleep(for: duration) }.value
}

/// Lends texts as a list of C strings that ends with nil.
private func withCStrings<R>(
  _ texts: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> R
) -> R {
  var pointers = unsafe texts.map { unsafe strdup($0) } + [nil]
  defer { for index in unsafe pointers.indices { unsafe free(pointers[index]) } }
  return unsafe pointers.withUnsafeMutableBufferPointer { buffer in
    guard let base = buffer.baseAddress else { preconditionFailure("a list of 0 pointers") }
    return unsafe body(base)
  }
}

extension ChildProcess {
  /// Runs a program to its end and hands over what it wrote, both streams together.
  ///
  /// - Parameters:
  ///   - path: The program.
  ///   - arguments: Without the program's own name.
  ///   - environment: All of it.
  ///   - limit: For how long; then it is ended.
  /// - Returns: Its status and at most 64 KiB of text; nil where it could not be started or took too long.
  static func output(
    of path: String, _ arguments: [String], environment: [String: String],
    limit: Duration = .seconds(30)
  ) async -> (status: Int32, text: String)? {
    var ends: [Int32] = [-1, -1]
    guard unsafe pipe(&ends) == 0 else { return nil }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    _ = fcntl(ends[0], F_SETFL, O_NONBLOCK)
    defer { close(ends[0]) }
    let null = unsafe open("/dev/null", O_RDONLY | O_CLOEXEC)
    defer { close(null) }
    let child = try? ChildProcess(
      path, arguments, environment: environment, input: null, output: ends[1])
    close(ends[1])
    guard let child else { return nil }
    return await child.collect(ends[0], until: .now + limit)
  }

  private func collect(
    _ file: Int32, until end: ContinuousClock.Instant
  ) async -> (status: Int32, text: String)? {
    var text: [UInt8] = []
    var status: Int32?
    while true {
      var buffer = [UInt8](repeating: 0, count: 4_096)
      let count = unsafe read(file, &buffer, buffer.count)
      if count > 0 {
        if text.count < 1 << 16 { text += buffer[..<count] }
        continue
      }
      if let status { return (status, String(decoding: text, as: UTF8.self)) }
      status = poll()
      if status == nil, ContinuousClock.now >= end {
        kill()
        _ = await wait(atMost: .seconds(5))
        return nil
      }
      if status == nil { await pause(.milliseconds(10)) }
    }
  }
}
