internal import CDPSystem

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// Connections between all pairs of ranks of one machine, made by one process for those it starts.
///
/// Nobody else can get into them: each is accepted only from the port that this process connected
/// from, and the listening socket is gone when the mesh is made.
package struct SocketMesh: Sendable {
  private let table: [[Int32]]

  private init(_ table: [[Int32]]) { self.table = table }

  /// Closes a rank's sockets in this process.
  package func closeRank(_ rank: Int) {
    for socket in table[rank] where socket >= 0 { close(socket) }
  }

  /// Closes all sockets in this process: for who does not use them but gave them to others.
  package func closeAll() {
    for rank in table.indices { closeRank(rank) }
  }

  /// The sockets of a rank to all others; -1 at its own place.
  package func sockets(of rank: Int) -> [Int32] { table[rank] }

  /// Connects all pairs over the loopback interface.
  package static func loopback(ranks: Int) throws(CollectiveError) -> SocketMesh {
    var table = Array(repeating: Array(repeating: Int32(-1), count: ranks), count: ranks)
    do {
      for low in 0..<ranks {
        for high in low + 1..<max(ranks, low + 1) {
          (table[low][high], table[high][low]) = try connectedPair()
        }
      }
    } catch {
      SocketMesh(table).closeAll()
      throw error
    }
    return SocketMesh(table)
  }

  private static func connectedPair() throws(CollectiveError) -> (Int32, Int32) {
    let listener = try makeSocket()
    defer { close(listener) }
    var address = loopbackAddress()
    guard unsafe named(&address, { unsafe bind(listener, $0, $1) }) == 0, listen(listener, 1) == 0,
      unsafe ask(&address, { unsafe getsockname(listener, $0, &$1) }) == 0
    else { throw CollectiveError.ofSystem("cannot listen on the loopback interface") }
    let caller = try makeSocket()
    do {
      return (caller, try accepted(from: caller, by: listener, at: address))
    } catch {
      close(caller)
      throw error
    }
  }

  /// The other end of a socket that is connected to a listener.
  private static func accepted(
    from caller: Int32, by listener: Int32, at address: sockaddr_in
  ) throws(CollectiveError) -> Int32 {
    var address = address
    guard unsafe named(&address, { unsafe connect(caller, $0, $1) }) == 0 else {
      throw CollectiveError.ofSystem("cannot connect on the loopback interface")
    }
    var own = loopbackAddress()
    _ = unsafe ask(&own, { unsafe getsockname(caller, $0, &$1) })
    while true {
      var from = loopbackAddress()
      let accepted = unsafe ask(&from, { unsafe accept(listener, $0, &$1) })
      guard accepted >= 0 else { throw CollectiveError.ofSystem("cannot accept a connection") }
      if from.sin_port == own.sin_port { return accepted }
      close(accepted)
    }
  }

  private static func makeSocket() throws(CollectiveError) -> Int32 {
    #if canImport(Glibc)
    let made = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    #else
    let made = socket(AF_INET, SOCK_STREAM, 0)
    #endif
    guard made >= 0 else { throw CollectiveError.ofSystem("cannot make a socket") }
    // What suits a network of equals; the system's own choice may be made for the open internet.
    _ = unsafe cdp_set_congestion_control(made, "cubic")
    return made
  }

  private static func loopbackAddress() -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    return address
  }

  private static func named(
    _ address: inout sockaddr_in, _ call: (UnsafePointer<sockaddr>, socklen_t) -> Int32
  ) -> Int32 {
    // SAFETY: every address may be seen as the general one, with its own length.
    unsafe withUnsafePointer(to: &address) {
      unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe call($0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
  }

  private static func ask(
    _ address: inout sockaddr_in,
    _ call: (UnsafeMutablePointer<sockaddr>, inout socklen_t) -> Int32
  ) -> Int32 {
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    // SAFETY: every address may be seen as the general one, with its own length.
    return unsafe withUnsafeMutablePointer(to: &address) {
      unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe call($0, &length) }
    }
  }

  /// The address at the other end of a socket, for people.
  static func peerName(_ socket: Int32) -> String {
    var address = sockaddr_in()
    guard socket >= 0, unsafe ask(&address, { unsafe getpeername(socket, $0, &$1) }) == 0,
      Int32(address.sin_family) == AF_INET
    else { return "unknown host" }
    let number = UInt32(bigEndian: address.sin_addr.s_addr)
    return (0..<4).map { "\(number >> (24 - 8 * UInt32($0)) & 255)" }.joined(separator: ".")
  }
}
