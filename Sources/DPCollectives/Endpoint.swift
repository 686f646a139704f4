internal import CDPSystem

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// Where a rank can be called.
enum Endpoint: CustomStringConvertible {
  /// On a network, or on the loopback interface.
  case network(SocketAddress)
  /// On this machine, by a name that lives in memory.
  case name(String)

  var description: String {
    switch self {
    case .network(let address): "\(address)"
    case .name: "a socket of this host"
    }
  }

  /// Listens on a name of this machine.
  static func listen(byName name: String) throws(CollectiveError) -> Int32 {
    let listener = unsafe cdp_listen_by_name(name, name.utf8.count)
    guard listener < 0 else { return listener }
    guard errno == EADDRINUSE else {
      throw CollectiveError.ofSystem("cannot make a socket of this host")
    }
    throw CollectiveError(
      .invalidOption,
      "another process is rank 0 of this job already; give each process its own rank, and jobs that "
        + "run side by side their own FASTDP_MASTER")
  }
}

/// A connection that its caller has opened and both ends have authenticated.
struct Connection {
  let socket: Int32
  let keys: HandshakeKeys
  let sealer: RecordSealer
}

/// Calls another rank, again and again until it answers or time is up.
struct Caller {
  /// Where to call.
  let endpoint: Endpoint
  /// What to say of oneself.
  let claim: HandshakeClaim
  /// The group's secret; nil to be told it by a process of this user on this machine.
  let secret: GroupSecret?
  /// When to give up.
  let deadline: Deadline
  /// How long that is, for people.
  let timeout: Duration
  /// The group's health, which ends the calling; nil before there is a group.
  let watch: GroupWatch?

  /// Why a call failed.
  private enum Failure: Error {
    /// It may succeed later.
    case passing(String)
    /// It never will.
    case lasting(CollectiveError)
  }

  /// Calls until the other rank lets this one in.
  ///
  /// - Parameter greeting: Makes what to tell the other rank when it is known, from the socket.
  /// - Returns: The connection, and the secret that was used.
  /// - Throws: ``CollectiveError``: what will not pass, or what went wrong last when time was up.
  func call(
    greeting: (Int32) throws(CollectiveError) -> [UInt8] = { _ in [] }
  ) throws(CollectiveError) -> (Connection, GroupSecret) {
    var pause: Int64 = 5_000_000
    var last = "it did not answer"
    while deadline.left > 0 {
      try watch?.check()
      do throws(Failure) {
        return try attempt(greeting)
      } catch {
        switch error {
        case .passing(let why): last = why
        case .lasting(let error): throw error
        }
      }
      var none: [pollfd] = []
      SocketCalls.wait(for: &none, min(pause, deadline.left))
      pause = min(2 * pause, 300_000_000)
    }
    throw CollectiveError(
      .timeout,
      "rank \(claim.to) at \(endpoint) could not be reached within \(timeout.inWords) (\(last)); "
        + "see that it is started, that all ranks have the same address of rank 0, and that no "
        + "firewall is in between", peer: Int(claim.to))
  }

  private func attempt(
    _ greeting: (Int32) throws(CollectiveError) -> [UInt8]
  ) throws(Failure) -> (Connection, GroupSecret) {
    let socket = try open()
    do throws(Failure) {
      let secret = try secret(of: socket)
      return (try prove(socket, secret, greeting), secret)
    } catch {
      SocketCalls.close(socket)
      throw error
    }
  }

  private func open() throws(Failure) -> Int32 {
    switch endpoint {
    case .name(let name):
      let socket = unsafe cdp_connect_by_name(name, name.utf8.count)
      guard socket >= 0 else { throw .passing(reason(errno)) }
      SocketCalls.prepare(socket)
      guard Doorman.isOwnUser(socket) else {
        SocketCalls.close(socket)
        throw .lasting(
          CollectiveError(
            .refused,
            "rank \(claim.to)'s socket belongs to another user; set FASTDP_MASTER and "
              + "FASTDP_SECRET_FILE on all ranks", peer: Int(claim.to)))
      }
      return socket
    case .network(let address):
      let opened = try lasting { () throws(CollectiveError) in try address.connecting() }
      guard let socket = opened else { throw .passing(reason(errno)) }
      // A host that drops packets is called anew: it may have come up meanwhile.
      wait(socket, Int16(POLLOUT), atMost: 3_000_000_000)
      var failure: Int32 = 0
      var size = socklen_t(MemoryLayout<Int32>.size)
      // SAFETY: getsockopt fills the integer it is lent.
      unsafe getsockopt(socket, SOL_SOCKET, SO_ERROR, &failure, &size)
      // Where nobody listens at a port that the system also gives to callers, a socket may even
      // connect to itself.
      let peer = SocketAddress.peer(socket)
      guard failure == 0, let peer, "\(peer)" != SocketAddress.own(socket).map({ "\($0)" }) else {
        SocketCalls.close(socket)
        throw .passing(reason(failure != 0 ? failure : peer == nil ? ETIMEDOUT : ECONNREFUSED))
      }
      return socket
    }
  }

  /// Does something whose failure will not pass.
  private func lasting<Value>(
    _ body: () throws(CollectiveError) -> Value
  ) throws(Failure) -> Value {
    do throws(CollectiveError) {
      return try body()
    } catch {
      throw .lasting(error)
    }
  }

  private func reason(_ number: Int32) -> String { unsafe String(cString: strerror(number)) }

  private func wait(_ socket: Int32, _ events: Int16, atMost nanoseconds: Int64) {
    var polled = [pollfd(fd: socket, events: events, revents: 0)]
    SocketCalls.wait(for: &polled, min(nanoseconds, deadline.left))
  }

  private func secret(of socket: Int32) throws(Failure) -> GroupSecret {
    if let secret { return secret }
    var bytes = try read(socket, GroupSecret.byteCount)
    defer { bytes.erase() }
    return GroupSecret(bytes: bytes)
  }

  private func prove(
    _ socket: Int32, _ secret: GroupSecret,
    _ makeGreeting: (Int32) throws(CollectiveError) -> [UInt8]
  ) throws(Failure) -> Connection {
    let handshake = CallerHandshake(claim, secret)
    let greeting = try lasting { () throws(CollectiveError) in try makeGreeting(socket) }
    try write(socket, handshake.hello)
    let challenge = try read(socket, Handshake.challengeBytes)
    switch handshake.answer(challenge, greeting: greeting, "\(endpoint)") {
    case .refusal(let error): throw .lasting(error)
    case .proof(let proof, let keys, let sealer, let welcome):
      try write(socket, proof)
      guard welcome.isValid(try read(socket, Handshake.welcomeBytes)) else {
        throw .lasting(
          CollectiveError(
            .malformedFrame,
            "rank \(claim.to) at \(endpoint) let rank \(claim.from) in with other words than agreed; "
              + "somebody on the network has changed them", peer: Int(claim.to)))
      }
      return Connection(socket: socket, keys: keys, sealer: sealer)
    }
  }

  private func read(_ socket: Int32, _ count: Int) throws(Failure) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    var done = 0
    while done < count {
      let came = unsafe bytes.withUnsafeMutableBytes { buffer in
        guard let base = buffer.baseAddress else { return 0 }
        // SAFETY: what is read ends at the buffer's end.
        return unsafe recv(socket, base + done, count - done, 0)
      }
      if came > 0 {
        done += came
      } else if came < 0, SocketCalls.isTemporary(errno) {
        try requireTime()
        wait(socket, Int16(POLLIN), atMost: 100_000_000)
      } else {
        // What ends the call before it has said anything may be another program, or one that ends.
        throw .passing("it closed the connection")
      }
      if done >= 4, Array(bytes.prefix(3)) != Array("fDP".utf8), count > GroupSecret.byteCount {
        throw .lasting(
          CollectiveError(
            .refused,
            "what answers at \(endpoint) is not fastDP: another program has the port; "
              + "give all ranks another one", peer: Int(claim.to)))
      }
    }
    return bytes
  }

  private func write(_ socket: Int32, _ bytes: [UInt8]) throws(Failure) {
    var done = 0
    while done < bytes.count {
      let went = unsafe bytes.withUnsafeBytes { buffer in
        guard let base = buffer.baseAddress else { return 0 }
        // SAFETY: what is sent ends at the buffer's end.
        return unsafe SocketCalls.send(socket, base + done, buffer.count - done)
      }
      if went > 0 { done += went }
      guard went < 0 else { continue }
      guard SocketCalls.isTemporary(errno) else { throw .passing(reason(errno)) }
      try requireTime()
      wait(socket, Int16(POLLOUT), atMost: 100_000_000)
    }
  }

  private func requireTime() throws(Failure) {
    if let fault = watch?.fault { throw .lasting(fault) }
    guard deadline.left > 0 else { throw .passing("it answered nothing") }
  }
}

extension Duration {
  /// The duration for people: "30 s".
  var inWords: String {
    let milliseconds = nanoseconds / 1_000_000
    return milliseconds % 1000 == 0 ? "\(milliseconds / 1000) s" : "\(milliseconds) ms"
  }
}
