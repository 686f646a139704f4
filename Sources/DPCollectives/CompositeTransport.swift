#if canImport(Glibc)
package import Glibc
#else
package import Darwin
#endif

/// Messages through shared memory within a host, over connections between hosts.
package final class CompositeTransport: Transport {
  package let rank: Int
  package let ranks: Int
  package let policy: WaitPolicy
  private let local: RegionTransport
  private let remote: any Transport
  package var watch: GroupWatch?
  /// Each rank's number on this host; -1 for ranks of other hosts.
  private let places: [Int]

  /// How long a rank sleeps that waits for both kinds of peers: neither kind wakes it for the other.
  private static let mixedSleep: Int64 = 100_000

  /// Joins the ranks of all hosts.
  ///
  /// - Parameters:
  ///   - rank: This rank.
  ///   - hosts: The host of each rank, any numbers.
  ///   - region: Memory that the ranks of this rank's host share.
  ///   - layout: Where things lie in it, for as many ranks as the host has.
  ///   - sockets: The socket to each rank of another host, which this object closes at its end; what
  ///     is at the places of this host's ranks is not looked at.
  ///   - policy: How to wait; nil for what suits this machine.
  /// - Throws: ``CollectiveError`` for a descriptor that is no socket, or a layout for another number
  ///   of ranks than the host has.
  package convenience init(
    rank: Int, hosts: [Int], _ region: SharedRegion, _ layout: RegionLayout, sockets: [Int32],
    policy: WaitPolicy? = nil
  ) throws(CollectiveError) {
    let neighbours = hosts.indices.filter { hosts[$0] == hosts[rank] }
    let alike = WaitPolicy(ranksHere: neighbours.count)
    let policy = policy ?? WaitPolicy(looks: alike.looks / 5 + 1, yields: alike.yields)
    let remote = try TCPTransport(
      rank: rank,
      sockets: sockets.enumerated().map { neighbours.contains($0.offset) ? -1 : $0.element },
      absent: Set(neighbours), policy: policy)
    try self.init(rank: rank, hosts: hosts, region, layout, remote: remote)
  }

  /// Joins the ranks of all hosts.
  ///
  /// - Parameters:
  ///   - rank: This rank.
  ///   - hosts: The host of each rank, any numbers.
  ///   - region: Memory that the ranks of this rank's host share.
  ///   - layout: Where things lie in it, for as many ranks as the host has.
  ///   - remote: Reaches the ranks of other hosts.
  /// - Throws: ``CollectiveError`` for a layout for another number of ranks than the host has.
  init(
    rank: Int, hosts: [Int], _ region: SharedRegion, _ layout: RegionLayout,
    remote: any Transport
  ) throws(CollectiveError) {
    let neighbours = hosts.indices.filter { hosts[$0] == hosts[rank] }
    guard remote.ranks == hosts.count, layout.ranks == neighbours.count else {
      throw CollectiveError(
        .invalidOption,
        "\(hosts.count) ranks, \(neighbours.count) of them on this host, need as many sockets and "
          + "places in memory; there are \(remote.ranks) and \(layout.ranks)")
    }
    self.rank = rank
    ranks = hosts.count
    policy = remote.policy
    let places = hosts.indices.map { neighbours.firstIndex(of: $0) ?? -1 }
    self.places = places
    local = RegionTransport(
      region, layout, rank: places[rank], numbers: neighbours, policy: remote.policy)
    self.remote = remote
  }

  package func name(of peer: Int) -> String {
    places[peer] < 0 ? remote.name(of: peer) : local.name(of: places[peer])
  }

  package var ticket: UInt32 { local.ticket }

  package func send(
    _ parts: UnsafeMutableBufferPointer<iovec>, to peer: Int
  ) throws(CollectiveError) -> Int {
    places[peer] < 0
      ? try unsafe remote.send(parts, to: peer) : unsafe local.send(parts, to: places[peer])
  }

  package func receive(
    _ parts: UnsafeMutableBufferPointer<iovec>, from peer: Int
  ) throws(CollectiveError) -> Int {
    places[peer] < 0
      ? try unsafe remote.receive(parts, from: peer)
      : unsafe local.receive(parts, from: places[peer])
  }

  package func park(
    _ ticket: UInt32, sending: [Int], receiving: [Int], for nanoseconds: Int64
  ) throws(CollectiveError) {
    let isRemote = { (peer: Int) in self.places[peer] < 0 }
    if sending.allSatisfy(isRemote), receiving.allSatisfy(isRemote) {
      return try remote.park(
        ticket, sending: sending, receiving: receiving, for: nanoseconds)
    }
    let isMixed = sending.contains(where: isRemote) || receiving.contains(where: isRemote)
    local.park(
      ticket, sending: [], receiving: [],
      for: isMixed ? min(nanoseconds, CompositeTransport.mixedSleep) : nanoseconds)
  }

  package func fault(of peer: Int, in operation: OperationMark) -> CollectiveError? {
    places[peer] < 0
      ? remote.fault(of: peer, in: operation) : local.fault(of: places[peer], in: operation)
  }

  package func abort() {
    local.abort()
    remote.abort()
  }
}
