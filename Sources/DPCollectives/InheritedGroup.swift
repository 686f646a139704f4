#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// What a process has to know to join the group that its parent made for it, as text.
///
/// | text | group |
/// |---|---|
/// | `shm rank=1 ranks=4 vector=1048576 memory=3` | one host, by a memory file that was inherited |
/// | `tcp rank=1 sockets=4,-1,5` | connected sockets that were inherited, -1 at the own place |
package struct InheritedGroup: Hashable, Sendable, CustomStringConvertible {
  /// The environment variable that holds the text.
  package static let variable = "FASTDP_GROUP"

  /// How the group is linked.
  package enum Link: Hashable, Sendable {
    /// Shared memory.
    case memory(descriptor: Int32, ranks: Int, vectorBytes: Int)
    /// Sockets.
    case sockets([Int32])
  }

  /// The rank of the process.
  package let rank: Int
  /// How the group is linked.
  package let link: Link

  /// A place in a group.
  package init(rank: Int, link: Link) {
    self.rank = rank
    self.link = link
  }

  /// Reads the text.
  ///
  /// - Parameter text: What stands in the environment variable.
  /// - Throws: ``CollectiveError`` where it is malformed.
  package init(_ text: String) throws(CollectiveError) {
    let words = text.split(separator: " ")
    let fields = Dictionary(
      words.dropFirst().compactMap { word -> (Substring, Substring)? in
        let pair = word.split(separator: "=", maxSplits: 1)
        return pair.count == 2 ? (pair[0], pair[1]) : nil
      }, uniquingKeysWith: { first, _ in first })
    guard let rank = fields["rank"].flatMap({ Int($0) }), rank >= 0,
      let link = InheritedGroup.link(words.first ?? "", fields, rank)
    else {
      throw CollectiveError(
        .invalidOption, "\(InheritedGroup.variable) is '\(text)', which names no group of ranks")
    }
    self.init(rank: rank, link: link)
  }

  private static func link(
    _ kind: Substring, _ fields: [Substring: Substring], _ rank: Int
  ) -> Link? {
    func number(_ key: Substring) -> Int? { fields[key].flatMap { Int($0) } }
    switch kind {
    case "shm":
      guard let ranks = number("ranks"), let vector = number("vector"),
        let memory = number("memory").flatMap({ Int32(exactly: $0) }), ranks > rank, vector >= 0,
        ranks <= 4096, vector <= 1 << 40
      else { return nil }
      return .memory(descriptor: memory, ranks: ranks, vectorBytes: vector)
    case "tcp":
      let sockets = fields["sockets"]?.split(separator: ",").compactMap { Int32($0) } ?? []
      let commas = fields["sockets"]?.count { $0 == "," } ?? 0
      return sockets.count > rank && sockets.count == commas + 1 ? .sockets(sockets) : nil
    default: return nil
    }
  }

  /// The text.
  package var description: String {
    switch link {
    case .memory(let descriptor, let ranks, let vector):
      "shm rank=\(rank) ranks=\(ranks) vector=\(vector) memory=\(descriptor)"
    case .sockets(let sockets):
      "tcp rank=\(rank) sockets=" + sockets.map(String.init).joined(separator: ",")
    }
  }

  /// Joins the group.
  ///
  /// - Parameter timeout: How long an operation may wait.
  /// - Returns: This rank's communicator.
  /// - Throws: ``CollectiveError`` where what was inherited is not what the text says.
  package func join(timeout: Duration = .seconds(30)) throws(CollectiveError) -> Communicator {
    switch link {
    case .memory(let descriptor, let ranks, let vectorBytes):
      let layout = RegionLayout(ranks: ranks, vectorBytes: vectorBytes)
      let region = try SharedRegion.mapped(descriptor: descriptor, byteCount: layout.byteCount)
      return Communicator(region, layout, rank: rank, timeout: timeout)
    case .sockets(let sockets):
      return Communicator(try TCPTransport(rank: rank, sockets: sockets), timeout: timeout)
    }
  }
}
