internal import CDPSystem

#if canImport(Glibc)
package import Glibc
#else
package import Darwin
#endif

/// Messages over connected sockets, one for each peer: between hosts.
///
/// Sockets never block; the calling thread moves all bytes itself.
package final class TCPTransport: Transport {
  package let rank: Int
  package let ranks: Int
  package let policy: WaitPolicy
  package var watch: GroupWatch?
  private let sockets: [Int32]
  private let names: [String]
  private var polled: [pollfd] = []

  /// Joins peers by connected sockets, which this object closes at its end.
  ///
  /// - Parameters:
  ///   - rank: This rank.
  ///   - sockets: The socket to each rank; what is at this rank's own place is not looked at.
  ///   - names: The hosts of the ranks, for errors; nil to ask the sockets.
  ///   - absent: Peers that are reached in another way: they have no socket.
  ///   - policy: How to wait; nil for what suits this machine.
  /// - Throws: ``CollectiveError`` for a descriptor that is no socket.
  package init(
    rank: Int, sockets: [Int32], names: [String]? = nil, absent: Set<Int> = [],
    policy: WaitPolicy? = nil
  ) throws(CollectiveError) {
    self.rank = rank
    ranks = sockets.count
    self.sockets = sockets
    self.names = names ?? sockets.map(SocketMesh.peerName)
    let alike = WaitPolicy(ranksHere: sockets.count)
    // A look is a system call of about a third of a microsecond.
    self.policy = policy ?? WaitPolicy(looks: alike.looks / 5 + 1, yields: alike.yields)
    polled.reserveCapacity(2 * sockets.count)
    for (peer, socket) in sockets.enumerated() where peer != rank && !absent.contains(peer) {
      try TCPTransport.prepare(socket, peer)
    }
  }

  deinit {
    for (peer, socket) in sockets.enumerated() where peer != rank && socket >= 0 { close(socket) }
  }

  private static func prepare(_ socket: Int32, _ peer: Int) throws(CollectiveError) {
    let flags = fcntl(socket, F_GETFL)
    guard flags >= 0, fcntl(socket, F_SETFL, flags | O_NONBLOCK) == 0 else {
      throw CollectiveError.ofSystem("descriptor \(socket) is no connection to rank \(peer)")
    }
    set(socket, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
    #if !canImport(Glibc)
    set(socket, SOL_SOCKET, SO_NOSIGPIPE, 1)
    #endif
  }

  private static func set(_ socket: Int32, _ level: Int32, _ option: Int32, _ value: Int32) {
    var value = value
    // SAFETY: setsockopt reads the integer it is lent. A refusal costs speed alone.
    _ = unsafe setsockopt(
      socket, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
  }

  package func name(of peer: Int) -> String { names[peer] }

  package var ticket: UInt32 { 0 }

  package func send(
    _ parts: UnsafeMutableBufferPointer<iovec>, to peer: Int
  ) throws(CollectiveError) -> Int {
    var message = unsafe msghdr()
    unsafe message.msg_iov = parts.baseAddress
    unsafe message.msg_iovlen = .init(parts.count)
    #if canImport(Glibc)
    let flags = Int32(MSG_NOSIGNAL)
    #else
    let flags: Int32 = 0
    #endif
    // SAFETY: the parts stay alive through the call.
    let count = unsafe sendmsg(sockets[peer], &message, flags)
    return count >= 0 ? count : try nothing(peer)
  }

  package func receive(
    _ parts: UnsafeMutableBufferPointer<iovec>, from peer: Int
  ) throws(CollectiveError) -> Int {
    // SAFETY: the parts stay alive through the call and have room for what they say.
    let count = unsafe readv(sockets[peer], parts.baseAddress, Int32(parts.count))
    guard count != 0 else { throw lost(peer, "it closed the connection") }
    return count > 0 ? count : try nothing(peer)
  }

  /// 0 where a socket would have to wait.
  private func nothing(_ peer: Int) throws(CollectiveError) -> Int {
    guard errno != EAGAIN, errno != EWOULDBLOCK, errno != EINTR else { return 0 }
    throw lost(peer, unsafe String(cString: strerror(errno)))
  }

  private func lost(_ peer: Int, _ why: String) -> CollectiveError {
    CollectiveError(
      .peerLost, "rank \(peer) (\(names[peer])) is lost: \(why); see why it ended", peer: peer)
  }

  package func park(
    _ ticket: UInt32, sending: [Int], receiving: [Int], for nanoseconds: Int64
  ) throws(CollectiveError) {
    polled.removeAll(keepingCapacity: true)
    for peer in sending {
      polled.append(pollfd(fd: sockets[peer], events: Int16(POLLOUT), revents: 0))
    }
    for peer in receiving {
      polled.append(pollfd(fd: sockets[peer], events: Int16(POLLIN), revents: 0))
    }
    let milliseconds = Int32(clamping: (nanoseconds + 999_999) / 1_000_000)
    // SAFETY: poll fills the array it is lent, of the length that it is told.
    _ = unsafe poll(&polled, nfds_t(polled.count), milliseconds)
  }

  /// Nil: a connection says itself when its other end is gone.
  package func fault(of peer: Int, in operation: OperationMark) -> CollectiveError? { nil }

  package func abort() {
    for socket in sockets where socket >= 0 { shutdown(socket, Int32(SHUT_RDWR)) }
  }
}
