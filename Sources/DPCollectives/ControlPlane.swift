internal import CDPSystem

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// Connections between rank 0 and all others, beside those that vectors travel on.
///
/// A thread of its own sends signs of life, notices ranks that are dead, stopped or cut off, and tells
/// all ranks the first fault. Exchanges between all ranks, such as of keys, go here too. Everything
/// is encrypted, whatever the network.
final class ControlPlane: @unchecked Sendable {
  // Sendable: what changes, changes with the monitor's lock.
  /// This rank.
  let rank: Int
  /// Names of all ranks for people: "rank 2 (hostname)".
  let names: [String]
  /// What is known of the group's health.
  let watch: GroupWatch
  private let monitor = Monitor()
  private var links: [ControlLink]
  private var isEnding = false
  /// Whom rank 0 waits for in an exchange, and in which.
  private var awaited: (peer: Int, what: String)?
  /// What to do about a fault that the rest of this process does not notice, and when.
  private var unheeded: (after: Duration, end: @Sendable (CollectiveError) -> Void)?
  private var thread: HelperThread?
  private let timeout: Duration
  private let wakeUp: (read: Int32, write: Int32)
  private var nextHeartbeat: Int64 = 0

  /// Takes over connections: rank 0's to all others, others' to rank 0.
  init(
    rank: Int, names: [String], links: [ControlLink], watch: GroupWatch, timeout: Duration
  ) throws(CollectiveError) {
    self.rank = rank
    self.names = names
    self.links = links
    self.watch = watch
    self.timeout = timeout
    var pair: (Int32, Int32) = (-1, -1)
    let status = unsafe withUnsafeMutableBytes(of: &pair) { bytes in
      unsafe cdp_socket_pair(bytes.assumingMemoryBound(to: Int32.self).baseAddress)
    }
    guard status == 0 else { throw CollectiveError.ofSystem("cannot make a pair of sockets") }
    wakeUp = (pair.0, pair.1)
    for socket in [pair.0, pair.1] + links.map(\.socket) { SocketCalls.prepare(socket) }
    for index in self.links.indices { self.links[index].heard = Deadline.now }
    watch.onError { [weak self] in self?.report($0) }
    thread = try HelperThread { [self] in live() }
  }

  /// Says farewell, where the group is well, and closes all connections.
  func close(orderly: Bool) {
    watch.onError(nil)
    let thread = monitor.locked {
      isEnding = true
      if orderly { for index in links.indices { links[index].post(.farewell) } }
      defer { self.thread = nil }
      return self.thread
    }
    guard let thread else { return }
    wake()
    thread.join()
    SocketCalls.close(wakeUp.read)
    SocketCalls.close(wakeUp.write)
  }

  /// Has something done about a fault of the group that this process has not ended for after so long.
  func onUnheededFault(after time: Duration, _ end: @escaping @Sendable (CollectiveError) -> Void) {
    monitor.locked { unheeded = (time, end) }
  }

  private func wake() {
    var byte: UInt8 = 1
    // SAFETY: one byte is read from the variable.
    _ = unsafe SocketCalls.send(wakeUp.write, &byte, 1)
  }

  // MARK: Faults

  /// Tells the group of an error of this rank.
  func report(_ error: CollectiveError) {
    if rank == 0 { return end(error, watch.progress) }
    monitor.locked {
      for index in links.indices { links[index].post(.fault(error, watch.progress)) }
    }
    wake()
  }

  /// Ends the group for a fault that one rank has seen; on rank 0, without the lock.
  private func end(_ error: CollectiveError, _ progress: GroupProgress) {
    monitor.locked { endLocked(error, progress) }
    wake()
  }

  private func endLocked(_ error: CollectiveError, _ progress: GroupProgress) {
    let verdict = culprit(error, progress)
    guard watch.fail(verdict) else { return }
    monitor.announce()
    guard rank == 0 else { return }
    for index in links.indices { links[index].post(.fault(verdict, watch.progress)) }
  }

  /// Blames a rank that has not come as far as the one that waited in vain.
  private func culprit(_ error: CollectiveError, _ progress: GroupProgress) -> CollectiveError {
    guard rank == 0, error.code == .timeout else { return error }
    // Who waits for rank 0 in an exchange may wait for whom rank 0 waits for.
    if error.peer == 0, let awaited {
      return CollectiveError(
        .timeout,
        "\(names[awaited.peer]) has not come to \(awaited.what), in which others waited until their "
          + "time was up; see what it does, or allow more time", peer: awaited.peer)
    }
    let others = [(rank, watch.progress)] + links.map { ($0.peer, $0.progress) }
    guard let last = others.min(by: { $0.1 < $1.1 }), last.1 < progress else { return error }
    return CollectiveError(
      .timeout,
      "\(names[last.0]) has come to \(last.1.name) only, while others waited in "
        + "\(progress.name) until their time was up; see what it does, or allow more time",
      peer: last.0)
  }

  // MARK: Exchanges

  /// Sends a part of an exchange to a peer.
  func send(_ content: [UInt8], to peer: Int) {
    monitor.locked {
      guard let index = links.firstIndex(where: { $0.peer == peer }) else { return }
      links[index].post(.exchange(content))
    }
    wake()
  }

  /// Waits for a peer's part of an exchange.
  func receive(from peer: Int, _ what: String) throws(CollectiveError) -> [UInt8] {
    do throws(CollectiveError) {
      return try part(of: peer, what, Deadline(after: timeout))
    } catch {
      throw watch.settle(error)
    }
  }

  private func part(
    of peer: Int, _ what: String, _ deadline: Deadline
  ) throws(CollectiveError) -> [UInt8] {
    try monitor.locked { () throws(CollectiveError) in
      guard let index = links.firstIndex(where: { $0.peer == peer }) else { return [] }
      awaited = (peer, what)
      defer { awaited = nil }
      while links[index].inbox.isEmpty {
        try watch.check()
        guard !links[index].isClosed else {
          throw CollectiveError(
            .peerLost, "\(names[peer]) has left the group, and is missing in \(what)", peer: peer)
        }
        guard deadline.left > 0 else {
          throw CollectiveError(
            .timeout,
            "\(names[peer]) did not answer rank \(rank) in \(what) in time; see what it "
              + "does, or allow more time", peer: peer)
        }
        monitor.wait(until: deadline)
      }
      return links[index].inbox.removeFirst()
    }
  }

  // MARK: The thread

  private var heartbeat: Int64 { max(1, min(500_000_000, timeout.nanoseconds / 8)) }
  /// Silence after which a peer counts as stopped: before waits for it end.
  private var longestSilence: Int64 { timeout.nanoseconds / 4 * 3 }

  private func live() {
    let lastMoment = { Deadline(after: .seconds(1)) }
    var end: Deadline?
    var patience: Deadline?
    while true {
      var polled = monitor.locked { descriptors }
      SocketCalls.wait(for: &polled, heartbeat)
      let isDone = monitor.locked {
        drainWakeUp()
        work()
        guard isEnding else { return false }
        let deadline = end ?? lastMoment()
        end = deadline
        return deadline.left <= 0 || !links.contains { $0.isPending && !$0.isClosed }
      }
      if isDone { break }
      endUnheeded(&patience)
    }
    monitor.locked {
      for index in links.indices {
        links[index].isClosed = true
        SocketCalls.close(links[index].socket)
      }
      monitor.announce()
    }
  }

  /// Ends a process that has something else to do than to notice the group's fault.
  private func endUnheeded(_ patience: inout Deadline?) {
    guard let fault = watch.fault, let unheeded = monitor.locked({ isEnding ? nil : unheeded })
    else { return }
    let deadline = patience ?? Deadline(after: unheeded.after)
    patience = deadline
    if deadline.left <= 0 { unheeded.end(fault) }
  }

  private var descriptors: [pollfd] {
    [pollfd(fd: wakeUp.read, events: Int16(POLLIN), revents: 0)]
      + links.filter { !$0.isClosed }.map {
        pollfd(
          fd: $0.socket, events: Int16($0.isPending ? POLLIN | POLLOUT : POLLIN), revents: 0)
      }
  }

  private func drainWakeUp() {
    var bytes: (UInt64, UInt64) = (0, 0)
    // SAFETY: at most 16 bytes are written to the variable.
    while unsafe recv(wakeUp.read, &bytes, 16, 0) > 0 {}
  }

  private func work() {
    if Deadline.now >= nextHeartbeat {
      nextHeartbeat = Deadline.now + heartbeat
      for index in links.indices where !links[index].isClosed && !links[index].isPending {
        links[index].post(.heartbeat(watch.progress))
      }
    }
    for index in links.indices where !links[index].isClosed {
      let messages = links[index].receive()
      for message in messages ?? [] { take(message, index) }
      if messages == nil { distrust(index) }
      links[index].flush()
      if links[index].isClosed { mourn(index) } else { listen(index) }
    }
  }

  private func take(_ message: ControlMessage, _ index: Int) {
    switch message {
    case .heartbeat(let progress): links[index].progress = progress
    case .exchange(let content):
      links[index].inbox.append(content)
      monitor.announce()
    case .fault(let error, let progress): endLocked(error, progress)
    case .farewell: links[index].hasLeft = true
    }
  }

  private func distrust(_ index: Int) {
    let peer = links[index].peer
    links[index].isClosed = true
    endLocked(.notSealed(names[peer], peer: peer), watch.progress)
  }

  /// A connection has ended: in order, or with its process.
  private func mourn(_ index: Int) {
    monitor.announce()
    guard !links[index].hasLeft, !isEnding else { return }
    let peer = links[index].peer
    endLocked(
      CollectiveError(
        .peerLost,
        "\(names[peer]) is lost in \(watch.progress.name): its process has ended or its "
          + "connection is cut; see what it said last", peer: peer), watch.progress)
  }

  /// Notices a peer that says nothing any more.
  private func listen(_ index: Int) {
    guard !links[index].hasLeft, !isEnding,
      Deadline.now - links[index].heard > longestSilence
    else { return }
    let peer = links[index].peer
    endLocked(
      CollectiveError(
        .timeout,
        "\(names[peer]) gave no sign of life for \(longestSilence / 1_000_000) ms in "
          + "\(watch.progress.name): it is stopped, or its host is cut off", peer: peer),
      GroupProgress(word: 0))
  }
}
