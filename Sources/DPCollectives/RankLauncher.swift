internal import CDPSystem

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// Starts the ranks of a group as processes of this host, and ends them together.
///
/// Ranks meet at a port that the system has chosen and this process already listens at, with a secret
/// that they inherit; both are gone with them. Each start has a new secret and a new generation.
package struct RankLauncher {
  /// How many ranks.
  package var ranks: Int
  /// How often all are started anew when one fails.
  package var restarts = 0
  /// How long ranks may take to end by themselves when they are told to.
  package var patience: Duration = .seconds(30)
  /// The program and its arguments.
  package var command: [String]
  /// The program and its arguments when ranks are started anew.
  package var restartCommand: () -> [String]
  /// The ranks' environment variables, beside those of their places.
  package var environment: [String: String]
  /// Takes a line that a rank has said: anything on standard error, and on standard output where it
  /// is not rank 0, whose output is this process's.
  package var onLine: (_ rank: Int, _ line: String) -> Void
  /// Takes a message for the operator.
  package var onMessage: (String) -> Void
  /// Whether somebody wants an end.
  package var shouldStop: () -> Bool

  /// The status that tells of an interrupt.
  package static let interrupted: Int32 = 130

  /// A launcher.
  ///
  /// - Parameters:
  ///   - ranks: How many ranks.
  ///   - command: The program and its arguments.
  ///   - environment: The ranks' environment variables.
  package init(ranks: Int, command: [String], environment: [String: String]) {
    self.ranks = ranks
    self.command = command
    restartCommand = { command }
    self.environment = environment
    onLine = { _, _ in }
    onMessage = { _ in }
    shouldStop = { false }
  }

  /// Starts ranks and waits for their end, as often as is needed and allowed.
  ///
  /// - Returns: 0, the status of the first rank that failed in the last start, with 128 added to the
  ///   number of a signal, or ``interrupted``.
  /// - Throws: ``CollectiveError`` where the system refuses sockets or processes.
  package func run() throws(CollectiveError) -> Int32 {
    var generation = 0
    while true {
      let group = try LaunchedGroup(self, generation: generation)
      let (status, rank) = try group.wait()
      guard generation < restarts, isPassing(status), !shouldStop() else { return status }
      generation += 1
      onMessage(
        "rank \(rank) ended with \(RankLauncher.told(status)); starting all ranks anew, "
          + "generation \(generation) of at most \(restarts)")
    }
  }

  /// Whether a failure may not come again: not of usage, data, files or budgets.
  private func isPassing(_ status: Int32) -> Bool {
    status == 69 || status == 70 || status == 74
      || (status > 128 && status != RankLauncher.interrupted)
  }

  /// A status for people.
  package static func told(_ status: Int32) -> String {
    status > 128 && status != interrupted ? "signal \(status - 128)" : "status \(status)"
  }

  /// The environment variable that names the process that ranks end with.
  private static let variable = "FASTDP_LAUNCHER"

  /// Has this process end when the launcher that started it does, also where that was just before.
  ///
  /// - Parameter environment: This process's.
  package static func followLauncher(_ environment: [String: String]) {
    guard let launcher = environment[variable].flatMap({ Int32($0) }) else { return }
    _ = cdp_end_with_parent()
    if getppid() != launcher { exit(69) }
  }

  /// What a rank is told of its place.
  fileprivate func variables(_ rank: Int, generation: Int, port: UInt16) -> [String: String] {
    var own = [
      "FASTDP_RANK": "\(rank)", "FASTDP_RANKS": "\(ranks)", "FASTDP_LOCAL_RANK": "\(rank)",
      "FASTDP_LOCAL_RANKS": "\(ranks)", "FASTDP_MASTER": "127.0.0.1:\(port)",
      "FASTDP_GENERATION": "\(generation)", "FASTDP_SECRET_FD": "\(LaunchedGroup.secretPlace)",
      RankLauncher.variable: "\(getpid())",
    ]
    if rank == 0 { own["FASTDP_LISTEN_FD"] = "\(LaunchedGroup.listenerPlace)" }
    let foreign = ["FASTDP_SECRET_FILE", "FASTDP_BIND", "FASTDP_LISTEN_FD", "FASTDP_GROUP"]
    return environment.filter { !foreign.contains($0.key) }.merging(own) { $1 }
  }
}

/// Ranks that run.
private final class LaunchedGroup {
  static let listenerPlace: Int32 = 3
  static let secretPlace: Int32 = 4

  private struct Member {
    let rank: Int
    let process: pid_t
    /// Where its words come from; -1 when they have ended.
    var words: Int32
    var line: [UInt8] = []
    var isRunning = true
  }

  private let launcher: RankLauncher
  private var members: [Member] = []
  private var failure: (status: Int32, rank: Int)?
  private var isStopping = false
  private var hasKilled = false
  private var end: Deadline?

  init(_ launcher: RankLauncher, generation: Int) throws(CollectiveError) {
    self.launcher = launcher
    let listener = try SocketAddress.find("127.0.0.1", port: 0, numeric: true).listen()
    defer { SocketCalls.close(listener) }
    let secret = try LaunchedGroup.secretFile()
    defer { SocketCalls.close(secret) }
    let port = SocketAddress.own(listener)?.port ?? 0
    let command = generation == 0 ? launcher.command : launcher.restartCommand()
    for rank in 0..<launcher.ranks {
      let variables = launcher.variables(rank, generation: generation, port: port)
      do throws(CollectiveError) {
        members.append(try start(rank, command, variables, listener, secret))
      } catch {
        endAll(SIGKILL)
        for member in members { waitpid(member.process, nil, 0) }
        throw error
      }
    }
  }

  deinit { for member in members where member.words >= 0 { SocketCalls.close(member.words) } }

  /// A file in memory that holds a new secret.
  private static func secretFile() throws(CollectiveError) -> Int32 {
    let made = unsafe cdp_memory_file("fastdp secret")
    guard made >= 0 else { throw CollectiveError.ofSystem("cannot make a file in memory") }
    _ = fcntl(made, F_SETFD, FD_CLOEXEC)
    var line = GroupSecret().line
    defer { line.erase() }
    // SAFETY: write reads the array it is lent, of the length that it is told.
    guard unsafe write(made, line, line.count) == line.count else {
      throw CollectiveError.ofSystem("cannot write a file in memory")
    }
    return made
  }

  private func start(
    _ rank: Int, _ command: [String], _ variables: [String: String], _ listener: Int32,
    _ secret: Int32
  ) throws(CollectiveError) -> Member {
    var pipe: [Int32] = [-1, -1]
    guard unsafe Self.makePipe(&pipe) == 0 else {
      throw CollectiveError.ofSystem("cannot make a pipe")
    }
    defer { SocketCalls.close(pipe[1]) }
    // Out of the way of the places that they get in the new process.
    let sources = [listener, secret].map { fcntl($0, F_DUPFD_CLOEXEC, 16) }
    defer { for source in sources { SocketCalls.close(source) } }
    #if canImport(Glibc)
    var actions = unsafe posix_spawn_file_actions_t()
    var attributes = posix_spawnattr_t()
    #else
    var actions: posix_spawn_file_actions_t?
    var attributes: posix_spawnattr_t?
    #endif
    unsafe posix_spawn_file_actions_init(&actions)
    unsafe posix_spawnattr_init(&attributes)
    defer {
      unsafe posix_spawn_file_actions_destroy(&actions)
      unsafe posix_spawnattr_destroy(&attributes)
    }
    unsafe posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    if rank > 0 { unsafe posix_spawn_file_actions_adddup2(&actions, pipe[1], 1) }
    unsafe posix_spawn_file_actions_adddup2(&actions, pipe[1], 2)
    unsafe posix_spawn_file_actions_adddup2(&actions, sources[1], LaunchedGroup.secretPlace)
    if rank == 0 {
      unsafe posix_spawn_file_actions_adddup2(&actions, sources[0], LaunchedGroup.listenerPlace)
    }
    // A group of their own: the terminal's signals reach them through the launcher, once.
    unsafe posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
    unsafe posix_spawnattr_setpgroup(&attributes, members.first?.process ?? 0)
    let words = unsafe command.map { unsafe strdup($0) } + [nil]
    let settings = unsafe variables.map { unsafe strdup("\($0)=\($1)") } + [nil]
    defer {
      for index in unsafe words.indices { unsafe free(words[index]) }
      for index in unsafe settings.indices { unsafe free(settings[index]) }
    }
    var process: pid_t = 0
    // SAFETY: both lists of C strings end with nil and are freed after the call, which copies them.
    let status = unsafe posix_spawnp(&process, command[0], &actions, &attributes, words, settings)
    guard status == 0 else {
      SocketCalls.close(pipe[0])
      let reason = unsafe String(cString: strerror(status))
      throw CollectiveError(
        .unavailable, "cannot start \(command[0]): \(reason); see that it is installed")
    }
    SocketCalls.prepare(pipe[0])
    return Member(rank: rank, process: process, words: pipe[0])
  }

  private static func makePipe(_ ends: UnsafeMutablePointer<Int32>) -> Int32 {
    let status = unsafe pipe(ends)
    for place in 0..<2 { _ = unsafe fcntl(ends[place], F_SETFD, FD_CLOEXEC) }
    return status
  }

  /// Waits until all have ended, and passes on what they say.
  func wait() throws(CollectiveError) -> (status: Int32, rank: Int) {
    while members.contains(where: \.isRunning) {
      listen(for: 50_000_000)
      for index in members.indices where members[index].isRunning { look(after: index) }
      stopWhereAsked()
      if let end, end.left <= 0 {
        hasKilled = true
        endAll(SIGKILL)
        self.end = Deadline(after: .seconds(1))
      }
    }
    // What was said last; a process that a rank has left behind may hold its pipe open.
    listen(for: 0)
    for index in members.indices { finishLine(index) }
    if isStopping { return (RankLauncher.interrupted, 0) }
    return failure ?? (0, 0)
  }

  private func look(after index: Int) {
    var status: Int32 = 0
    // SAFETY: waitpid fills the integer it is lent.
    guard unsafe waitpid(members[index].process, &status, WNOHANG) != 0 else { return }
    members[index].isRunning = false
    let signal = status & 0x7f
    let code = signal == 0 ? status >> 8 & 0xff : 128 + signal
    guard code != 0, !hasKilled else { return }
    if failure.map({ isCause(code, beside: $0.status) }) ?? true {
      failure = (code, members[index].rank)
    }
    // The others learn of it themselves and say so; who cannot is ended.
    if end == nil { end = Deadline(after: min(launcher.patience, .seconds(5))) }
  }

  /// Whether a status tells why another rank has failed: one that was killed has not failed because of
  /// others, and one that has lost a peer (69) has not failed by itself.
  private func isCause(_ status: Int32, beside known: Int32) -> Bool {
    func weight(_ status: Int32) -> Int { status > 128 ? 2 : status == 69 ? 0 : 1 }
    return weight(status) > weight(known)
  }

  private func stopWhereAsked() {
    guard !isStopping, launcher.shouldStop() else { return }
    isStopping = true
    endAll(SIGTERM)
    end = Deadline(after: launcher.patience + .seconds(5))
  }

  private func endAll(_ signal: Int32) {
    for member in members where member.isRunning { kill(member.process, signal) }
  }

  // MARK: What ranks say

  private func listen(for nanoseconds: Int64) {
    var polled = members.filter { $0.words >= 0 }.map {
      pollfd(fd: $0.words, events: Int16(POLLIN), revents: 0)
    }
    SocketCalls.wait(for: &polled, nanoseconds)
    for index in members.indices where members[index].words >= 0 { hear(index) }
  }

  private func hear(_ index: Int) {
    var bytes = [UInt8](repeating: 0, count: 1 << 14)
    while true {
      // SAFETY: read fills the array it is lent, of the length that it is told.
      let count = unsafe read(members[index].words, &bytes, bytes.count)
      if count < 0, SocketCalls.isTemporary(errno) { return }
      guard count > 0 else {
        SocketCalls.close(members[index].words)
        members[index].words = -1
        return
      }
      for byte in bytes.prefix(count) {
        if byte == UInt8(ascii: "\n") {
          finishLine(index)
        } else {
          members[index].line.append(byte)
        }
        // A line without an end must not fill the memory.
        if members[index].line.count >= 1 << 16 { finishLine(index) }
      }
    }
  }

  private func finishLine(_ index: Int) {
    guard !members[index].line.isEmpty else { return }
    launcher.onLine(members[index].rank, String(decoding: members[index].line, as: UTF8.self))
    members[index].line.removeAll(keepingCapacity: true)
  }
}
