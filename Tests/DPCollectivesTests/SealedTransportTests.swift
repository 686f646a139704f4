import DPCollectives
import Foundation
import TestSupport
import Testing

/// What travels between hosts: the same sums, and nothing in clear.
struct SealedTransportTests {
  /// Ranks over sealed connections; what travels is what the middle has seen.
  private func run<Value: Sendable>(
    _ ranks: Int, timeout: Duration = .seconds(60),
    _ body: @escaping @Sendable (Communicator) throws -> Value
  ) throws -> [Result<Value, any Error>] {
    let mesh = try SocketMesh.loopback(ranks: ranks)
    let keys = SealedKeys(ranks: ranks)
    return RankThreads.results(ranks) { rank in
      let transport = try SealedTransport.forTests(
        rank: rank, sockets: mesh.sockets(of: rank), keys: keys)
      return try body(Communicator(transport, timeout: timeout))
    }
  }

  /// Sums of lengths around a record's, by every algorithm, have the bits of sums in clear.
  @Test(arguments: [2, 3, 5])
  func sumsAreTheSame(ranks: Int) throws {
    let counts = [0, 1, 7, 16_374, 16_384, 50_001]
    @Sendable func sums(_ communicator: Communicator) throws -> [[UInt32]] {
      try AllReduceAlgorithm.allCases.filter(\.sendsMessages).flatMap { algorithm in
        try counts.map { count in
          var random = Inputs(seed: UInt64(count + communicator.rank))
          var own = random.floats(count)
          var span = own.mutableSpan
          try communicator.allReduce(&span, by: algorithm)
          return own.map(\.bitPattern)
        }
      }
    }
    let sealed = try run(ranks) { try sums($0) }.map { try $0.get() }
    let group = try TestLink.tcp.group(ranks)
    let clear = try RankThreads.run(ranks) { try sums(try group.communicator($0)) }
    #expect(sealed == clear)
  }

  /// Bytes that somebody on the network has changed, put in or repeated end the operation.
  @Test(arguments: 0..<4)
  func tamperingIsNoticed(kind: Int) throws {
    let mesh = try SocketMesh.loopback(ranks: 2)
    let keys = SealedKeys(ranks: 2)
    // A record of another key, a length of nothing, a length beyond any record, noise.
    let wrong: [[UInt8]] = [
      [24, 0, 0, 0] + [UInt8](repeating: 7, count: 24), [0, 0, 0, 0] + [1],
      [255, 255, 255, 127] + [UInt8](repeating: 1, count: 64),
      (0..<300).map { UInt8(truncatingIfNeeded: $0 * 31 + 5) },
    ]
    RankThreads.write(wrong[kind], to: mesh.sockets(of: 1)[0])
    let transport = try SealedTransport.forTests(
      rank: 0, sockets: mesh.sockets(of: 0), keys: keys)
    let communicator = Communicator(transport, timeout: .seconds(20))
    let error = failure(
      Result {
        var vector: [Float] = [1]
        var span = vector.mutableSpan
        try communicator.allReduce(&span, by: .naive)
      })
    expect(error, [.malformedFrame], naming: ["rank 1", "sealed"])
    mesh.closeRank(1)
  }
}
