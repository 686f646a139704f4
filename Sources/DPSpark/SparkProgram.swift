internal import Foundation

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// The program `fastdp-spark`, which speaks with a Spark: a line of JSON for every request and reply.
///
/// Its protocol is in `docs/spark-protocol.md`. The program ends with this object, or with this process,
/// however that ends: its standard input is then closed, and it gives back what it holds on the cluster.
@safe public final class SparkProgram: SparkExecutor {
  /// Which Spark is meant.
  public enum Place: Sendable {
    /// A server: `sc://host:port/;token=...;use_ssl=true`.
    case remote(String)
    /// One that is started here, with so many cores (`*` for all), and stopped at the end.
    case local(cores: String)
  }

  /// How far a statement is.
  public struct Progress: Sendable {
    /// What the statement is for.
    public let title: String
    /// Tasks so far known.
    public let tasks: Int
    /// Tasks that have ended.
    public let completed: Int
  }

  private let process: pid_t
  private let input: Int32
  private let output: Int32
  private let isStopped: () -> Bool
  private let onProgress: (Progress) -> Void
  private let onMessage: (String) -> Void
  private var buffer: [UInt8] = []
  private var requests = 0
  private var isEnded = false
  /// Whether a request was interrupted: those after it are to clean up, and are short.
  private var wasInterrupted = false
  /// What the server says it is.
  public private(set) var version = ""
  /// How long the statements of each title took, for measurements.
  package private(set) var seconds: [String: [Double]] = [:]

  /// Starts the program and connects.
  ///
  /// - Parameters:
  ///   - path: Where the program is.
  ///   - place: Which Spark is meant.
  ///   - authorities: A file of authorities to trust, for TLS.
  ///   - isStopped: Asked several times a second; once it is true, what runs is interrupted.
  ///   - onProgress: Told how far a statement is.
  ///   - onMessage: Gets lines for the operator.
  /// - Throws: ``SparkError``.
  public init(
    path: String, place: Place, authorities: String? = nil,
    isStopped: @escaping () -> Bool = { false },
    onProgress: @escaping (Progress) -> Void = { _ in },
    onMessage: @escaping (String) -> Void = { _ in }
  ) throws(SparkError) {
    self.isStopped = isStopped
    self.onProgress = onProgress
    self.onMessage = onMessage
    (process, input, output) = try Self.start(path)
    var configuration = SparkPreparation.configuration
    var connect: [String: Value] = [:]
    switch place {
    case .remote(let remote):
      connect["remote"] = .text(remote)
      configuration.merge(SparkPreparation.clusterConfiguration) { $1 }
    case .local(let cores): connect["local"] = .object(["cores": .text(cores)])
    }
    connect["configuration"] = .object(configuration.mapValues { .text($0) })
    if let authorities { connect["ca"] = .text(authorities) }
    do {
      let reply = try ask(["connect": .object(connect)], title: "connecting")
      version = reply.connected?.version ?? ""
    } catch {
      end()
      throw error
    }
  }

  deinit { end() }

  /// Runs a query and takes its rows.
  ///
  /// - Parameters:
  ///   - sql: One statement.
  ///   - title: What it is for, in a few words.
  /// - Returns: The rows.
  /// - Throws: ``SparkError``.
  public func query(_ sql: String, title: String) throws(SparkError) -> [[SparkValue]] {
    try run(sql, "query", title)
  }

  /// Runs a statement that writes or sets something.
  ///
  /// - Parameters:
  ///   - sql: One statement.
  ///   - title: What it is for, in a few words.
  /// - Throws: ``SparkError``.
  public func command(_ sql: String, title: String) throws(SparkError) {
    _ = try run(sql, "command", title)
  }

  /// Disconnects and waits for the program's end.
  public func disconnect() { end() }

  private func run(
    _ sql: String, _ kind: String, _ title: String
  ) throws(SparkError) -> [[SparkValue]] {
    let request = ["sql": Value.text(sql), "kind": .text(kind), "title": .text(title)]
    let start = ContinuousClock.now
    defer { seconds[title, default: []].append((ContinuousClock.now - start) / .seconds(1)) }
    return try ask(["run": .object(request)], title: title).rows?.values ?? []
  }

  // MARK: - Requests and replies

  /// A request's members.
  private enum Value: Encodable {
    case text(String)
    case integer(Int)
    case object([String: Value])

    func encode(to encoder: any Encoder) throws {
      var container = encoder.singleValueContainer()
      switch self {
      case .text(let text): try container.encode(text)
      case .integer(let number): try container.encode(number)
      case .object(let members): try container.encode(members)
      }
    }
  }

  /// A reply, of which one member is there.
  private struct Reply: Decodable {
    struct Connected: Decodable { let version: String? }
    struct Progress: Decodable {
      let tasks: Int
      let completed: Int
    }
    struct Rows: Decodable { let values: [[SparkValue]] }
    struct Failure: Decodable {
      let status: Int32
      let condition: String?
      let message: String
      let remedy: String?
    }
    struct Note: Decodable { let message: String }

    let id: Int?
    let connected: Connected?
    let progress: Progress?
    let rows: Rows?
    let error: Failure?
    let note: Note?

    /// Whether it ends its request.
    var isLast: Bool { connected != nil || rows != nil || error != nil }
  }

  private func ask(_ request: [String: Value], title: String) throws(SparkError) -> Reply {
    requests += 1
    let id = requests
    try send(request.merging(["id": .integer(id)]) { $1 })
    let isCleaning = wasInterrupted
    var deadline = isCleaning ? ContinuousClock.now + .seconds(10) : nil
    while true {
      if deadline == nil, isStopped() {
        deadline = .now + .seconds(15)
        wasInterrupted = true
        requests += 1
        try? send(["id": .integer(requests), "cancel": .object(["id": .integer(id)])])
      }
      if let deadline, ContinuousClock.now > deadline { throw Self.interrupted }
      guard let line = try nextLine() else { continue }
      guard let reply = try? JSONDecoder().decode(Reply.self, from: Data(line)) else {
        throw SparkError(
          70, "fastdp-spark said something that is no reply; build it anew with 'make spark'")
      }
      if let note = reply.note { onMessage(note.message) }
      if reply.id == nil || reply.id == id, let failure = reply.error {
        guard !wasInterrupted || isCleaning else { throw Self.interrupted }
        throw SparkError(
          failure.status, condition: failure.condition,
          failure.message + (failure.remedy.map { "; \($0)" } ?? ""))
      }
      guard reply.id == id else { continue }
      if let progress = reply.progress {
        onProgress(.init(title: title, tasks: progress.tasks, completed: progress.completed))
      }
      if reply.isLast {
        // A statement that ended before it could be stopped is not gone on from.
        guard deadline == nil || isCleaning else { throw Self.interrupted }
        return reply
      }
    }
  }

  private static let interrupted = SparkError(130, "interrupted; Spark was told to stop")

  private func send(_ request: [String: Value]) throws(SparkError) {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    guard var line = try? Array(encoder.encode(request)) else { return }
    line.append(0x0A)
    var sent = 0
    while sent < line.count {
      // SAFETY: the array has the bytes from `sent` on.
      let count = unsafe line.withUnsafeBytes { bytes in
        unsafe write(input, bytes.baseAddress.map { unsafe $0 + sent }, bytes.count - sent)
      }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw Self.gone }
      sent += count
    }
  }

  private static let gone = SparkError(
    69,
    "fastdp-spark ended without a word; run it by hand to see why, or build it with 'make spark'")

  /// The next line, or nil where none came for a moment.
  private func nextLine() throws(SparkError) -> [UInt8]? {
    if let end = buffer.firstIndex(of: 0x0A) {
      defer { buffer.removeSubrange(...end) }
      return Array(buffer[..<end])
    }
    var descriptor = pollfd(fd: output, events: Int16(POLLIN), revents: 0)
    // SAFETY: poll and read fill what they are lent.
    guard unsafe poll(&descriptor, 1, 100) > 0 else { return nil }
    var piece = [UInt8](repeating: 0, count: 1 << 16)
    let count = unsafe piece.withUnsafeMutableBytes {
      unsafe read(output, $0.baseAddress, $0.count)
    }
    if count < 0, errno == EINTR { return nil }
    guard count > 0 else { throw isStopped() ? Self.interrupted : Self.gone }
    buffer += piece[..<count]
    return nil
  }

  // MARK: - The process

  private static func start(_ path: String) throws(SparkError) -> (pid_t, Int32, Int32) {
    var toProgram: [Int32] = [0, 0]
    var fromProgram: [Int32] = [0, 0]
    guard unsafe pipe(&toProgram) == 0, unsafe pipe(&fromProgram) == 0 else {
      throw SparkError(74, "the system gives no pipe; close some files")
    }
    for descriptor in toProgram + fromProgram {
      _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    }
    #if canImport(Glibc)
    var actions = unsafe posix_spawn_file_actions_t()
    var attributes = posix_spawnattr_t()
    #else
    var actions: posix_spawn_file_actions_t?
    var attributes: posix_spawnattr_t?
    #endif
    // SAFETY: actions and attributes are made and ended here; the texts outlive the call.
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    unsafe posix_spawn_file_actions_adddup2(&actions, toProgram[0], 0)
    unsafe posix_spawn_file_actions_adddup2(&actions, fromProgram[1], 1)
    // Files, ledgers and pipes of this process are none of the program's; one that is not open is passed
    // over.
    for descriptor in 3..<openLimit {
      unsafe posix_spawn_file_actions_addclose(&actions, descriptor)
    }
    unsafe posix_spawnattr_init(&attributes)
    defer { unsafe posix_spawnattr_destroy(&attributes) }
    // A process group of its own: an interrupt from the terminal comes to it through this process.
    unsafe posix_spawnattr_setpgroup(&attributes, 0)
    var none = sigset_t()
    unsafe sigemptyset(&none)
    unsafe posix_spawnattr_setsigmask(&attributes, &none)
    var usual = sigset_t()
    unsafe sigemptyset(&usual)
    unsafe sigaddset(&usual, SIGPIPE)
    unsafe posix_spawnattr_setsigdefault(&attributes, &usual)
    unsafe posix_spawnattr_setflags(
      &attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
    var arguments = unsafe [strdup(path), nil]
    defer { unsafe free(arguments[0]) }
    var process: pid_t = 0
    var failure: Int32
    var attempts = 0
    // A program that was just put there may be open for writing in a process that is about to end.
    repeat {
      failure = unsafe posix_spawn(&process, path, &actions, &attributes, &arguments, environ)
      attempts += 1
      if failure == ETXTBSY { usleep(20_000) }
    } while failure == ETXTBSY && attempts < 100
    close(toProgram[0])
    close(fromProgram[1])
    guard failure == 0 else {
      close(toProgram[1])
      close(fromProgram[0])
      throw SparkError(
        69,
        "\(path): cannot be started: \(unsafe String(cString: strerror(failure))); build it with "
          + "'make spark'")
    }
    return (process, toProgram[1], fromProgram[0])
  }

  /// A number above all descriptors that are open now.
  private static var openLimit: Int32 {
    let names = try? FileManager.default.contentsOfDirectory(atPath: "/dev/fd")
    return (names ?? []).compactMap { Int32($0) }.reduce(255, max) + 1
  }

  /// Closes the program's input, which ends it, and waits; one that does not end is killed.
  private func end() {
    guard !isEnded else { return }
    isEnded = true
    close(input)
    close(output)
    let deadline = ContinuousClock.now + .seconds(20)
    var status: Int32 = 0
    while unsafe waitpid(process, &status, WNOHANG) == 0 {
      if ContinuousClock.now > deadline { kill(process, SIGKILL) }
      usleep(5000)
    }
  }
}
