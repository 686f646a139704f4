import DPCollectives
import TestSupport
import Testing

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
  private static func failure(of communicator: Communicator) -> CollectiveError? {
    var vector: [Float] = [1]
    var span = vector.mutableSpan
    do throws(CollectiveError) {
      try communicator.allReduce(&span, by: .naive)
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
      try communicator.allReduce(&span, by: link == .sharedMemory ? .direct : .naive)
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

  /// Direct sums notice other lengths too, short and long.
  @Test(arguments: [64, 5000])
  func directSumsNoticeOtherLengths(count: Int) throws {
    let group = try TestLink.sharedMemory.group(2, timeout: .seconds(4))
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
