internal import CDPSystem

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// The second part of a rendezvous: ranks know of each other and connect what vectors travel on.
///
/// Signs of life and faults travel from here on, so that all ranks learn of one that fails.
struct Meeting {
  private let rendezvous: Rendezvous
  private let table: MemberTable
  private let plane: ControlPlane
  private let secret: GroupSecret
  /// Rank 0's address as this rank has reached it; nil on rank 0, and on one machine.
  private let peerOfZero: SocketAddress?

  init(
    _ rendezvous: Rendezvous, _ table: MemberTable, _ links: [ControlLink], _ secret: GroupSecret,
    peerOfZero: SocketAddress?
  ) throws(CollectiveError) {
    self.rendezvous = rendezvous
    self.table = table
    self.secret = secret
    self.peerOfZero = peerOfZero
    plane = try ControlPlane(
      rank: rendezvous.rank, names: table.names, links: links, watch: GroupWatch(),
      timeout: rendezvous.options.timeout)
  }

  private var rank: Int { rendezvous.rank }
  private var ranks: Int { rendezvous.ranks }
  private var watch: GroupWatch { plane.watch }

  /// Connects to all other ranks; closes the doors.
  func connect(_ doorman: inout Doorman) throws(CollectiveError) -> RankGroup {
    do throws(CollectiveError) {
      let communicator =
        table.transport == .shm ? try shareMemory(&doorman) : try connectSockets(&doorman)
      let group = RankGroup(
        plane, hosts: table.hostNames, generation: rendezvous.environment.generation,
        transport: table.transport, protection: table.protection, communicator: communicator)
      // Nobody computes before everybody is there.
      _ = try group.gather([])
      doorman.close()
      return group
    } catch {
      let verdict = watch.settle(error)
      plane.close(orderly: false)
      throw verdict
    }
  }

  /// Throws where the group has ended or time is up.
  private func requireTime(
    _ deadline: Deadline, _ peer: Int, _ what: String
  ) throws(CollectiveError) {
    try watch.check()
    guard deadline.left <= 0 else { return }
    throw CollectiveError(
      .timeout,
      "\(table.names[peer]) did not \(what) rank \(rank) in time; see what it does, or "
        + "allow more time", peer: peer)
  }

  /// A little longer than ranks were waited for: the last may just have come.
  private var deadline: Deadline {
    let left = max(0, rendezvous.deadline.left)
    return Deadline(after: .nanoseconds(max(left, rendezvous.options.timeout.nanoseconds / 2)))
  }

  private func isExpected(_ claim: HandshakeClaim, _ role: ConnectionRole) -> Bool {
    claim.role == role && claim.generation == rendezvous.environment.generation
      && claim.ranks == UInt32(ranks) && claim.to == UInt32(rank) && claim.from < claim.ranks
  }

  // MARK: Shared memory

  private func shareMemory(_ doorman: inout Doorman) throws(CollectiveError) -> Communicator {
    let layout = RegionLayout(ranks: ranks, vectorBytes: table.vectorBytes)
    let region = rank == 0 ? try giveMemory(layout) : try takeMemory(layout)
    if let descriptor = region.descriptor { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
    return Communicator(
      region, layout, rank: rank, generation: rendezvous.environment.generation,
      timeout: rendezvous.options.timeout, watch: watch)
  }

  private func giveMemory(_ layout: RegionLayout) throws(CollectiveError) -> SharedRegion {
    let region = try SharedRegion.memoryFile(byteCount: layout.byteCount)
    guard let descriptor = region.descriptor else { return region }
    let listener = try Endpoint.listen(byName: table.members[0].memoryName)
    var doorman = Doorman(
      [listener], rank: 0, ranks: ranks, generation: rendezvous.environment.generation,
      secret: secret, tells: false)
    defer { doorman.close() }
    var missing = Set(1..<ranks)
    let deadline = self.deadline
    while let first = missing.min() {
      try requireTime(deadline, first, "take shared memory from")
      for visitor in doorman.visitors() {
        let peer = Int(visitor.claim.from)
        if isExpected(visitor.claim, .memory), missing.contains(peer),
          cdp_send_descriptor(visitor.socket, descriptor) == 0
        {
          missing.remove(peer)
        }
        SocketCalls.close(visitor.socket)
      }
    }
    return region
  }

  private func takeMemory(_ layout: RegionLayout) throws(CollectiveError) -> SharedRegion {
    let caller = Caller(
      endpoint: .name(table.members[0].memoryName), claim: rendezvous.claim(.memory, to: 0),
      secret: secret, deadline: deadline, timeout: rendezvous.options.timeout, watch: watch)
    let (connection, _) = try caller.call()
    defer { SocketCalls.close(connection.socket) }
    let deadline = self.deadline
    while true {
      let descriptor = cdp_receive_descriptor(connection.socket)
      if descriptor >= 0 {
        return try SharedRegion.mapped(descriptor: descriptor, byteCount: layout.byteCount)
      }
      guard SocketCalls.isTemporary(errno) else {
        throw CollectiveError.ofSystem("\(table.names[0]) gave no shared memory", peer: 0)
      }
      try requireTime(deadline, 0, "give shared memory to")
      var polled = [pollfd(fd: connection.socket, events: Int16(POLLIN), revents: 0)]
      SocketCalls.wait(for: &polled, 100_000_000)
    }
  }

  // MARK: Connections

  private func connectSockets(_ doorman: inout Doorman) throws(CollectiveError) -> Communicator {
    var sockets = [Int32](repeating: -1, count: ranks)
    var keys = [ConnectionKeys?](repeating: nil, count: ranks)
    do throws(CollectiveError) {
      for peer in 0..<rank {
        let caller = Caller(
          endpoint: try endpoint(of: peer), claim: rendezvous.claim(.data, to: peer),
          // Who meets by name is told the secret there each time.
          secret: peer == 0 ? rendezvous.given : secret, deadline: deadline,
          timeout: rendezvous.options.timeout, watch: watch)
        let (connection, _) = try caller.call()
        sockets[peer] = connection.socket
        keys[peer] = connection.keys.data
      }
      try acceptHigher(&doorman, &sockets, &keys)
    } catch {
      for socket in sockets where socket >= 0 { SocketCalls.close(socket) }
      throw error
    }
    return try communicator(sockets, keys)
  }

  private func endpoint(of peer: Int) throws(CollectiveError) -> Endpoint {
    let member = table.members[peer]
    if member.address.isEmpty { return try endpointOfZero() }
    return .network(try .find(member.address, port: member.port, numeric: true))
  }

  /// Rank 0 is reached where it was reached before.
  private func endpointOfZero() throws(CollectiveError) -> Endpoint {
    if let peerOfZero { return .network(peerOfZero) }
    guard case .sameHost(let name) = rendezvous.environment.master else {
      throw CollectiveError(.system, "rank 0 has no address", peer: 0)
    }
    return .name(name)
  }

  private func acceptHigher(
    _ doorman: inout Doorman, _ sockets: inout [Int32], _ keys: inout [ConnectionKeys?]
  ) throws(CollectiveError) {
    let deadline = self.deadline
    while let missing = (rank + 1..<max(ranks, rank + 1)).first(where: { sockets[$0] < 0 }) {
      try requireTime(deadline, missing, "connect to")
      for visitor in doorman.visitors() {
        let peer = Int(visitor.claim.from)
        guard isExpected(visitor.claim, .data), peer > rank, sockets[peer] < 0 else {
          turnAway(visitor)
          continue
        }
        sockets[peer] = visitor.socket
        keys[peer] = visitor.keys.data
      }
    }
  }

  /// Somebody who knows the secret comes too late or a second time.
  private func turnAway(_ visitor: Visitor) {
    let peer = Int(visitor.claim.from)
    var link = ControlLink(
      peer: peer, socket: visitor.socket, sealer: RecordSealer(visitor.keys.control.sending),
      opener: visitor.opener)
    AttendanceList.refuse(
      &link,
      CollectiveError(
        .refused, "rank \(peer) is in the group already; give each process its own rank", peer: peer
      ))
  }

  private func communicator(
    _ sockets: [Int32], _ keys: [ConnectionKeys?]
  ) throws(CollectiveError) -> Communicator {
    let alike = WaitPolicy(
      ranksHere: table.hostIndices.count { $0 == table.hostIndices[rank] })
    // A look is a system call of about a third of a microsecond.
    let policy = WaitPolicy(looks: alike.looks / 5 + 1, yields: alike.yields)
    let transport: any Transport
    if table.protection == .encrypted {
      let sealed = try SealedTransport(
        rank: rank, sockets: sockets, keys: keys, names: table.hostNames, policy: policy)
      sealed.watch = watch
      transport = sealed
    } else {
      let plain = try TCPTransport(
        rank: rank, sockets: sockets, names: table.hostNames, policy: policy)
      plain.watch = watch
      transport = plain
    }
    return Communicator(
      transport, hosts: table.hostIndices, generation: rendezvous.environment.generation,
      timeout: rendezvous.options.timeout)
  }
}
