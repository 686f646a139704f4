internal import CDPSystem

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// A group whose ranks are threads of this process: for tests of what runs on ranks.
///
/// All is as between processes, but for finding each other: connections, encryption of what is
/// exchanged, faults and deadlines.
public struct InProcessGroup: Sendable {
  /// How the ranks' vectors travel.
  public enum Link: String, Sendable, CaseIterable {
    /// Messages through memory.
    case memory
    /// Shared memory, as between processes of one host.
    case shm
    /// Connections on the loopback interface.
    case tcp
  }

  /// Ranks of the group.
  public let ranks: Int
  private let link: Link
  private let hosts: [Int]
  private let timeout: Duration
  private let generation: UInt32
  private let layout: RegionLayout
  private let region: SharedRegion?
  private let mesh: SocketMesh?
  private let control: [(own: Int32, other: Int32, keys: ConnectionKeys)]

  /// Connects ranks.
  ///
  /// - Parameters:
  ///   - ranks: How many.
  ///   - link: How their vectors travel.
  ///   - hosts: The host of each rank, for schedules that look at it; nil for one host.
  ///   - vectorBytes: Bytes of shared memory that each rank may reserve for vectors.
  ///   - generation: What the group says of itself.
  ///   - timeout: How long any wait may take.
  /// - Throws: ``CollectiveError`` where the system refuses memory or sockets.
  public init(
    ranks: Int, link: Link = .memory, hosts: [Int]? = nil, vectorBytes: Int = 1 << 24,
    generation: UInt32 = 0, timeout: Duration = .seconds(30)
  ) throws(CollectiveError) {
    self.ranks = ranks
    self.link = link
    self.hosts = hosts ?? Array(repeating: 0, count: ranks)
    self.timeout = timeout
    self.generation = generation
    layout = RegionLayout(ranks: ranks, vectorBytes: link == .shm ? vectorBytes : 0)
    region = link == .tcp ? nil : try SharedRegion.inProcess(byteCount: layout.byteCount)
    mesh = link == .tcp ? try SocketMesh.loopback(ranks: ranks) : nil
    var control: [(own: Int32, other: Int32, keys: ConnectionKeys)] = []
    for _ in 1..<max(1, ranks) {
      var pair: (Int32, Int32) = (-1, -1)
      let status = unsafe withUnsafeMutableBytes(of: &pair) { bytes in
        unsafe cdp_socket_pair(bytes.assumingMemoryBound(to: Int32.self).baseAddress)
      }
      guard status == 0 else { throw CollectiveError.ofSystem("cannot make a pair of sockets") }
      control.append((pair.0, pair.1, .random))
    }
    self.control = control
  }

  /// Takes a rank's place: once for each rank, in the thread that uses it.
  ///
  /// - Parameter rank: In 0..<ranks.
  /// - Returns: The rank's end of the group.
  /// - Throws: ``CollectiveError``.
  public func join(_ rank: Int) throws(CollectiveError) -> RankGroup {
    let watch = GroupWatch()
    let communicator = try communicator(rank, watch)
    let names = hosts.map { "host \($0)" }
    guard ranks > 1 else {
      return RankGroup(alone: communicator, host: names[0], generation: generation)
    }
    let links =
      rank == 0
      ? control.enumerated().map {
        ControlLink(peer: $0.offset + 1, socket: $0.element.own, keys: $0.element.keys)
      }
      : [
        ControlLink(
          peer: 0, socket: control[rank - 1].other, keys: control[rank - 1].keys.reversed)
      ]
    let plane = try ControlPlane(
      rank: rank, names: names.enumerated().map { "rank \($0.offset) (\($0.element))" },
      links: links, watch: watch, timeout: timeout)
    return RankGroup(
      plane, hosts: names, generation: generation, links: link == .tcp ? .tcp : .shm,
      protection: .thisHost, communicator: communicator)
  }

  private func communicator(
    _ rank: Int, _ watch: GroupWatch
  ) throws(CollectiveError) -> Communicator {
    if let mesh {
      let transport = try TCPTransport(rank: rank, sockets: mesh.sockets(of: rank))
      transport.watch = watch
      return Communicator(transport, hosts: hosts, generation: generation, timeout: timeout)
    }
    guard let region else { throw CollectiveError(.system, "the group has no memory") }
    guard link == .memory else {
      return Communicator(
        region, layout, rank: rank, generation: generation, timeout: timeout, watch: watch)
    }
    let transport = RegionTransport(region, layout, rank: rank)
    transport.watch = watch
    return Communicator(transport, hosts: hosts, generation: generation, timeout: timeout)
  }
}
