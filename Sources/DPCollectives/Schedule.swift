/// A piece of a rank's memory, in elements.
public struct ScheduleSlice: Hashable, Sendable {
  /// Which memory.
  public enum Area: UInt8, Sendable {
    /// The caller's vector, which is reduced in place.
    case vector
    /// Memory of the schedule's own.
    case scratch
  }

  /// Which memory.
  public let area: Area
  /// The first element.
  public let start: Int
  /// How many elements.
  public let count: Int

  /// The elements behind each other, as indices of the area.
  public var range: Range<Int> { start..<start + count }

  /// A piece of the vector.
  static func vector(_ range: Range<Int>) -> ScheduleSlice {
    ScheduleSlice(area: .vector, start: range.lowerBound, count: range.count)
  }

  /// Part of the piece.
  func part(_ range: Range<Int>) -> ScheduleSlice {
    ScheduleSlice(area: area, start: start + range.lowerBound, count: range.count)
  }
}

/// What a message holds: one slice, or two behind each other.
public struct ScheduleSlices: Hashable, Sendable, RandomAccessCollection {
  private let first: ScheduleSlice
  private let second: ScheduleSlice

  /// Slices of which those without elements are left out.
  init(_ first: ScheduleSlice, _ second: ScheduleSlice? = nil) {
    let none = ScheduleSlice(area: .vector, start: 0, count: 0)
    let second = second ?? none
    self.first = first.count > 0 ? first : second
    self.second = first.count > 0 ? second : none
  }

  /// 0.
  public var startIndex: Int { 0 }
  /// How many slices there are: 0, 1 or 2.
  public var endIndex: Int { first.count == 0 ? 0 : second.count == 0 ? 1 : 2 }
  /// The first or the second slice.
  public subscript(position: Int) -> ScheduleSlice { position == 0 ? first : second }
  /// Elements of all slices.
  public var elementCount: Int { first.count + second.count }
}

/// A message that a rank sends.
public struct Send: Hashable, Sendable {
  /// The rank that receives it.
  public let peer: Int
  /// What is sent.
  public let slices: ScheduleSlices

  /// Elements in the message.
  public var count: Int { slices.elementCount }
}

/// A message that a rank receives.
public struct Receive: Hashable, Sendable {
  /// The rank that sends it.
  public let peer: Int
  /// Where it goes.
  public let slices: ScheduleSlices
  /// Whether it is added to what is there; else it replaces it.
  public let adds: Bool

  /// Elements in the message.
  public var count: Int { slices.elementCount }
}

/// Work that a rank does alone.
public enum LocalStep: Hashable, Sendable {
  /// Adds the first slice to the second, which has its length.
  case add(ScheduleSlice, into: ScheduleSlice)
  /// Copies the first slice over the second, which has its length.
  case copy(ScheduleSlice, into: ScheduleSlice)
}

/// Messages that go both ways at once, and the work around them.
///
/// A rank starts a round when its last one has ended; it does `prepare`, posts all messages, does
/// `meanwhile`, and ends the round when all messages have gone and come. No slice that is received
/// overlaps one that is sent or received in the same round, `meanwhile` touches none that is received
/// and changes none that is sent, and a peer gets and gives at most one message.
public struct Round: Hashable, Sendable {
  /// Work before the messages.
  public var prepare: [LocalStep] = []
  /// Messages out.
  public var sends: [Send] = []
  /// Messages in.
  public var receives: [Receive] = []
  /// Work while messages are under way.
  public var meanwhile: [LocalStep] = []
}

/// What one rank does in a collective operation.
public struct RankSchedule: Hashable, Sendable {
  /// Its rounds, in order.
  public var rounds: [Round] = []
  /// Elements of scratch memory that it needs.
  public var scratchCount = 0
}

/// A collective operation as data: who sends which elements to whom, and what is added when.
///
/// One value is proved by ``ScheduleChecker``, timed by ``EventSimulator`` and run by a
/// ``Communicator``, so that what is run is what was proved.
public struct Schedule: Hashable, Sendable {
  /// What is done.
  public enum Collective: Hashable, Sendable {
    /// Every rank gets the sum of all vectors.
    case allReduce(AllReduceAlgorithm)
    /// Rank r gets the sums of chunk r; its other elements are left undefined.
    case reduceScatter
    /// Rank r's chunk r goes to all.
    case allGather
    /// The root's vector goes to all.
    case broadcast(root: Int)
    /// Nobody goes on before all have come; the vector is two elements that are not looked at.
    case barrier
  }

  /// What is done.
  public let collective: Collective
  /// How many ranks take part.
  public let ranks: Int
  /// How many elements the vector has.
  public let count: Int
  /// The host of each rank, for algorithms that look at it.
  public let hosts: [Int]

  /// An operation.
  ///
  /// - Parameters:
  ///   - collective: What is done.
  ///   - ranks: How many ranks take part, at least 1.
  ///   - count: How many elements the vector has.
  ///   - hosts: The host of each rank, any numbers; nil where each rank is alone on its host.
  public init(_ collective: Collective, ranks: Int, count: Int, hosts: [Int]? = nil) {
    precondition(ranks > 0 && count >= 0, "\(ranks) ranks, \(count) elements")
    precondition(hosts == nil || hosts?.count == ranks, "\(ranks) ranks need as many hosts")
    self.collective = collective
    self.ranks = ranks
    self.count = collective == .barrier ? 2 : count
    self.hosts = hosts ?? Array(0..<ranks)
  }

  /// What one rank does.
  ///
  /// - Parameter rank: The rank, in 0..<ranks.
  /// - Returns: Its rounds.
  /// - Complexity: O(messages of that rank).
  public func rank(_ rank: Int) -> RankSchedule {
    precondition(rank >= 0 && rank < ranks, "rank \(rank) of \(ranks)")
    var builder = ScheduleBuilder(members: Array(0..<ranks), place: rank, range: 0..<count)
    switch collective {
    case .allReduce(let algorithm): builder.allReduce(algorithm, hosts: hosts)
    case .reduceScatter: builder.circulantReduceScatter()
    case .allGather: builder.circulantAllGather()
    case .broadcast(let root): builder.broadcast(from: root)
    case .barrier: builder.barrier()
    }
    return builder.finish()
  }
}
