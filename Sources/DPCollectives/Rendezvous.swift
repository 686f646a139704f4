internal import CDPSystem

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

extension RankGroup {
  /// Finds the other ranks of a group, proves to each that this process is one, and connects.
  ///
  /// - Parameters:
  ///   - environment: This process's place.
  ///   - options: How to wait and what to use; the same on all ranks.
  /// - Returns: The group, when all ranks are in it.
  /// - Throws: ``CollectiveError``, within the timeout: which ranks are missing, come twice, or do not
  ///   know the secret; on ranks that have joined already, what rank 0 says of it.
  public static func join(
    _ environment: LaunchEnvironment, options: RendezvousOptions = RendezvousOptions()
  ) throws(CollectiveError) -> RankGroup {
    guard environment.ranks > 1 else { return try alone(environment, options) }
    let rendezvous = try Rendezvous(environment, options)
    return environment.rank == 0 ? try rendezvous.lead() : try rendezvous.follow()
  }

  private static func alone(
    _ environment: LaunchEnvironment, _ options: RendezvousOptions
  ) throws(CollectiveError) -> RankGroup {
    let layout = RegionLayout(ranks: 1, vectorBytes: options.vectorBytes)
    let region = try SharedRegion.inProcess(byteCount: layout.byteCount)
    let communicator = Communicator(
      region, layout, rank: 0, generation: environment.generation, timeout: options.timeout)
    return RankGroup(
      alone: communicator, host: HostIdentity.name, generation: environment.generation)
  }
}

/// How the ranks of a job find each other: all call rank 0, which tells all of all, and then each
/// other.
struct Rendezvous {
  let environment: LaunchEnvironment
  let options: RendezvousOptions
  let deadline: Deadline
  /// The secret that was given; nil where the system vouches for users.
  let given: GroupSecret?

  init(_ environment: LaunchEnvironment, _ options: RendezvousOptions) throws(CollectiveError) {
    self.environment = environment
    self.options = options
    deadline = Deadline(after: options.timeout)
    switch environment.secret {
    case .file(let path): given = try GroupSecret(contentsOf: path)
    case .descriptor(let descriptor):
      given = try GroupSecret(descriptor: descriptor)
      // Nobody needs it any more, least of all programs that this one starts.
      SocketCalls.close(descriptor)
    case nil: given = nil
    }
    if given == nil, case .network = environment.master {
      throw CollectiveError(
        .invalidOption,
        "ranks meet on a network and there is no secret that they know each other by; make one "
          + "with 'fastdp launch secret --out FILE', copy it to all hosts, and give it to all ranks "
          + "by --secret-file or FASTDP_SECRET_FILE")
    }
    #if !os(Linux)
    if options.transport == .shm {
      throw CollectiveError(
        .invalidOption, "processes of this system cannot share memory; use --transport tcp")
    }
    #endif
  }

  var rank: Int { environment.rank }
  var ranks: Int { environment.ranks }

  func claim(_ role: ConnectionRole, to peer: Int) -> HandshakeClaim {
    HandshakeClaim(
      role: role, generation: environment.generation, ranks: UInt32(ranks), from: UInt32(rank),
      to: UInt32(peer))
  }

  // MARK: Rank 0

  func lead() throws(CollectiveError) -> RankGroup {
    let secret = given ?? GroupSecret()
    let listener = try openDoor()
    var doorman = Doorman(
      [listener], rank: 0, ranks: ranks, generation: environment.generation, secret: secret,
      tells: given == nil)
    var list = AttendanceList(self)
    do throws(CollectiveError) {
      try list.fill(&doorman)
      let own = try introduction(listenerPort: 0, memoryName: memoryName)
      let table = try MemberTable(list, own, self)
      let (links, _) = list.admit(table)
      let meeting = try Meeting(self, table, links, secret, peerOfZero: nil)
      return try meeting.connect(&doorman)
    } catch {
      doorman.close()
      list.dismiss(error)
      throw error
    }
  }

  /// The socket at which rank 0 is called.
  private func openDoor() throws(CollectiveError) -> Int32 {
    if let inherited = environment.listener { return inherited }
    switch environment.master {
    case .sameHost(let name): return try Endpoint.listen(byName: name)
    case .network(let host, let port):
      let known = try SocketAddress.find(host, port: port)
      guard let bind = options.bind ?? environment.bind else {
        guard known.isLoopback else {
          throw CollectiveError(
            .invalidOption,
            "rank 0's address is \(known), and it listens on the loopback interface alone unless it "
              + "is told otherwise; add --bind \(known.host) (or FASTDP_BIND) to let other hosts in"
          )
        }
        return try known.listen()
      }
      return try SocketAddress.find(bind, port: port).listen()
    }
  }

  // MARK: Other ranks

  func follow() throws(CollectiveError) -> RankGroup {
    let endpoint: Endpoint
    switch environment.master {
    case .sameHost(let name): endpoint = .name(name)
    case .network(let host, let port):
      endpoint = .network(try SocketAddress.find(host, port: port))
    }
    let caller = Caller(
      endpoint: endpoint, claim: claim(.control, to: 0), secret: given, deadline: deadline,
      timeout: options.timeout, watch: nil)
    let door = Door()
    defer { door.close() }
    let memory = memoryName
    let (connection, secret) = try caller.call { socket throws(CollectiveError) in
      try introduction(listenerPort: door.open(beside: socket), memoryName: memory).bytes
    }
    var link = ControlLink(
      peer: 0, socket: connection.socket, sealer: connection.sealer,
      opener: RecordOpener(connection.keys.control.receiving))
    let table: MemberTable
    do throws(CollectiveError) {
      table = try hearTable(&link)
    } catch {
      SocketCalls.close(link.socket)
      throw error
    }
    var doorman = Doorman(
      door.take(), rank: rank, ranks: ranks, generation: environment.generation, secret: secret,
      tells: false)
    do throws(CollectiveError) {
      let meeting = try Meeting(
        self, table, [link], secret, peerOfZero: SocketAddress.peer(link.socket))
      return try meeting.connect(&doorman)
    } catch {
      doorman.close()
      throw error
    }
  }

  /// A socket at which other ranks call this one.
  private final class Door {
    private var listener: Int32?

    /// Listens at the address from which rank 0 is called.
    func open(beside socket: Int32) throws(CollectiveError) -> UInt16 {
      close()
      let here: SocketAddress
      if let own = SocketAddress.own(socket) {
        here = own
      } else {
        here = try .find("127.0.0.1", port: 0, numeric: true)
      }
      let made = try here.with(port: 0).listen()
      listener = made
      return SocketAddress.own(made)?.port ?? 0
    }

    func take() -> [Int32] {
      defer { listener = nil }
      return listener.map { [$0] } ?? []
    }

    func close() { for listener in take() { SocketCalls.close(listener) } }
  }

  private func hearTable(_ link: inout ControlLink) throws(CollectiveError) -> MemberTable {
    // Rank 0 gives up first, and says why.
    let patience = Deadline(after: options.timeout + .seconds(5))
    while patience.left > 0 {
      guard let messages = link.receive() else { throw .notSealed("rank 0", peer: 0) }
      for message in messages {
        switch message {
        case .exchange(let bytes): link.inbox.append(bytes)
        case .fault(let error, _): throw error
        case .heartbeat, .farewell: break
        }
      }
      link.flush()
      if !link.inbox.isEmpty { return try MemberTable(link.inbox.removeFirst(), ranks: ranks) }
      guard !link.isClosed else {
        throw CollectiveError(
          .peerLost,
          "rank 0 is lost while ranks still gather: its process has ended or its "
            + "connection is cut; see what it said last", peer: 0)
      }
      var polled = [pollfd(fd: link.socket, events: Int16(POLLIN), revents: 0)]
      SocketCalls.wait(for: &polled, 100_000_000)
    }
    throw CollectiveError(
      .timeout,
      "rank 0 did not say who is there within \(options.timeout.inWords); see what it "
        + "does", peer: 0)
  }

  /// What this rank says of itself.
  private func introduction(
    listenerPort: UInt16, memoryName: String
  ) throws(CollectiveError) -> Introduction {
    Introduction(
      hostKey: options.hostKey ?? HostIdentity.key, host: HostIdentity.name,
      transport: options.transport, isClear: options.acceptsUnencryptedTraffic,
      vectorBytes: UInt64(max(0, options.vectorBytes)), port: listenerPort, memoryName: memoryName)
  }

  /// A name that nobody guesses.
  private var memoryName: String {
    "fastdp \(String(decoding: GroupSecret().line.prefix(32), as: UTF8.self))"
  }
}

/// What a rank tells rank 0 of itself.
struct Introduction {
  var hostKey: String
  var host: String
  var transport: GroupTransport
  var isClear: Bool
  var vectorBytes: UInt64
  var port: UInt16
  var memoryName: String

  var bytes: [UInt8] {
    var writer = ByteWriter()
    writer.text(hostKey)
    writer.text(String(host.prefix(255)))
    writer.text(transport.rawValue)
    writer.number(UInt8(isClear ? 1 : 0))
    writer.number(vectorBytes)
    writer.number(port)
    writer.text(memoryName)
    return writer.bytes
  }
}

extension Introduction {
  init?(_ bytes: [UInt8]) {
    var reader = ByteReader(bytes)
    guard let hostKey = reader.text(), let host = reader.text(),
      let transport = reader.text().flatMap(GroupTransport.init),
      let isClear = reader.number(UInt8.self), let vectorBytes = reader.number(UInt64.self),
      vectorBytes <= 1 << 40, let port = reader.number(UInt16.self),
      let memoryName = reader.text(), reader.isAtEnd
    else { return nil }
    self.init(
      hostKey: hostKey, host: host, transport: transport, isClear: isClear == 1,
      vectorBytes: vectorBytes, port: port, memoryName: memoryName)
  }
}

/// Rank 0's list of who has come.
struct AttendanceList {
  /// A rank that has come.
  struct Entry {
    var link: ControlLink
    let introduction: Introduction
    /// Where it called from; nil on this machine.
    let address: SocketAddress?

    var place: String { address.map { "\(introduction.host), \($0.host)" } ?? introduction.host }
  }

  private(set) var entries: [Int: Entry] = [:]
  private let rendezvous: Rendezvous

  init(_ rendezvous: Rendezvous) { self.rendezvous = rendezvous }

  /// Waits until all ranks have come.
  mutating func fill(_ doorman: inout Doorman) throws(CollectiveError) {
    while entries.count < rendezvous.ranks - 1 {
      guard rendezvous.deadline.left > 0 else { throw missing(doorman.refusals) }
      let sockets = entries.values.map(\.link.socket)
      for visitor in doorman.visitors(alsoWatching: sockets) { try take(visitor) }
      forgetLost()
    }
  }

  private mutating func take(_ visitor: Visitor) throws(CollectiveError) {
    let rank = Int(visitor.claim.from)
    var link = ControlLink(
      peer: rank, socket: visitor.socket, sealer: RecordSealer(visitor.keys.control.sending),
      opener: visitor.opener)
    let generation = rendezvous.environment.generation
    guard let introduction = Introduction(visitor.greeting), visitor.claim.role == .control else {
      return AttendanceList.refuse(
        &link,
        CollectiveError(
          .refused,
          "rank 0 does not know what rank \(rank) wants; use the "
            + "same fastdp on all hosts", peer: rank))
    }
    guard visitor.claim.generation == generation else {
      return AttendanceList.refuse(
        &link,
        CollectiveError(
          .refused,
          "rank \(rank) is of generation \(visitor.claim.generation), "
            + "rank 0 of \(generation); start all ranks anew", peer: rank))
    }
    let entry = Entry(link: link, introduction: introduction, address: visitor.address)
    if let error = conflict(entry, Int(visitor.claim.ranks)) {
      AttendanceList.refuse(&link, error)
      throw error
    }
    entries[rank] = entry
  }

  private func conflict(_ entry: Entry, _ ranks: Int) -> CollectiveError? {
    let rank = entry.link.peer
    func error(_ code: CollectiveError.Code, _ text: String) -> CollectiveError {
      CollectiveError(code, text, peer: rank)
    }
    guard ranks == rendezvous.ranks else {
      return error(
        .mismatch,
        "rank \(rank) (\(entry.place)) was started for \(ranks) ranks, rank 0 for "
          + "\(rendezvous.ranks); start all ranks with the same number")
    }
    guard rank > 0, rank < ranks else {
      return error(
        .refused,
        "a second process (\(entry.place)) calls itself rank \(rank) of \(ranks); give "
          + "each process its own rank")
    }
    if let other = entries[rank] {
      return error(
        .refused,
        "rank \(rank) has come twice, from \(other.place) and from \(entry.place); give "
          + "each process its own rank")
    }
    let own = rendezvous.options
    guard entry.introduction.transport == own.transport else {
      return error(
        .mismatch,
        "rank \(rank) (\(entry.place)) uses transport "
          + "\(entry.introduction.transport.rawValue), rank 0 \(own.transport.rawValue); start all "
          + "ranks with the same --transport")
    }
    guard entry.introduction.isClear == own.acceptsUnencryptedTraffic else {
      return error(
        .mismatch,
        "rank \(rank) (\(entry.place)) and rank 0 differ in whether unencrypted traffic "
          + "is accepted; start all ranks alike")
    }
    return nil
  }

  /// Tells a caller why it does not get in.
  static func refuse(_ link: inout ControlLink, _ error: CollectiveError) {
    SocketCalls.prepare(link.socket)
    link.post(.fault(error, GroupProgress(word: 0)))
    link.flush()
    SocketCalls.close(link.socket)
  }

  /// Ranks that have ended while they waited may come again.
  private mutating func forgetLost() {
    for rank in entries.keys {
      let messages = entries[rank]?.link.receive()
      guard messages == nil || entries[rank]?.link.isClosed == true else { continue }
      if let entry = entries.removeValue(forKey: rank) { SocketCalls.close(entry.link.socket) }
    }
  }

  private func missing(_ refusals: [String]) -> CollectiveError {
    let absent = (1..<rendezvous.ranks).filter { entries[$0] == nil }
    let shown = absent.prefix(10).map(String.init).joined(separator: ", ")
    let others = absent.count > 10 ? " and \(absent.count - 10) more" : ""
    let seen = refusals.isEmpty ? "" : " (\(refusals.joined(separator: "; ")))"
    return CollectiveError(
      .timeout,
      "\(absent.count == 1 ? "rank" : "ranks") \(shown)\(others) of \(rendezvous.ranks) did not come "
        + "within \(rendezvous.options.timeout.inWords)\(seen); start "
        + "\(absent.count == 1 ? "it" : "them"), and see what \(absent.count == 1 ? "it" : "they") said",
      peer: absent.first)
  }

  /// Sends all ranks the table, and gives their connections away.
  mutating func admit(_ table: MemberTable) -> (links: [ControlLink], table: MemberTable) {
    let links = entries.values.map { entry in
      var link = entry.link
      link.post(.exchange(table.bytes))
      link.flush()
      return link
    }
    entries = [:]
    return (links.sorted { $0.peer < $1.peer }, table)
  }

  /// Tells all who have come why there will be no group.
  mutating func dismiss(_ error: CollectiveError) {
    for entry in entries.values {
      var link = entry.link
      AttendanceList.refuse(&link, error)
    }
    entries = [:]
  }
}

/// What rank 0 tells all ranks.
struct MemberTable {
  /// A rank's place.
  struct Member {
    var host: String
    /// Ranks of one number share a host.
    var hostIndex: UInt32
    /// Its address as a number; empty where rank 0's own is meant, or none is needed.
    var address: String
    var port: UInt16
    /// Where the first rank of a host gives shared memory away.
    var memoryName: String
  }

  var members: [Member]
  var links: GroupLinks
  var protection: TrafficProtection
  var vectorBytes: Int

  /// Makes the table from those who have come.
  init(
    _ list: AttendanceList, _ own: Introduction, _ rendezvous: Rendezvous
  ) throws(CollectiveError) {
    let others = list.entries.sorted { $0.key < $1.key }.map(\.value)
    let all = [own] + others.map(\.introduction)
    var hosts: [String] = []
    members = []
    for (rank, introduction) in all.enumerated() {
      let known = hosts.firstIndex(of: introduction.hostKey)
      if known == nil { hosts.append(introduction.hostKey) }
      let address = rank == 0 ? nil : others[rank - 1].address
      members.append(
        Member(
          host: introduction.host, hostIndex: UInt32(known ?? hosts.count - 1),
          address: address?.host ?? (rank == 0 ? "" : "127.0.0.1"), port: introduction.port,
          memoryName: introduction.memoryName))
    }
    vectorBytes = all.map { Int($0.vectorBytes) }.max() ?? 0
    let isOneHost = hosts.count == 1
    if rendezvous.options.transport == .shm, !isOneHost {
      throw CollectiveError(
        .invalidOption,
        "ranks are on \(hosts.count) hosts and cannot share memory; use --transport "
          + "auto or tcp")
    }
    #if os(Linux)
    let shares = rendezvous.options.transport != .tcp && hosts.count < members.count
    links = shares ? isOneHost ? .shm : .both : .tcp
    #else
    links = .tcp
    #endif
    protection = TrafficProtection(
      links, oneHost: isOneHost, loopback: others.allSatisfy { $0.address?.isLoopback ?? true },
      acceptsUnencrypted: rendezvous.options.acceptsUnencryptedTraffic)
    try checkAddresses(others)
  }

  private func checkAddresses(_ others: [AttendanceList.Entry]) throws(CollectiveError) {
    guard links != .shm else { return }
    for entry in others where entry.address?.isLoopback ?? true {
      guard let far = others.first(where: { !($0.address?.isLoopback ?? true) }) else { return }
      throw CollectiveError(
        .invalidOption,
        "rank \(entry.link.peer) (\(entry.place)) called rank 0 on the loopback interface, where "
          + "rank \(far.link.peer) (\(far.place)) cannot reach it; give all ranks the same address "
          + "of rank 0, one that all hosts reach", peer: entry.link.peer)
    }
  }

  var bytes: [UInt8] {
    var writer = ByteWriter()
    writer.text(links.rawValue)
    writer.text(protection.rawValue)
    writer.number(UInt64(vectorBytes))
    for member in members {
      writer.text(member.host)
      writer.number(member.hostIndex)
      writer.text(member.address)
      writer.number(member.port)
      writer.text(member.memoryName)
    }
    return writer.bytes
  }

  init(_ bytes: [UInt8], ranks: Int) throws(CollectiveError) {
    var reader = ByteReader(bytes)
    let head = (reader.text(), reader.text(), reader.number(UInt64.self))
    members = (0..<ranks).compactMap { _ in
      guard let host = reader.text(), let index = reader.number(UInt32.self),
        let address = reader.text(), let port = reader.number(UInt16.self),
        let memory = reader.text()
      else { return nil }
      return Member(
        host: host, hostIndex: index, address: address, port: port, memoryName: memory)
    }
    guard let links = head.0.flatMap(GroupLinks.init),
      let protection = head.1.flatMap(TrafficProtection.init), let vectorBytes = head.2,
      vectorBytes <= 1 << 40, members.count == ranks, reader.isAtEnd
    else {
      throw CollectiveError(
        .mismatch, "rank 0's list of ranks is malformed; use the same fastdp on all hosts", peer: 0)
    }
    self.links = links
    self.protection = protection
    self.vectorBytes = Int(vectorBytes)
  }

  /// The host of each rank, as a number.
  var hostIndices: [Int] { members.map { Int($0.hostIndex) } }
  /// The host of each rank, by name; a number tells hosts of one name apart.
  var hostNames: [String] {
    members.map { member in
      let alike = members.first { $0.host == member.host && $0.hostIndex != member.hostIndex }
      return alike == nil ? member.host : "\(member.host) #\(member.hostIndex)"
    }
  }
  /// Ranks for people.
  var names: [String] { hostNames.enumerated().map { "rank \($0.offset) (\($0.element))" } }
}
