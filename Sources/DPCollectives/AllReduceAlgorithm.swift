/// The ways to give every rank the sum of all vectors.
///
/// With P ranks, n bytes, q = ⌈lg P⌉, L = ⌊lg P⌋, and "+" for what is added where P is no power of two:
///
/// | algorithm | rounds | bytes a rank sends at most | sums |
/// |---|---|---|---|
/// | naive | 1 | (P − 1)n | in order of ranks |
/// | roundRobin | P − 1 | (P − 1)n | in order of ranks |
/// | roundRobinChunked | 2⌈(P − 1)/4⌉; 2(P − 1) where chunks are long | 2(P − 1)n/P | in order of ranks |
/// | binomial | 2q | qn | a tree |
/// | recursiveDoubling | L (+ 2) | Ln (+ n) | a tree, the same for every element |
/// | halvingDoubling | 2L (+ 3) | 2(2^L − 1)n/2^L (+ 1.5n) | as recursiveDoubling |
/// | ring | 2(P − 1) | 2(P − 1)n/P | in order from the chunk's owner |
/// | segmentedRing | 2(P − 1) per segment | 2(P − 1)n/P | as ring |
/// | circulant | 2q | 2(P − 1)n/P | a tree that turns with the chunk |
/// | bruck | q | (P − 1)n | in order of ranks |
/// | hierarchical | depends on the hosts | 2n/L and what lies between hosts | within hosts in order |
/// | direct | two barriers | none: shared memory | in order of ranks |
///
/// All ranks get the same bits from each. "In order of ranks" is ((x0 + x1) + x2) + ... for every
/// element, so that these algorithms give the same bits as each other for any length.
public enum AllReduceAlgorithm: UInt8, Hashable, Sendable, CaseIterable {
  /// Everybody sends everything to everybody and adds in order of ranks.
  case naive
  /// Like naive, one partner at a time: rank i sends to i + 1, then to i + 2, ...
  case roundRobin
  /// Each rank sums one chunk that all others send it, then sends the sum to all.
  case roundRobinChunked
  /// Sums go up a binomial tree, the result goes down.
  case binomial
  /// Partners at distance 1, 2, 4, ... swap all they have: the butterfly.
  case recursiveDoubling
  /// Partners swap halves, quarters, ...; then in reverse: Rabenseifner's algorithm.
  case halvingDoubling
  /// Chunks go around, growing, then around again, finished.
  case ring
  /// The ring in segments: one is added while the next is under way.
  case segmentedRing
  /// Träff's reduce-scatter and all-gather: fewest rounds and fewest bytes for any number of ranks.
  case circulant
  /// All vectors are gathered in ⌈lg P⌉ rounds and added in order of ranks.
  case bruck
  /// Sums within each host, circulant between hosts, copies within each host.
  case hierarchical
  /// Shared memory: each rank sums a slice of all vectors where they lie.
  case direct

  /// The name that commands and records use: "recursive-doubling".
  public var name: String {
    switch self {
    case .naive: "naive"
    case .roundRobin: "round-robin"
    case .roundRobinChunked: "round-robin-chunked"
    case .binomial: "binomial"
    case .recursiveDoubling: "recursive-doubling"
    case .halvingDoubling: "halving-doubling"
    case .ring: "ring"
    case .segmentedRing: "segmented-ring"
    case .circulant: "circulant"
    case .bruck: "bruck"
    case .hierarchical: "hierarchical"
    case .direct: "direct"
    }
  }

  /// The algorithm of a name.
  ///
  /// - Parameter name: As ``name`` gives it.
  public init?(name: some StringProtocol) {
    guard let found = AllReduceAlgorithm.allCases.first(where: { $0.name == name }) else {
      return nil
    }
    self = found
  }

  /// Whether it works by messages; the others need shared memory.
  public var sendsMessages: Bool { self != .direct }
}

/// How an algorithm cuts its work.
enum Tuning {
  /// Partners that a rank has under way at once when it sends chunks of so many elements.
  ///
  /// Several hide each other's latency. Where it is bytes that take the time, one alone is better:
  /// then no two ranks ever send to the same one.
  static func partners(chunk: Int) -> Int { chunk < 1 << 13 ? 4 : 1 }

  /// Elements in a segment of a segmented ring, about.
  static let segment = 1 << 16
}
