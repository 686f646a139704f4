import CDPSystem
import DPCollectives
import Foundation
import TestSupport
import Testing

/// How processes find each other: here threads that behave like them.
struct RendezvousTests {
  /// A folder with a secret, and a port that was free a moment ago.
  struct Place: Sendable {
    let secret: String
    let port: UInt16

    init() throws {
      let folder = FileManager.default.temporaryDirectory.path
      secret = "\(folder)/fastdp-secret-\(UInt64.random(in: 0 ... .max))"
      try Place.write(secret)
      port = try FreePort.find()
    }

    static func write(_ path: String) throws {
      let made = FileManager.default.createFile(
        atPath: path, contents: Data(GroupSecret().line),
        attributes: [.posixPermissions: 0o600])
      try #require(made)
    }

    func remove() { try? FileManager.default.removeItem(atPath: secret) }

    func environment(
      _ rank: Int, of ranks: Int, secret other: String? = nil, generation: UInt32 = 0
    ) throws -> LaunchEnvironment {
      try LaunchEnvironment(
        rank: rank, ranks: ranks, master: "127.0.0.1:\(port)", secretFile: other ?? secret,
        generation: generation)
    }
  }

  private func options(
    _ transport: GroupTransport = .auto, timeout: Duration = .seconds(30)
  ) -> RendezvousOptions {
    RendezvousOptions(timeout: timeout, transport: transport, vectorBytes: 1 << 16)
  }

  /// The sum of all ranks' numbers, from 1 on.
  private static func sum(_ group: RankGroup) throws -> Int64 {
    var vector = [Int64](repeating: Int64(group.rank + 1), count: 100)
    var span = vector.mutableSpan
    try group.communicator.allReduce(&span)
    return vector[99]
  }

  /// Ranks that come in any order find each other on the loopback interface.
  @Test(arguments: [GroupTransport.shm, .tcp, .auto], [2, 5])
  func ranksFindEachOther(transport: GroupTransport, ranks: Int) throws {
    let place = try Place()
    defer { place.remove() }
    let options = options(transport)
    let sums = try RankThreads.run(ranks) { rank in
      // The others call before rank 0 listens, as they do when people start them.
      if rank == 0 { usleep(50_000) }
      let group = try RankGroup.join(try place.environment(rank, of: ranks), options: options)
      #expect(group.rank == rank && group.ranks == ranks)
      #expect(group.hosts.count == ranks && Set(group.hosts).count == 1)
      #expect(group.trafficProtection == .thisHost)
      #if os(Linux)
      #expect(group.links == (transport == .tcp ? .tcp : .shm))
      #endif
      let sum = try RendezvousTests.sum(group)
      group.close()
      return sum
    }
    #expect(sums == Array(repeating: Int64(ranks * (ranks + 1) / 2), count: ranks))
  }

  /// Who calls on the loopback interface and is on another host has come through a relay or a tunnel:
  /// vectors are encrypted, unless that is waived.
  @Test(arguments: [false, true])
  func relayedRanksAreNotTakenForLocalOnes(acceptsClear: Bool) throws {
    let place = try Place()
    defer { place.remove() }
    let alike = options()
    let groups = try RankThreads.run(3) { rank in
      var options = alike
      options.acceptsUnencryptedTraffic = acceptsClear
      if rank == 2 { options.hostKey = "another host" }
      let group = try RankGroup.join(try place.environment(rank, of: 3), options: options)
      let sum = try RendezvousTests.sum(group)
      group.close()
      return [group.trafficProtection.rawValue, "\(sum)"]
    }
    let expected = acceptsClear ? TrafficProtection.unencrypted : .encrypted
    #expect(groups == Array(repeating: [expected.rawValue, "6"], count: 3))
  }

  #if os(Linux)
  /// Ranks of one host that a foreign launcher has started need neither port nor secret.
  @Test(arguments: [GroupTransport.shm, .tcp])
  func ranksMeetWithoutAPort(transport: GroupTransport) throws {
    let job = "test-\(UInt64.random(in: 0 ... .max))"
    let options = options(transport)
    let sums = try RankThreads.run(3) { rank in
      let environment = try #require(
        try LaunchEnvironment.detect([
          "OMPI_COMM_WORLD_RANK": "\(rank)", "OMPI_COMM_WORLD_SIZE": "3",
          "OMPI_COMM_WORLD_LOCAL_SIZE": "3", "PMIX_NAMESPACE": job,
        ]))
      let group = try RankGroup.join(environment, options: options)
      let sum = try RendezvousTests.sum(group)
      group.close()
      return sum
    }
    #expect(sums == [6, 6, 6])
  }

  /// A socket of this host at which more wait than are heard is not waited for beyond the deadline.
  @Test(.timeLimit(.minutes(1))) func crowdedSocketsAreNotWaitedFor() throws {
    let job = "test-\(UInt64.random(in: 0 ... .max))"
    let name = "fastdp \(geteuid()) Open MPI \(job)"
    let listener = unsafe cdp_listen_by_name(name, name.utf8.count)
    // One may wait, and does.
    try #require(listener >= 0 && listen(listener, 0) == 0)
    let waiting = unsafe cdp_connect_by_name(name, name.utf8.count)
    try #require(waiting >= 0)
    defer { for socket in [waiting, listener] { close(socket) } }
    let environment = try #require(
      try LaunchEnvironment.detect([
        "OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
        "PMIX_NAMESPACE": job,
      ]))
    let options = options(timeout: .seconds(1))
    expect(
      failure(Result { try RankGroup.join(environment, options: options) }), [.timeout],
      naming: ["rank 0", "within 1 s"])
  }
  #endif

  /// All ranks that have come are told which ones are missing; a rank without rank 0 says so.
  @Test func missingRanksAreNamed() throws {
    let place = try Place()
    defer { place.remove() }
    let options = options(timeout: .seconds(1))
    let results = RankThreads.results(3) { rank in
      // Rank 3 of 5 does not come, nor does rank 4.
      _ = try RankGroup.join(try place.environment(rank, of: 5), options: options)
    }
    for result in results {
      expect(failure(result), [.timeout], naming: ["ranks 3, 4 of 5 did not come within 1 s"])
    }
    let alone = RankThreads.results(1) { _ in
      _ = try RankGroup.join(try place.environment(1, of: 2), options: options)
    }
    expect(
      failure(alone[0]), [.timeout],
      naming: ["rank 0 at 127.0.0.1:\(place.port)", "within 1 s", "refused"])
  }

  /// Who has another secret says so, and rank 0 tells those who have come.
  @Test func wrongSecretsAreNamed() throws {
    let place = try Place()
    defer { place.remove() }
    let other = place.secret + ".other"
    try Place.write(other)
    defer { try? FileManager.default.removeItem(atPath: other) }
    let options = options(timeout: .seconds(1))
    let results = RankThreads.results(3) { rank in
      let environment = try place.environment(rank, of: 3, secret: rank == 2 ? other : nil)
      _ = try RankGroup.join(environment, options: options)
    }
    expect(failure(results[2]), [.refused], naming: ["rank 2's secret", "same secret file"])
    for rank in 0..<2 {
      expect(failure(results[rank]), [.timeout], naming: ["rank 2 of 3 did not come"])
    }
  }

  /// What somebody has changed on its way ends the gathering at once: the welcome, or the list of ranks
  /// that rank 0 seals, or its length.
  ///
  /// Rank 0's challenge has 120 bytes and its welcome 32; then there are records, each behind its length.
  @Test(arguments: [120, 152, 156, 160])
  func tamperingIsNoticedWhileRanksGather(start: Int) throws {
    let place = try Place()
    defer { place.remove() }
    let middle = try Middleman(to: place.port) { words in
      guard !words.isCaller else { return }
      for index in words.bytes.indices where words.first + index >= start {
        words.bytes[index] ^= 64
      }
    }
    let options = options(timeout: .seconds(60))
    let clock = ContinuousClock()
    let began = clock.now
    let results = RankThreads.results(2) { rank in
      let port = rank == 0 ? place.port : middle.port
      _ = try RankGroup.join(
        LaunchEnvironment(
          rank: rank, ranks: 2, master: "127.0.0.1:\(port)", secretFile: place.secret),
        options: options)
    }
    #expect(clock.now - began < .seconds(20))
    expect(failure(results[0]), [.peerLost], naming: ["rank 1"])
    expect(failure(results[1]), [.malformedFrame], naming: ["rank 0", "agreed"])
  }

  /// A rank that a crowd of strangers has pushed out of the door, after it had proved itself and before
  /// it was heard, comes again.
  @Test func crowdsKeepNobodyOut() throws {
    let place = try Place()
    defer { place.remove() }
    let middle = try Middleman(to: place.port) { words in
      // A caller's hello has 88 bytes; then it waits for the challenge before it sends its proof.
      guard words.call == 0, words.isCaller, words.first == 88 else { return }
      Strangers.crowd(port: place.port, count: 80)
    }
    let options = options()
    let sums = try RankThreads.run(2) { rank in
      let port = rank == 0 ? place.port : middle.port
      let group = try RankGroup.join(
        LaunchEnvironment(
          rank: rank, ranks: 2, master: "127.0.0.1:\(port)", secretFile: place.secret),
        options: options)
      defer { group.close() }
      return try RendezvousTests.sum(group)
    }
    #expect(sums == [3, 3])
  }

  /// Two processes with one rank, or with other numbers of ranks, end the group on every rank.
  @Test func contradictionsAreNamed() throws {
    let place = try Place()
    defer { place.remove() }
    let options = options()
    let twice = RankThreads.results(3) { index in
      _ = try RankGroup.join(
        try place.environment([0, 1, 1][index], of: 3), options: options)
    }
    for result in twice { expect(failure(result), [.refused], naming: ["rank 1", "twice"]) }
    let again = try Place()
    defer { again.remove() }
    let counts = RankThreads.results(2) { rank in
      _ = try RankGroup.join(try again.environment(rank, of: [3, 2][rank]), options: options)
    }
    expect(failure(counts[0]), [.mismatch], naming: ["rank 1", "2 ranks", "rank 0 for 3"])
    expect(failure(counts[1]), [.mismatch, .refused], naming: ["rank 1", "2", "3"])
  }

  /// A rank that was left over from an older start does not get in.
  @Test func oldGenerationsAreRefused() throws {
    let place = try Place()
    defer { place.remove() }
    let options = options(timeout: .seconds(2))
    let results = RankThreads.results(3) { index in
      let environment = try place.environment(
        [0, 1, 1][index], of: 2, generation: index == 2 ? 3 : 4)
      let group = try RankGroup.join(environment, options: options)
      _ = try group.gather([])
      group.close()
    }
    #expect(failure(results[0]) == nil && failure(results[1]) == nil)
    expect(failure(results[2]), [.refused, .timeout], naming: ["rank 0"])
  }

  /// A rank that lives and does not come to an exchange is named by all, though the others wait for rank 0,
  /// and is told so itself where it is stuck.
  @Test(arguments: [1, 2])
  func whoIsMissingInAnExchangeIsNamed(stuck: Int) throws {
    let place = try Place()
    defer { place.remove() }
    let options = options(timeout: .seconds(2))
    let results = RankThreads.results(3) { rank -> String in
      let group = try RankGroup.join(try place.environment(rank, of: 3), options: options)
      guard rank == stuck else {
        // The others' time is up before rank 0's.
        if rank == 0 { usleep(300_000) }
        _ = try group.gather([])
        return ""
      }
      let told = Told()
      group.onUnheededFault(after: .milliseconds(200)) { told.take("\($0)") }
      for _ in 0..<1000 where told.text.isEmpty { usleep(10_000) }
      return told.text
    }
    for (rank, result) in results.enumerated() where rank != stuck {
      expect(failure(result), [.timeout], naming: ["rank \(stuck) (", "gather"])
    }
    let told = try results[stuck].get()
    #expect(told.contains("rank \(stuck) ("), "\(told)")
  }

  /// What a rank was told on another thread.
  private final class Told: @unchecked Sendable {
    // Sendable: every access holds the lock.
    private let lock = NSLock()
    private var line = ""

    var text: String { lock.withLock { line } }
    func take(_ text: String) { lock.withLock { line = text } }
  }

  /// Callers that know nothing, say nothing or say nonsense keep nobody out.
  @Test func strangersKeepNobodyOut() throws {
    let place = try Place()
    defer { place.remove() }
    let options = options()
    let results = RankThreads.results(3) { rank in
      guard rank == 2 else {
        // The last rank comes when the strangers have had their say.
        if rank == 1 { usleep(300_000) }
        let group = try RankGroup.join(try place.environment(rank, of: 2), options: options)
        defer { group.close() }
        return try RendezvousTests.sum(group)
      }
      return Int64(Strangers.call(port: place.port, count: 300))
    }
    #expect(try results[0].get() == 3)
    #expect(try results[1].get() == 3)
  }

  /// Mistakes with files, ports and names say what to do.
  @Test func mistakesNameTheirRemedy() throws {
    let place = try Place()
    defer { place.remove() }
    func failing(_ environment: () throws -> LaunchEnvironment) -> CollectiveError? {
      failure(
        Result { try RankGroup.join(environment(), options: options(timeout: .seconds(1))) })
    }
    let missing = failing { try place.environment(0, of: 2, secret: "/nowhere/secret") }
    expect(missing, [.invalidOption], naming: ["/nowhere/secret", "fastdp launch secret"])
    let none = failing {
      try LaunchEnvironment(rank: 0, ranks: 2, master: "127.0.0.1:4000", secretFile: nil)
    }
    expect(none, [.invalidOption], naming: ["no secret", "--secret-file"])
    let open = place.secret + ".open"
    let made = FileManager.default.createFile(
      atPath: open, contents: Data(GroupSecret().line),
      attributes: [.posixPermissions: 0o644])
    try #require(made)
    defer { try? FileManager.default.removeItem(atPath: open) }
    expect(
      failing { try place.environment(0, of: 2, secret: open) }, [.invalidOption],
      naming: [open, "chmod 600"])
    try Data("short".utf8).write(to: URL(fileURLWithPath: open))
    try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: open)
    expect(
      failing { try place.environment(0, of: 2, secret: open) }, [.invalidOption],
      naming: [open, "5 bytes"])
    let far = failing {
      try LaunchEnvironment(
        rank: 0, ranks: 2, master: "192.0.2.1:4000", secretFile: place.secret)
    }
    expect(far, [.invalidOption], naming: ["192.0.2.1", "--bind"])
    let unknown = failing {
      try LaunchEnvironment(
        rank: 1, ranks: 2, master: "no-such-host.invalid:4000", secretFile: place.secret)
    }
    expect(unknown, [.invalidOption, .timeout], naming: ["no-such-host.invalid"])
    let taken = try FreePort.Taken()
    let busy = failing {
      try LaunchEnvironment(
        rank: 0, ranks: 2, master: "127.0.0.1:\(taken.port)", secretFile: place.secret)
    }
    expect(busy, [.invalidOption], naming: ["\(taken.port)", "another program has the port"])
  }
}
