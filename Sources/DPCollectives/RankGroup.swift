/// How what travels between ranks is protected.
public enum TrafficProtection: String, Sendable, CaseIterable {
  /// Nothing leaves the machine: shared memory, or the loopback interface.
  case thisHost = "this host"
  /// Encrypted and authenticated, AES-256-GCM under keys of each connection.
  case encrypted
  /// In clear, as was asked for: sums without noise can be read on the network.
  case unencrypted

  /// How vectors are protected that ranks exchange.
  ///
  /// A caller on the loopback interface may be a relay or a tunnel that another host's rank came
  /// through, so ranks have to say besides, each over its sealed connection, that they are on one host.
  ///
  /// | ranks | protection |
  /// |---|---|
  /// | share their memory | ``thisHost`` |
  /// | are on one host, and all have called on the loopback interface | ``thisHost`` |
  /// | are anywhere else | ``encrypted``, or ``unencrypted`` where that is accepted |
  init(_ links: GroupLinks, oneHost: Bool, loopback: Bool, acceptsUnencrypted: Bool) {
    self =
      links == .shm || (oneHost && loopback)
      ? .thisHost : acceptsUnencrypted ? .unencrypted : .encrypted
  }
}

/// How ranks of a group exchange vectors.
public enum GroupLinks: String, Sendable, CaseIterable {
  /// Memory that all ranks share.
  case shm
  /// Connections between all ranks.
  case tcp
  /// Shared memory within hosts, connections between them.
  case both = "shm and tcp"
}

/// How ranks are to exchange vectors.
public enum GroupTransport: String, Sendable, CaseIterable {
  /// Shared memory within hosts, connections between them.
  case auto
  /// Shared memory: all ranks are on one host.
  case shm
  /// Connections, also within hosts.
  case tcp
}

/// Ranks that have found each other, know that they are who they say, and end together.
///
/// Every call that exchanges something is made by all ranks in the same order; each has a deadline.
/// When a rank fails, ends or is silent, all others' calls, those of the communicator included, throw
/// one ``CollectiveError`` that names it: within a tenth of a second of a process's end, within the
/// timeout of a process's halt.
///
/// One thread of a rank uses the group at a time.
public final class RankGroup {
  /// This rank, in 0..<ranks.
  public let rank: Int
  /// Ranks of the group.
  public let ranks: Int
  /// The name of the host of each rank.
  public let hosts: [String]
  /// How often the group was started anew; 0 at first.
  public let generation: UInt32
  /// How vectors travel.
  public let links: GroupLinks
  /// How what travels is protected.
  public let trafficProtection: TrafficProtection
  /// What sums vectors over the ranks.
  public let communicator: Communicator

  private let watch: GroupWatch
  private let plane: ControlPlane?
  private var exchanges = 0
  private var isOpen = true

  /// A group of one.
  init(alone communicator: Communicator, host: String, generation: UInt32) {
    rank = 0
    ranks = 1
    hosts = [host]
    self.generation = generation
    links = .shm
    trafficProtection = .thisHost
    self.communicator = communicator
    watch = GroupWatch()
    plane = nil
  }

  /// Ranks that are connected.
  init(
    _ plane: ControlPlane, hosts: [String], generation: UInt32, links: GroupLinks,
    protection: TrafficProtection, communicator: Communicator
  ) {
    rank = plane.rank
    ranks = plane.names.count
    self.hosts = hosts
    self.generation = generation
    self.links = links
    trafficProtection = protection
    self.communicator = communicator
    watch = plane.watch
    self.plane = plane
  }

  /// A group that is forgotten without ``close()`` has failed: other ranks are told so.
  deinit { plane?.close(orderly: false) }

  /// The name of a rank for people: "rank 2 (hostname)".
  ///
  /// - Parameter rank: Any rank of the group.
  /// - Returns: Its number and host.
  public func name(of rank: Int) -> String { "rank \(rank) (\(hosts[rank]))" }

  /// Gives every rank the bytes of all ranks.
  ///
  /// - Parameter bytes: This rank's, of any length; at most 64 MiB over all ranks.
  /// - Returns: The bytes of rank 0, of rank 1, and so on.
  /// - Throws: ``CollectiveError``.
  public func gather(_ bytes: [UInt8]) throws(CollectiveError) -> [[UInt8]] {
    try exchange("gather", bytes)
  }

  private func exchange(
    _ what: String, _ bytes: [UInt8]
  ) throws(CollectiveError) -> [[UInt8]] {
    exchanges += 1
    guard let plane else { return [bytes] }
    try watch.check()
    let name = "\(what) \(exchanges)"
    guard rank == 0 else {
      plane.send(bytes, to: 0)
      return try parts(plane.receive(from: 0, name))
    }
    var all = [bytes]
    for peer in 1..<ranks { all.append(try plane.receive(from: peer, name)) }
    var writer = ByteWriter()
    for part in all { writer.block(part) }
    guard writer.bytes.count < ControlLink.limit / 2 else {
      let error = CollectiveError(
        .invalidOption, "\(name) is of \(writer.bytes.count) bytes, which is too much")
      plane.report(error)
      throw error
    }
    for peer in 1..<ranks { plane.send(writer.bytes, to: peer) }
    return all
  }

  private func parts(_ bytes: [UInt8]) throws(CollectiveError) -> [[UInt8]] {
    var reader = ByteReader(bytes)
    let parts = (0..<ranks).compactMap { _ in reader.block() }
    guard parts.count == ranks, reader.isAtEnd else {
      let error = CollectiveError(
        .mismatch,
        "\(name(of: 0)) answered another question than rank \(rank) has asked; all "
          + "ranks must call the same operations in the same order", peer: 0)
      plane?.report(error)
      throw error
    }
    return parts
  }

  /// Sees that facts are the same on all ranks, before anything relies on it.
  ///
  /// - Parameter facts: Names and values; values are shown to people where they differ.
  /// - Throws: ``CollectiveError`` of code `mismatch`, on every rank the same: the first rank that
  ///   differs from rank 0, its host, the fact and both values.
  public func agree(on facts: [String: String]) throws(CollectiveError) {
    var writer = ByteWriter()
    for (name, value) in facts.sorted(by: { $0.key < $1.key }) {
      writer.text(name)
      writer.text(value)
    }
    let all = try exchange("agreement", writer.bytes).map(RankGroup.facts)
    for peer in 1..<max(1, ranks) {
      for name in Set(all[0].keys).union(all[peer].keys).sorted()
      where all[0][name] != all[peer][name] {
        throw CollectiveError(
          .mismatch,
          "\(self.name(of: peer)) has \(name) \(RankGroup.shown(all[peer][name])), "
            + "\(self.name(of: 0)) has \(RankGroup.shown(all[0][name])); start all ranks alike",
          peer: peer)
      }
    }
  }

  private static func shown(_ value: String?) -> String { value.map { "'\($0)'" } ?? "none" }

  private static func facts(_ bytes: [UInt8]) -> [String: String] {
    var reader = ByteReader(bytes)
    var facts: [String: String] = [:]
    while let name = reader.text(), let value = reader.text() { facts[name] = value }
    return facts
  }

  /// Gives every rank rank 0's secret bytes, encrypted on their way whatever the network.
  ///
  /// - Parameter secret: The bytes at rank 0; replaced elsewhere, by as many as rank 0 has. The
  ///   caller erases them; no other copy is kept.
  /// - Throws: ``CollectiveError``.
  public func broadcastSecret(_ secret: inout [UInt8]) throws(CollectiveError) {
    exchanges += 1
    guard let plane else { return }
    try watch.check()
    guard rank == 0 else {
      secret.erase()
      secret = try plane.receive(from: 0, "broadcast of a secret \(exchanges)")
      return
    }
    for peer in 1..<ranks { plane.send(secret, to: peer) }
  }

  /// The same ranks over the system's Open MPI, which mpirun has started them with.
  ///
  /// MPI knows no encryption, so ranks on several hosts are refused it unless the group was told to
  /// accept traffic in clear. Its waits end with the group, and at the timeout, but for its start and
  /// end, which ``onUnheededFault(after:_:)`` is for; it is left by ``leaveMPI(_:)``, and otherwise by the
  /// end of the process, for which mpirun ends all.
  ///
  /// - Returns: This rank's communicator.
  /// - Throws: ``CollectiveError`` where there is no Open MPI, where it counts ranks otherwise, or
  ///   where its traffic would be read.
  public func communicatorOverMPI() throws(CollectiveError) -> Communicator {
    let places = communicator.hosts
    guard Set(places).count == 1 || trafficProtection == .unencrypted else {
      throw CollectiveError(
        .invalidOption,
        "MPI encrypts nothing, and ranks are on several hosts, between which sums without noise would "
          + "travel in clear; use --collectives native, or accept it with --accept-unencrypted-traffic"
      )
    }
    // MPI's start has no deadline, so ranks come to it together.
    _ = try exchange("start of MPI", [])
    let group = try MPIGroup(leavesAtEnd: false)
    guard group.rank == rank, group.ranks == ranks else {
      throw CollectiveError(
        .invalidOption,
        "MPI says that this is rank \(group.rank) of \(group.ranks), and it is rank \(rank) of "
          + "\(ranks); start all ranks by Open MPI's mpirun, or use --collectives native")
    }
    return Communicator(group, hosts: places, timeout: communicator.timeout, watch: watch)
  }

  /// Leaves MPI when the work is done, with all other ranks.
  ///
  /// - Parameter sums: What ``communicatorOverMPI()`` returned.
  /// - Throws: ``CollectiveError`` where another rank does not come to its end.
  public func leaveMPI(_ sums: Communicator) throws(CollectiveError) {
    _ = try exchange("end of MPI", [])
    sums.leaveMPI()
  }

  /// Has something done where the group fails and this process does not notice.
  ///
  /// Calls of the group and its communicator throw the group's fault at once. A process that is stuck
  /// elsewhere, in a file that does not open or in MPI's own start, would stay behind.
  ///
  /// - Parameters:
  ///   - time: How long after the fault, if the group was not closed or forgotten by then.
  ///   - end: What to do, on a thread of its own, more than once if it returns: end the process.
  public func onUnheededFault(
    after time: Duration = .seconds(5), _ end: @escaping @Sendable (CollectiveError) -> Void
  ) {
    plane?.onUnheededFault(after: time, end)
  }

  /// What has ended the group, as any rank has seen it; nil while it is well.
  ///
  /// For loops that do not call the communicator for long.
  public var fault: CollectiveError? { watch.fault }

  /// Ends the group on all ranks for a reason of this rank's own, as far as they can be told.
  ///
  /// - Parameter reason: One line for people; the rank and its host are put before it.
  public func abort(_ reason: String) {
    guard let plane, isOpen, watch.fault == nil else { return }
    plane.report(
      CollectiveError(.aborted, "\(name(of: rank)) has ended the run: \(reason)", peer: rank))
    isOpen = false
    plane.close(orderly: false)
  }

  /// Leaves the group when the work is done.
  ///
  /// Ranks that still need this one are told that it has left when they wait for it.
  public func close() {
    guard isOpen else { return }
    isOpen = false
    plane?.close(orderly: watch.fault == nil)
  }
}
