import DPCollectives
import Foundation
import TestSupport
import Testing

#if canImport(Glibc)
import Glibc
#endif

/// What goes wrong ends in time, with the right cause.
struct FaultTests {
  private func error<Value>(_ result: Result<Value, any Error>) -> CollectiveError? {
    if case .failure(let error) = result { error as? CollectiveError } else { nil }
  }

  /// Reads a header.
  private static func parse(_ bytes: [UInt8]) -> FrameHeader? {
    unsafe FrameHeader.parse(bytes.span.bytes)
  }

  /// How a sum fails; nil where it does not.
  private static func failure(
    of communicator: Communicator, by algorithm: AllReduceAlgorithm = .naive
  ) -> CollectiveError? {
    var vector: [Float] = [1]
    var span = vector.mutableSpan
    do throws(CollectiveError) {
      try communicator.allReduce(&span, by: algorithm)
      return nil
    } catch {
      return error
    }
  }

  /// A rank that never comes is named, within the deadline.
  @Test(arguments: TestLink.allCases)
  func lateRankIsNamed(link: TestLink) throws {
    let group = try link.group(3, timeout: .milliseconds(200))
    let clock = ContinuousClock()
    let start = clock.now
    let ends = Latch()
    let results = RankThreads.results(3) { rank in
      let communicator = try group.communicator(rank)
      // Rank 2 stays alive and silent until the others have given up.
      guard rank != 2 else { return withExtendedLifetime(communicator) { ends.wait(for: 2) } }
      defer { ends.signal() }
      var vector: [Float] = [1]
      var span = vector.mutableSpan
      try communicator.allReduce(&span, by: link == .shm ? .direct : .naive)
    }
    #expect(clock.now - start < .seconds(20))
    for rank in 0..<2 {
      let error = error(results[rank])
      #expect(error?.code == .timeout, "\(String(describing: error))")
      #expect(error?.peer == 2)
      #expect(error?.message.contains("allReduce 1") == true)
    }
  }

  /// Ranks that do different things are told apart at once: other lengths, algorithms, operations.
  @Test(arguments: TestLink.allCases, 0..<4)
  func differentCallsAreTold(link: TestLink, kind: Int) throws {
    let group = try link.group(2, ringBytes: 1 << 12, timeout: .seconds(4))
    let results = RankThreads.results(2) { rank in
      let communicator = try group.communicator(rank)
      var vector = [Float](repeating: 1, count: kind == 0 && rank == 1 ? 65 : 64)
      var span = vector.mutableSpan
      if kind == 3, rank == 1 {
        try communicator.broadcast(&span, from: 1)
        try communicator.broadcast(&span, from: 0)
      } else if kind == 2, rank == 1 {
        var integers = [Int32](repeating: 1, count: 64)
        var other = integers.mutableSpan
        try communicator.allReduce(&other, by: .naive)
      } else {
        try communicator.allReduce(&span, by: kind == 1 && rank == 1 ? .circulant : .naive)
      }
    }
    let codes = results.compactMap { error($0)?.code }
    #expect(codes.contains(.mismatch), "\(results)")
  }

  /// An operation on nothing counts as one: a rank that has made one more than its peer is told so,
  /// though the operations that meet are alike.
  @Test(arguments: TestLink.allCases)
  func operationsOnNothingCount(link: TestLink) throws {
    let group = try link.group(2, timeout: .seconds(20))
    let results = RankThreads.results(2) { rank in
      let communicator = try group.communicator(rank)
      var nothing: [Float] = []
      var nothingSpan = nothing.mutableSpan
      if rank == 0 { try communicator.allReduce(&nothingSpan) }
      for count in [5, 5000] {
        var vector = [Float](repeating: 1, count: count)
        var span = vector.mutableSpan
        try communicator.allReduce(&span)
      }
    }
    #expect(results.contains { error($0)?.code == .mismatch }, "\(results)")
  }

  /// A rank in an operation of quite another kind is told apart at once, not at the deadline.
  @Test(arguments: TestLink.allCases)
  func otherKindsAreToldAtOnce(link: TestLink) throws {
    let group = try link.group(2, timeout: .seconds(120))
    let clock = ContinuousClock()
    let start = clock.now
    let results = RankThreads.results(2) { rank in
      let communicator = try group.communicator(rank)
      var vector: [Float] = [1]
      var span = vector.mutableSpan
      if rank == 0 {
        try communicator.barrier()
      } else {
        try communicator.allReduce(&span)
      }
    }
    #expect(results.contains { error($0)?.code == .mismatch }, "\(results)")
    #expect(clock.now - start < .seconds(60))
  }

  /// When one rank fails, those that wait for it fail too, long before their deadline.
  @Test(arguments: TestLink.allCases)
  func failureSpreadsAtOnce(link: TestLink) throws {
    let group = try link.group(4, timeout: .seconds(120))
    let clock = ContinuousClock()
    let start = clock.now
    let ends = DispatchGroup()
    for _ in 0..<4 { ends.enter() }
    let results = RankThreads.results(4) { rank in
      let communicator = try group.communicator(rank)
      // A rank that has failed keeps its communicator until all have: no end of a link tells of it.
      defer {
        ends.leave()
        withExtendedLifetime(communicator) { ends.wait() }
      }
      var vector = [Float](repeating: 1, count: rank == 3 ? 65 : 64)
      var span = vector.mutableSpan
      try communicator.allReduce(&span, by: .ring)
    }
    for result in results {
      #expect([.mismatch, .peerLost].contains(error(result)?.code), "\(results)")
    }
    #expect(clock.now - start < .seconds(60))
  }

  /// A rank that has left the group is named, whether it is waited for in memory or by messages.
  @Test(arguments: [AllReduceAlgorithm.direct, .naive])
  func rankThatLeftIsNamed(algorithm: AllReduceAlgorithm) throws {
    let group = try TestLink.shm.group(2, timeout: .seconds(120))
    _ = try group.communicator(1)
    let communicator = try group.communicator(0)
    let error = FaultTests.failure(of: communicator, by: algorithm)
    #expect(error?.code == .peerLost)
    #expect(error?.peer == 1)
    #expect(error?.message.contains("left the group") == true)
  }

  /// A rank whose process has been killed is named, long before the deadline.
  @Test(arguments: [AllReduceAlgorithm.direct, .naive])
  func killedProcessIsNamed(algorithm: AllReduceAlgorithm) throws {
    let ended = Process()
    ended.executableURL = URL(fileURLWithPath: "/bin/sh")
    ended.arguments = ["-c", "kill -9 $$"]
    try ended.run()
    ended.waitUntilExit()
    let layout = RegionLayout(ranks: 2)
    let region = try SharedRegion.memoryFile(byteCount: layout.byteCount)
    let killed = RegionTransport(
      region, layout, rank: 1, process: ended.processIdentifier)
    let communicator = Communicator(region, layout, rank: 0, timeout: .seconds(120))
    let error = FaultTests.failure(of: communicator, by: algorithm)
    #expect(error?.code == .peerLost)
    #expect(error?.message.contains("process has ended") == true)
    withExtendedLifetime(killed) {}
  }

  /// What the system refuses leaves no descriptor open.
  @Test func refusalsLeakNoDescriptors() async {
    // A process of its own, so that no other test opens files meanwhile.
    await #expect(processExitsWith: .success) {
      func descriptors() -> Int {
        (try? FileManager.default.contentsOfDirectory(atPath: "/dev/fd").count) ?? -1
      }
      let before = descriptors()
      for _ in 0..<20 {
        #expect(throws: CollectiveError.self) { try SharedRegion.memoryFile(byteCount: 1 << 62) }
      }
      var limit = rlimit()
      let kind = limitOfDescriptors
      unsafe getrlimit(kind, &limit)
      let usual = limit.rlim_cur
      limit.rlim_cur = rlim_t(before + 16)
      unsafe setrlimit(kind, &limit)
      for _ in 0..<3 {
        #expect(throws: CollectiveError.self) { try SocketMesh.loopback(ranks: 8) }
      }
      limit.rlim_cur = usual
      unsafe setrlimit(kind, &limit)
      let after = descriptors()
      // What is refused would leave more than a dozen; the system's libraries may open a few.
      exit(after < before + 8 ? EXIT_SUCCESS : EXIT_FAILURE)
    }
  }

  /// Direct sums notice other lengths too, short and long.
  @Test(arguments: [64, 5000])
  func directSumsNoticeOtherLengths(count: Int) throws {
    let group = try TestLink.shm.group(2, timeout: .seconds(4))
    let results = RankThreads.results(2) { rank in
      let communicator = try group.communicator(rank)
      var vector = [Float](repeating: 1, count: count + rank)
      var span = vector.mutableSpan
      try communicator.allReduce(&span)
    }
    #expect(results.contains { error($0)?.code == .mismatch }, "\(results)")
  }

  /// A connection that ends is noticed at once, and the group stays broken.
  @Test func lostRankIsNamedAndTheGroupIsBroken() throws {
    let mesh = try SocketMesh.loopback(ranks: 3)
    let results = try RankThreads.run(3) { rank in
      let transport = try TCPTransport(rank: rank, sockets: mesh.sockets(of: rank))
      guard rank != 1 else { return [CollectiveError.Code]() }
      let communicator = Communicator(transport, timeout: .seconds(20))
      let first = FaultTests.failure(of: communicator)
      let second = FaultTests.failure(of: communicator)
      return [first, second].compactMap { $0?.code }
    }
    #expect(results[0] == [.peerLost, .broken])
    #expect(results[2] == [.peerLost, .broken])
  }

  /// Bytes that are no frame are refused: the parser takes whole headers of its own kind alone, and
  /// no change of a bit goes unnoticed.
  @Test func frameParserStandsUpToNoise() {
    var random = SeededGenerator(seed: 11)
    for _ in 0..<20_000 {
      let length = Int.random(in: 0..<64, using: &random)
      let bytes = (0..<length).map { _ in UInt8.random(in: 0...255, using: &random) }
      #expect(FaultTests.parse(bytes) == nil)
    }
    let header = FrameHeader(
      generation: 3, sequence: 1 << 40, fingerprint: .max, message: 7, sender: 2, payload: 4096)
    var bytes = [UInt8](repeating: 0, count: FrameHeader.byteCount)
    unsafe bytes.withUnsafeMutableBytes { buffer in
      if let base = buffer.baseAddress { unsafe header.write(to: base) }
    }
    #expect(FaultTests.parse(bytes) == header)
    #expect(FaultTests.parse(Array(bytes.dropLast())) == nil)
    for bit in 0..<8 * FrameHeader.byteCount {
      var changed = bytes
      changed[bit / 8] ^= 1 << UInt8(bit % 8)
      let parsed = FaultTests.parse(changed)
      #expect(parsed.map { $0.conflict(with: header) != nil } ?? true, "bit \(bit)")
    }
  }

  /// A peer that talks nonsense over a real connection ends the operation with its name.
  @Test func nonsenseOnTheWireIsRefused() throws {
    let mesh = try SocketMesh.loopback(ranks: 2)
    let noise = (0..<256).map { UInt8(truncatingIfNeeded: $0 * 37 + 1) }
    RankThreads.write(noise, to: mesh.sockets(of: 1)[0])
    let transport = try TCPTransport(rank: 0, sockets: mesh.sockets(of: 0))
    let communicator = Communicator(transport, timeout: .seconds(20))
    let error = FaultTests.failure(of: communicator)
    #expect(error?.code == .malformedFrame)
    #expect(error?.peer == 1)
    mesh.closeRank(1)
  }

  /// Places in a group are read back from their text; other text is refused.
  @Test func placesInGroupsAreText() throws {
    for place in [
      InheritedGroup(rank: 1, link: .memory(descriptor: 3, ranks: 4, vectorBytes: 1 << 20)),
      InheritedGroup(rank: 0, link: .sockets([-1, 4, 5])),
    ] {
      #expect(try InheritedGroup("\(place)") == place)
    }
    for text in [
      "", "shm", "shm rank=4 ranks=4 vector=0 memory=3", "tcp rank=0 sockets=",
      "tcp rank=3 sockets=1,2",
      "shm rank=-1 ranks=4 vector=0 memory=3", "shm rank=0 ranks=99999 vector=0 memory=3",
      "tcp rank=0 sockets=1,x", "udp rank=0 sockets=1,2",
    ] {
      #expect(throws: CollectiveError.self, "\(text)") { try InheritedGroup(text) }
    }
    #expect(throws: CollectiveError.self) {
      try InheritedGroup("shm rank=0 ranks=2 vector=0 memory=9999").join()
    }
  }
}

#if canImport(Glibc)
/// The limit of open descriptors.
private let limitOfDescriptors = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
#else
/// The limit of open descriptors.
private let limitOfDescriptors = RLIMIT_NOFILE
#endif
