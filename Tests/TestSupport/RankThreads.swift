package import DPCollectives
import Foundation

#if canImport(Glibc)
import Glibc
#endif

/// Runs ranks as threads of this process.
package enum RankThreads {
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
  ///
  /// - Parameters:
  ///   - ranks: How many.
  ///   - body: Takes a rank.
  /// - Returns: What it came to, for each rank.
  package static func results<Value: Sendable>(
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

  /// Sends bytes on a socket, past every transport.
  ///
  /// - Parameters:
  ///   - bytes: What to send.
  ///   - socket: Where.
  package static func write(_ bytes: [UInt8], to socket: Int32) {
    FileHandle(fileDescriptor: socket).write(Data(bytes))
  }

  /// The results of all ranks.
  ///
  /// - Parameters:
  ///   - ranks: How many.
  ///   - body: Takes a rank.
  /// - Returns: What it came to, for each rank.
  /// - Throws: The first rank's error that has one.
  package static func run<Value: Sendable>(
    _ ranks: Int, _ body: @escaping @Sendable (Int) throws -> Value
  ) throws -> [Value] {
    try results(ranks, body).map { try $0.get() }
  }
}

/// Something that threads wait for.
package struct Latch: Sendable {
  private let semaphore = DispatchSemaphore(value: 0)

  /// Nothing has happened yet.
  package init() {}

  /// Says that it has happened once more.
  package func signal() { semaphore.signal() }

  /// Waits until it has happened so often.
  ///
  /// - Parameter count: How often.
  package func wait(for count: Int) { for _ in 0..<count { semaphore.wait() } }
}

/// Ranks that can talk: what a test names a transport by.
package enum TestLink: String, CaseIterable, CustomStringConvertible {
  /// Memory of this process.
  case memory
  /// A memory file.
  case shm
  /// Connections on the loopback interface.
  case tcp
  /// Memory between pairs of ranks, connections between the pairs.
  case pairs

  /// The name.
  package var description: String { rawValue }

  /// The algorithms that such ranks can use.
  package var algorithms: [AllReduceAlgorithm] {
    AllReduceAlgorithm.allCases.filter { $0.sendsMessages || self == .shm }
  }

  /// The host of each rank; nil where each is alone on its host.
  ///
  /// - Parameter ranks: How many ranks there are.
  /// - Returns: A number for each.
  package func hosts(_ ranks: Int) -> [Int]? {
    switch self {
    case .memory, .tcp: nil
    case .shm: Array(repeating: 0, count: ranks)
    case .pairs: (0..<ranks).map { $0 / 2 }
    }
  }

  /// A group of ranks; small rings, so that messages come in pieces.
  ///
  /// - Parameters:
  ///   - ranks: How many.
  ///   - ringBytes: Bytes of a ring between two ranks, in memory.
  ///   - vectorBytes: Bytes that each rank may reserve in shared memory.
  ///   - hosts: The host of each rank, where ranks are to believe in several.
  ///   - timeout: How long they wait for each other.
  /// - Returns: The group.
  /// - Throws: ``CollectiveError``.
  package func group(
    _ ranks: Int, ringBytes: Int = 1 << 9, vectorBytes: Int = 1 << 20, hosts: [Int]? = nil,
    timeout: Duration = .seconds(60)
  ) throws -> TestGroup {
    let layout = RegionLayout(ranks: ranks, vectorBytes: vectorBytes, ringBytes: ringBytes)
    switch self {
    case .memory:
      let region = try SharedRegion.inProcess(byteCount: layout.byteCount)
      return TestGroup { rank in
        Communicator(
          RegionTransport(region, layout, rank: rank), hosts: hosts, timeout: timeout)
      }
    case .shm:
      let region = try SharedRegion.memoryFile(byteCount: layout.byteCount)
      return TestGroup { rank in
        Communicator(region, layout, rank: rank, timeout: timeout)
      }
    case .tcp:
      let mesh = try SocketMesh.loopback(ranks: ranks)
      return TestGroup { rank in
        Communicator(
          try TCPTransport(rank: rank, sockets: mesh.sockets(of: rank)), hosts: hosts,
          timeout: timeout)
      }
    case .pairs:
      return try TestGroup(
        hosts: self.hosts(ranks) ?? [], ringBytes: ringBytes, timeout: timeout)
    }
  }
}

/// Makes the communicators of a group, each in its rank's thread.
package struct TestGroup: Sendable {
  /// Makes a rank's communicator.
  package let communicator: @Sendable (Int) throws -> Communicator

  fileprivate init(_ communicator: @escaping @Sendable (Int) throws -> Communicator) {
    self.communicator = communicator
  }

  /// Makes a rank's communicator.
  ///
  /// - Parameter rank: The rank.
  /// - Returns: Its communicator, once.
  /// - Throws: ``CollectiveError``.
  package func callAsFunction(_ rank: Int) throws -> Communicator { try communicator(rank) }

  /// Ranks on several hosts, all of them here: memory within hosts, connections between them.
  ///
  /// - Parameters:
  ///   - hosts: The host of each rank.
  ///   - ringBytes: Bytes of a ring between two ranks, in memory.
  ///   - timeout: How long they wait for each other.
  /// - Throws: ``CollectiveError``.
  package init(hosts: [Int], ringBytes: Int = 1 << 9, timeout: Duration = .seconds(60)) throws {
    let mesh = try SocketMesh.loopback(ranks: hosts.count)
    let layouts = Dictionary(grouping: hosts, by: { $0 }).mapValues {
      RegionLayout(ranks: $0.count, ringBytes: ringBytes)
    }
    let regions = try layouts.mapValues { try SharedRegion.memoryFile(byteCount: $0.byteCount) }
    self.init { rank in
      let host = hosts[rank]
      guard let region = regions[host], let layout = layouts[host] else {
        throw CollectiveError(.invalidOption, "host \(host)")
      }
      let sockets = mesh.sockets(of: rank)
      for peer in hosts.indices where peer != rank && hosts[peer] == host { close(sockets[peer]) }
      return Communicator(
        try CompositeTransport(rank: rank, hosts: hosts, region, layout, sockets: sockets),
        hosts: hosts, timeout: timeout)
    }
  }
}
