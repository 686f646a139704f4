internal import CDPSystem

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// A caller that has proved that it knows the group's secret.
struct Visitor {
  let socket: Int32
  let claim: HandshakeClaim
  let greeting: [UInt8]
  let keys: HandshakeKeys
  let opener: RecordOpener
  /// Where it calls from; nil on this machine.
  let address: SocketAddress?
}

/// Lets callers in that know the group's secret, and keeps others from doing harm.
///
/// All callers are heard side by side; each has two seconds and 4 KiB to prove itself, and when there
/// are more than 64 the oldest has to go.
struct Doorman {
  /// Callers that are heard at once.
  static let most = 64
  /// How long one may take.
  static let patience = Duration.seconds(2)

  private let rank: Int
  private let ranks: Int
  private let generation: UInt32
  private let secret: GroupSecret
  /// Whether callers are told the secret because the system vouches for their user.
  private let tells: Bool
  private var listeners: [Int32]
  private var callers: [Caller] = []
  private(set) var refusals: [String] = []

  private struct Caller {
    let socket: Int32
    let address: SocketAddress?
    let deadline: Deadline
    var handshake: CalledHandshake
    var outgoing: [UInt8]
    var isLast = false

    var name: String { address.map { "\($0.host)" } ?? "this host" }
    /// Why it may have gone after it was answered; nil where it has said nothing of weight.
    var whyGone: String? {
      handshake.claim.map {
        "rank \($0.from) broke off when it saw rank \($0.to)'s proof, as one with another secret does"
      }
    }
  }

  /// Opens doors.
  ///
  /// - Parameters:
  ///   - listeners: Sockets that listen, which the doorman closes.
  ///   - rank: The rank that is called.
  ///   - ranks: Ranks of its group.
  ///   - generation: Its group's.
  ///   - secret: Its group's.
  ///   - tells: Whether callers of this machine and user are told the secret.
  init(
    _ listeners: [Int32], rank: Int, ranks: Int, generation: UInt32, secret: GroupSecret,
    tells: Bool
  ) {
    self.listeners = listeners
    self.rank = rank
    self.ranks = ranks
    self.generation = generation
    self.secret = secret
    self.tells = tells
    for listener in listeners { SocketCalls.prepare(listener) }
  }

  /// Closes all doors, and sends away who still waits.
  mutating func close() {
    for socket in listeners + callers.map(\.socket) { SocketCalls.close(socket) }
    listeners = []
    callers = []
  }

  /// The callers that got in within a tenth of a second, or before; also watches other descriptors.
  mutating func visitors(alsoWatching others: [Int32] = []) -> [Visitor] {
    var polled = listeners.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    polled += callers.map {
      pollfd(
        fd: $0.socket, events: Int16($0.outgoing.isEmpty ? POLLIN : POLLOUT), revents: 0)
    }
    polled += others.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    SocketCalls.wait(for: &polled, 100_000_000)
    // Who has proved itself meanwhile is not to be pushed out by those who come now.
    let known = hear()
    for (index, listener) in listeners.enumerated() where polled[index].revents != 0 {
      admit(listener)
    }
    return known + hear()
  }

  private mutating func admit(_ listener: Int32) {
    for _ in 0..<Doorman.most {
      let socket = accept(listener, nil, nil)
      guard socket >= 0 else { return }
      SocketCalls.prepare(socket)
      let address = SocketAddress.peer(socket)
      if address == nil, !Doorman.isOwnUser(socket) {
        note("a caller of another user was sent away")
        SocketCalls.close(socket)
        continue
      }
      if callers.count >= Doorman.most { SocketCalls.close(callers.removeFirst().socket) }
      callers.append(
        Caller(
          socket: socket, address: address, deadline: Deadline(after: Doorman.patience),
          handshake: CalledHandshake(
            rank: rank, ranks: ranks, generation: generation, secret: secret),
          outgoing: address == nil && tells ? secret.bytes : []))
    }
  }

  /// Whether the process at the other end belongs to this process's user.
  static func isOwnUser(_ socket: Int32) -> Bool {
    var user: UInt32 = 0
    return unsafe cdp_peer_user(socket, &user) == 0 && user == geteuid()
  }

  private mutating func note(_ refusal: String) {
    if refusals.count < 8, !refusals.contains(refusal) { refusals.append(refusal) }
  }

  private mutating func hear() -> [Visitor] {
    var visitors: [Visitor] = []
    // In their place: what a copy of a caller held would not be erased with it.
    var index = 0
    while index < callers.count {
      switch hear(index) {
      case .stays:
        index += 1
        continue
      case .goes(let why):
        if let why { note("a caller from \(callers[index].name) was sent away: \(why)") }
        SocketCalls.close(callers[index].socket)
      case .enters(let visitor): visitors.append(visitor)
      }
      callers.remove(at: index)
    }
    return visitors
  }

  private enum Fate {
    case stays
    case goes(String?)
    case enters(Visitor)
  }

  private mutating func hear(_ index: Int) -> Fate {
    while true {
      guard Doorman.flush(&callers[index]) else { return .goes(nil) }
      guard callers[index].outgoing.isEmpty else { break }
      if callers[index].isLast { return .goes(nil) }
      guard let bytes = Doorman.read(callers[index]) else { return .goes(callers[index].whyGone) }
      if bytes.isEmpty { break }
      switch callers[index].handshake.take(bytes) {
      case .waiting: continue
      case .send(let answer): callers[index].outgoing = answer
      case .refused(let answer, let why):
        guard !answer.isEmpty else { return .goes(why) }
        callers[index].outgoing = answer
        callers[index].isLast = true
        guard Doorman.flush(&callers[index]), !callers[index].outgoing.isEmpty else {
          return .goes(why)
        }
      case .done(let claim, let greeting, let keys, let opener, let welcome):
        callers[index].outgoing = welcome.bytes
        guard Doorman.flush(&callers[index]), callers[index].outgoing.isEmpty else {
          return .goes(nil)
        }
        return .enters(
          Visitor(
            socket: callers[index].socket, claim: claim, greeting: greeting, keys: keys,
            opener: opener,
            address: callers[index].address))
      }
    }
    return callers[index].deadline.left > 0 ? .stays : .goes("it did not prove itself within 2 s")
  }

  /// What has come, at most as much as is wanted; nil where the caller is gone.
  private static func read(_ caller: Caller) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: caller.handshake.wanted)
    // SAFETY: recv fills the array it is lent, of the length that it is told.
    let count = unsafe recv(caller.socket, &bytes, bytes.count, 0)
    if count > 0 { return Array(bytes.prefix(count)) }
    return count < 0 && SocketCalls.isTemporary(errno) ? [] : nil
  }

  /// Sends what waits; false where the caller is gone.
  private static func flush(_ caller: inout Caller) -> Bool {
    guard !caller.outgoing.isEmpty else { return true }
    let count = unsafe caller.outgoing.withUnsafeBytes { bytes in
      guard let base = bytes.baseAddress else { return 0 }
      // SAFETY: the bytes are the array's.
      return unsafe SocketCalls.send(caller.socket, base, bytes.count)
    }
    guard count >= 0 else { return SocketCalls.isTemporary(errno) }
    // It may be the secret.
    if count == caller.outgoing.count { caller.outgoing.erase() }
    caller.outgoing.removeFirst(count)
    return true
  }
}
