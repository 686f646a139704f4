internal import CDPSystem

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// An address of the internet protocols, version 4 or 6, and a port.
struct SocketAddress: CustomStringConvertible {
  private var storage = sockaddr_storage()
  private var length = socklen_t(MemoryLayout<sockaddr_storage>.size)

  private init() {}

  /// Finds a host; its first address.
  ///
  /// - Parameters:
  ///   - host: A name or a number.
  ///   - port: The port.
  ///   - numeric: Whether only a number will do.
  /// - Returns: The address.
  /// - Throws: ``CollectiveError`` of code `invalidOption` where there is no such host.
  static func find(
    _ host: String, port: UInt16, numeric: Bool = false
  ) throws(CollectiveError) -> SocketAddress {
    var hints = unsafe addrinfo()
    unsafe hints.ai_flags = numeric ? AI_NUMERICHOST : 0
    #if canImport(Glibc)
    unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    #else
    unsafe hints.ai_socktype = SOCK_STREAM
    #endif
    var list: UnsafeMutablePointer<addrinfo>?
    let failure = unsafe getaddrinfo(host, nil, &hints, &list)
    guard failure == 0, let first = unsafe list?.pointee, let found = unsafe first.ai_addr else {
      let why = unsafe failure == 0 ? "no address" : String(cString: gai_strerror(failure))
      throw CollectiveError(
        .invalidOption,
        "there is no host '\(host)' (\(why)); give a name that this host knows, or a number")
    }
    defer { unsafe freeaddrinfo(list) }
    var address = SocketAddress()
    address.length = unsafe first.ai_addrlen
    // SAFETY: an address of the internet protocols is not longer than the storage.
    unsafe withUnsafeMutableBytes(of: &address.storage) { bytes in
      unsafe bytes.copyMemory(
        from: UnsafeRawBufferPointer(start: found, count: Int(first.ai_addrlen)))
    }
    address.port = port
    return address
  }

  /// The same host, another port.
  func with(port: UInt16) -> SocketAddress {
    var other = self
    other.port = port
    return other
  }

  /// The address at this end of a connection.
  static func own(_ socket: Int32) -> SocketAddress? {
    unsafe asked { unsafe getsockname(socket, $0, $1) }
  }

  /// The address at the other end of a connection.
  static func peer(_ socket: Int32) -> SocketAddress? {
    unsafe asked { unsafe getpeername(socket, $0, $1) }
  }

  private static func asked(
    _ call: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
  ) -> SocketAddress? {
    var address = SocketAddress()
    var length = address.length
    // SAFETY: every address may be seen as the general one; the storage has room for all.
    let status = unsafe withUnsafeMutablePointer(to: &address.storage) { storage in
      unsafe storage.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe call($0, &length)
      }
    }
    address.length = length
    return status == 0 && address.isInternet ? address : nil
  }

  private var family: Int32 { Int32(storage.ss_family) }
  private var isInternet: Bool { family == AF_INET || family == AF_INET6 }

  /// The address's bytes behind the family: the port is in the first two.
  private func field(_ offset: Int, _ count: Int) -> [UInt8] {
    // SAFETY: the fields of both families end within the storage.
    unsafe withUnsafeBytes(of: storage) { unsafe Array($0[offset..<offset + count]) }
  }

  /// The port.
  var port: UInt16 {
    get { field(2, 2).reduce(0) { $0 << 8 | UInt16($1) } }
    set {
      unsafe withUnsafeMutableBytes(of: &storage) {
        unsafe $0[2] = UInt8(newValue >> 8)
        unsafe $0[3] = UInt8(newValue & 255)
      }
    }
  }

  private var numbers: [UInt8] { family == AF_INET ? field(4, 4) : field(8, 16) }

  /// Whether it never leaves the machine.
  var isLoopback: Bool {
    if family == AF_INET { return numbers[0] == 127 }
    let mapped = [UInt8](repeating: 0, count: 10) + [255, 255, 127]
    return numbers == [UInt8](repeating: 0, count: 15) + [1] || numbers.starts(with: mapped)
  }

  /// Whether it stands for all addresses of a host.
  var isAny: Bool { numbers.allSatisfy { $0 == 0 } }

  /// The host as a number, which ``find(_:port:numeric:)`` reads.
  var host: String {
    var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
    let status = unsafe called {
      unsafe getnameinfo($0, $1, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST)
    }
    guard status == 0 else { return "unknown host" }
    return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  /// Host and port.
  var description: String { family == AF_INET6 ? "[\(host)]:\(port)" : "\(host):\(port)" }

  private func called<Value>(_ call: (UnsafePointer<sockaddr>, socklen_t) -> Value) -> Value {
    // SAFETY: every address may be seen as the general one, with its own length.
    unsafe withUnsafePointer(to: storage) { storage in
      unsafe storage.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe call($0, length)
      }
    }
  }

  private func makeSocket() throws(CollectiveError) -> Int32 {
    #if canImport(Glibc)
    let made = socket(family, Int32(SOCK_STREAM.rawValue), 0)
    #else
    let made = socket(family, SOCK_STREAM, 0)
    #endif
    guard made >= 0 else { throw CollectiveError.ofSystem("cannot make a socket") }
    SocketCalls.prepare(made)
    // What suits a network of equals; the system's own choice may be made for the open internet.
    _ = unsafe cdp_set_congestion_control(made, "cubic")
    return made
  }

  /// Listens here.
  func listen() throws(CollectiveError) -> Int32 {
    let listener = try makeSocket()
    SocketCalls.set(listener, SOL_SOCKET, SO_REUSEADDR, 1)
    guard unsafe called({ unsafe bind(listener, $0, $1) }) == 0,
      SocketAddress.startListening(listener) == 0
    else {
      let reason = errno
      SocketCalls.close(listener)
      throw refusal(reason)
    }
    return listener
  }

  private static func startListening(_ listener: Int32) -> Int32 {
    #if canImport(Glibc)
    Glibc.listen(listener, 128)
    #else
    Darwin.listen(listener, 128)
    #endif
  }

  private func refusal(_ reason: Int32) -> CollectiveError {
    let why = unsafe String(cString: strerror(reason))
    let remedy =
      switch reason {
      case EADDRINUSE:
        "another program has the port, or another rank 0; give all ranks another one"
      case EADDRNOTAVAIL: "this host has no such address; give one of its own"
      case EACCES: "ports below 1024 are for the system; give all ranks a higher one"
      default: "give another address"
      }
    return CollectiveError(.invalidOption, "cannot listen at \(self): \(why); \(remedy)")
  }

  /// Begins to connect; nil, with errno set, where that fails at once.
  func connecting() throws(CollectiveError) -> Int32? {
    let caller = try makeSocket()
    #if canImport(Glibc)
    let status = unsafe called { unsafe Glibc.connect(caller, $0, $1) }
    #else
    let status = unsafe called { unsafe Darwin.connect(caller, $0, $1) }
    #endif
    if status == 0 || errno == EINPROGRESS { return caller }
    let reason = errno
    SocketCalls.close(caller)
    errno = reason
    return nil
  }
}
