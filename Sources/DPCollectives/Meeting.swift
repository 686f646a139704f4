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
      let communicator = try connectVectors(&doorman)
      let group = RankGroup(
        plane, hosts: table.hostNames, generation: rendezvous.environment.generation,
        links: table.links, protection: table.protection, communicator: communicator)
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

  /// Ranks of this host, in order; the first gives memory to the others.
  private var neighbours: [Int] {
    table.hostIndices.indices.filter { table.hostIndices[$0] == table.hostIndices[rank] }
  }

  private func connectVectors(_ doorman: inout Doorman) throws(CollectiveError) -> Communicator {
    let generation = rendezvous.environment.generation
    guard table.links != .tcp else { return communicator(try connectSockets(&doorman)) }
    let layout = RegionLayout(ranks: neighbours.count, vectorBytes: vectorBytes)
    let region = rank == neighbours[0] ? try giveMemory(layout) : try takeMemory(layout)
    if let descriptor = region.descriptor { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
    guard table.links == .both else {
      return Communicator(
        region, layout, rank: rank, generation: generation, timeout: rendezvous.options.timeout,
        watch: watch)
    }
    let transport = try CompositeTransport(
      rank: rank, hosts: table.hostIndices, region, layout,
      remote: try connectSockets(&doorman))
    transport.watch = watch
    return communicator(transport)
  }

  /// Vectors that are summed by messages need not lie in shared memory.
  private var vectorBytes: Int { table.links == .shm ? table.vectorBytes : 0 }

  private func communicator(_ transport: any Transport) -> Communicator {
    Communicator(
      transport, hosts: table.hostIndices, generation: rendezvous.environment.generation,
      timeout: rendezvous.options.timeout)
  }

  private func giveMemory(_ layout: RegionLayout) throws(CollectiveError) -> SharedRegion {
    let region = try SharedRegion.memoryFile(byteCount: layout.byteCount)
    guard let descriptor = region.descriptor else { return region }
    let listener = try Endpoint.listen(byName: table.members[rank].memoryName)
    var doorman = Doorman(
      [listener], rank: rank, ranks: ranks, generation: rendezvous.environment.generation,
      secret: secret, tells: false)
    defer { doorman.close() }
    var missing = Set(neighbours.dropFirst())
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
    let giver = neighbours[0]
    let caller = Caller(
      endpoint: .name(table.members[giver].memoryName), claim: rendezvous.claim(.memory, to: giver),
      secret: secret, deadline: deadline, timeout: rendezvous.options.timeout, watch: watch)
    let (connection, _) = try caller.call()
    defer { SocketCalls.close(connection.socket) }
    let deadline = self.deadline
    while true {
      let descriptor = cdp_receive_descriptor(connection.socket)
      if descriptor >= 0 {
        return try map(descriptor, layout)
      }
      guard SocketCalls.isTemporary(errno) else {
        throw CollectiveError.ofSystem("\(table.names[giver]) gave no shared memory", peer: giver)
      }
      try requireTime(deadline, giver, "give shared memory to")
      var polled = [pollfd(fd: connection.socket, events: Int16(POLLIN), revents: 0)]
      SocketCalls.wait(for: &polled, 100_000_000)
    }
  }

  private func map(
    _ descriptor: Int32, _ layout: RegionLayout
  ) throws(CollectiveError) -> SharedRegion {
    do throws(CollectiveError) {
      return try SharedRegion.mapped(descriptor: descriptor, byteCount: layout.byteCount)
    } catch {
      SocketCalls.close(descriptor)
      throw error
    }
  }

  // MARK: Connections

  /// Ranks that are reached by connections.
  private var remote: [Int] {
    let here = table.links == .both ? Set(neighbours) : [rank]
    return (0..<ranks).filter { !here.contains($0) }
  }

  private func connectSockets(_ doorman: inout Doorman) throws(CollectiveError) -> any Transport {
    var sockets = [Int32](repeating: -1, count: ranks)
    var keys = [ConnectionKeys?](repeating: nil, count: ranks)
    do throws(CollectiveError) {
      for peer in remote where peer < rank {
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
    return try transport(sockets, keys)
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
    let higher = remote.filter { $0 > rank }
    while let missing = higher.first(where: { sockets[$0] < 0 }) {
      try requireTime(deadline, missing, "connect to")
      for visitor in doorman.visitors() {
        let peer = Int(visitor.claim.from)
        guard isExpected(visitor.claim, .data), higher.contains(peer), sockets[peer] < 0 else {
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

  private func transport(
    _ sockets: [Int32], _ keys: [ConnectionKeys?]
  ) throws(CollectiveError) -> any Transport {
    let alike = WaitPolicy(ranksHere: neighbours.count)
    // A look is a system call of about a third of a microsecond.
    let policy = WaitPolicy(looks: alike.looks / 5 + 1, yields: alike.yields)
    let absent = Set(0..<ranks).subtracting(remote)
    guard table.protection == .encrypted else {
      let plain = try TCPTransport(
        rank: rank, sockets: sockets, names: table.hostNames, absent: absent, policy: policy)
      plain.watch = watch
      return plain
    }
    let sealed = try SealedTransport(
      rank: rank, sockets: sockets, keys: keys, names: table.hostNames, absent: absent,
      policy: policy)
    sealed.watch = watch
    return sealed
  }
}
