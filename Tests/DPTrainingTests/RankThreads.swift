import DPCollectives
import Foundation

/// Ranks as threads of this process.
enum RankThreads {
  /// What threads leave behind, behind a lock.
  private final class Box<Value>: @unchecked Sendable {
    // Sendable: every access holds the lock.
    private let lock = NSLock()
    private var results: [Int: Result<Value, any Error>] = [:]

    func put(_ rank: Int, _ result: Result<Value, any Error>) {
      lock.withLock { results[rank] = result }
    }

    func all() -> [Int: Result<Value, any Error>] { lock.withLock { results } }
  }

  /// Runs a body for every rank, each in a thread of its own, and waits for all.
  static func results<Value: Sendable>(
    _ ranks: Int, _ body: @escaping @Sendable (Int) throws -> Value
  ) -> [Result<Value, any Error>] {
    let box = Box<Value>()
    let group = DispatchGroup()
    for rank in 0..<ranks {
      group.enter()
      Thread.detachNewThread {
        box.put(rank, Result { try body(rank) })
        group.leave()
      }
    }
    group.wait()
    let all = box.all()
    return (0..<ranks).compactMap { all[$0] }
  }

  /// The results of all ranks, or the first error.
  static func run<Value: Sendable>(
    _ ranks: Int, _ body: @escaping @Sendable (Int) throws -> Value
  ) throws -> [Value] {
    try results(ranks, body).map { try $0.get() }
  }
}

/// How ranks of a test are linked.
enum TestLink: String, CaseIterable, CustomStringConvertible {
  /// Messages through memory of this process.
  case memory
  /// A memory file.
  case shm
  /// Connections on the loopback interface.
  case tcp

  var description: String { rawValue }

  /// Makes the communicator of each rank, in its thread.
  func group(_ ranks: Int) throws -> @Sendable (Int) throws -> Communicator {
    switch self {
    case .memory:
      let layout = RegionLayout(ranks: ranks)
      let region = try SharedRegion.inProcess(byteCount: layout.byteCount)
      return { Communicator(RegionTransport(region, layout, rank: $0)) }
    case .shm:
      let layout = RegionLayout(ranks: ranks, vectorBytes: 1 << 20)
      let region = try SharedRegion.memoryFile(byteCount: layout.byteCount)
      return { Communicator(region, layout, rank: $0) }
    case .tcp:
      let mesh = try SocketMesh.loopback(ranks: ranks)
      return {
        Communicator(
          try TCPTransport(rank: $0, sockets: mesh.sockets(of: $0)),
          hosts: Array(repeating: 0, count: ranks))
      }
    }
  }

  /// The algorithms that such ranks can use.
  var algorithms: [AllReduceAlgorithm] {
    AllReduceAlgorithm.allCases.filter { $0.sendsMessages || self == .shm }
  }
}
