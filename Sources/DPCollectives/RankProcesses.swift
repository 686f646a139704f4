internal import CDPSystem

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// Starts the ranks of a group on this machine, each as a process of its own.
package enum RankProcesses {
  /// How ranks are linked.
  package enum Link: String, Sendable, CaseIterable {
    /// Memory that they share.
    case shm
    /// Connections on the loopback interface.
    case tcp
  }

  /// Starts ranks, which find their place in ``InheritedGroup/variable``, and waits for their end.
  ///
  /// - Parameters:
  ///   - ranks: How many.
  ///   - link: How they are linked.
  ///   - vectorBytes: Bytes that each rank may reserve in shared memory.
  ///   - command: The program and its arguments, the same for all.
  ///   - environment: Their environment variables.
  /// - Returns: The first status that is not 0, or 0. When a rank fails, the others are ended.
  /// - Throws: ``CollectiveError`` where the system refuses memory, sockets or processes.
  package static func run(
    ranks: Int, link: Link, vectorBytes: Int, command: [String], environment: [String: String]
  ) throws(CollectiveError) -> Int32 {
    switch link {
    case .shm:
      let layout = RegionLayout(ranks: ranks, vectorBytes: vectorBytes)
      let region = try SharedRegion.memoryFile(byteCount: layout.byteCount)
      guard let memory = region.descriptor else { return 0 }
      let places = (0..<ranks).map {
        InheritedGroup(
          rank: $0, link: .memory(descriptor: memory, ranks: ranks, vectorBytes: vectorBytes))
      }
      let started = try start(places, closing: { _ in [] }, command, environment)
      return withExtendedLifetime(region) { wait(for: started) }
    case .tcp:
      let mesh = try SocketMesh.loopback(ranks: ranks)
      let places = (0..<ranks).map {
        InheritedGroup(rank: $0, link: .sockets(mesh.sockets(of: $0)))
      }
      let started: [pid_t]
      do {
        // An end that another process keeps open would hide the death of a rank.
        defer { mesh.closeAll() }
        started = try start(
          places,
          closing: { rank in (0..<ranks).filter { $0 != rank }.flatMap(mesh.sockets(of:)) },
          command, environment)
      }
      return wait(for: started)
    }
  }

  /// Starts one command, found as a shell finds it, and waits for its end.
  ///
  /// - Parameters:
  ///   - command: The program and its arguments.
  ///   - environment: Its environment variables.
  /// - Returns: Its status.
  /// - Throws: ``CollectiveError`` where it cannot be started.
  package static func run(
    _ command: [String], environment: [String: String]
  ) throws(CollectiveError) -> Int32 {
    wait(for: [try spawn(command, environment.map { "\($0)=\($1)" }, closing: [])])
  }

  private static func start(
    _ places: [InheritedGroup], closing: (Int) -> [Int32], _ command: [String],
    _ environment: [String: String]
  ) throws(CollectiveError) -> [pid_t] {
    var started: [pid_t] = []
    for place in places {
      let variables = environment.merging([InheritedGroup.variable: "\(place)"]) { $1 }
      do {
        started.append(
          try spawn(command, variables.map { "\($0)=\($1)" }, closing: closing(place.rank)))
      } catch {
        end(started)
        throw error
      }
    }
    return started
  }

  private static func spawn(
    _ command: [String], _ environment: [String], closing: [Int32]
  ) throws(CollectiveError) -> pid_t {
    // SAFETY: both lists of C strings end with nil and are freed after the call, which copies them.
    let arguments = unsafe command.map { unsafe strdup($0) } + [nil]
    let variables = unsafe environment.map { unsafe strdup($0) } + [nil]
    defer {
      for index in unsafe arguments.indices { unsafe free(arguments[index]) }
      for index in unsafe variables.indices { unsafe free(variables[index]) }
    }
    #if canImport(Glibc)
    var actions = unsafe posix_spawn_file_actions_t()
    #else
    var actions: posix_spawn_file_actions_t?
    #endif
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    for descriptor in closing where descriptor >= 0 {
      unsafe posix_spawn_file_actions_addclose(&actions, descriptor)
    }
    var process: pid_t = 0
    let status = unsafe posix_spawnp(&process, command[0], &actions, nil, arguments, variables)
    guard status == 0 else {
      let reason = unsafe String(cString: strerror(status))
      throw CollectiveError(
        .unavailable, "cannot start \(command[0]): \(reason); see that it is installed")
    }
    return process
  }

  /// How long ranks have to end by themselves when another has failed.
  private static let patience = Duration.seconds(5)

  /// Waits for all, and ends the others when one has failed, by force those that do not end.
  private static func wait(for processes: [pid_t]) -> Int32 {
    var left = processes
    var first: Int32 = 0
    var deadline: Deadline?
    while !left.isEmpty {
      var status: Int32 = 0
      // SAFETY: waitpid fills the integer it is lent.
      let ended = unsafe waitpid(-1, &status, deadline == nil ? 0 : WNOHANG)
      if ended == 0, let deadline {
        if deadline.left <= 0 { for process in left { kill(process, SIGKILL) } }
        usleep(10_000)
        continue
      }
      guard ended > 0 || errno == EINTR else { break }
      guard let index = left.firstIndex(of: ended) else { continue }
      left.remove(at: index)
      let code = status & 0x7f == 0 ? status >> 8 & 0xff : 128 + status & 0x7f
      guard code != 0, first == 0 else { continue }
      first = code
      deadline = Deadline(after: patience)
      for process in left { kill(process, SIGTERM) }
    }
    return first
  }

  private static func end(_ processes: [pid_t]) {
    for process in processes {
      kill(process, SIGKILL)
      waitpid(process, nil, 0)
    }
  }

  /// Keeps this process on its share of the processors, so that ranks do not get into each other's
  /// way; does nothing where ranks outnumber processors.
  package static func keepToShare(rank: Int, ranks: Int) {
    _ = WaitPolicy.processors  // Counted before the share is taken.
    _ = cdp_keep_to_part(Int32(rank), Int32(ranks))
  }

  /// Has this process end when the one that started it does.
  package static func endWithParent() { _ = cdp_end_with_parent() }
}
