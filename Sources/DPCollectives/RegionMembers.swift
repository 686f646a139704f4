internal import CDPSystem
internal import Synchronization

/// Who of the ranks that share memory is there, and what operation each waits in.
///
/// Looked at by those who wait long: what it says are the reasons why they would wait for ever.
@safe struct RegionMembers {
  private enum State: UInt32 {
    case present = 1
    case left = 2
    case gaveUp = 3
  }

  private let rank: Int
  private let numbers: [Int]
  // SAFETY: the layout's offsets lie within the region that `base` begins, which the owner of this
  // value keeps alive.
  private let base: UnsafeMutableRawPointer
  private let layout: RegionLayout

  /// The members of a region, whose numbers in the whole group are for errors.
  init(_ region: SharedRegion, _ layout: RegionLayout, rank: Int, numbers: [Int]) {
    self.rank = rank
    self.numbers = numbers
    self.layout = layout
    unsafe base = region.base
  }

  private func state(of rank: Int) -> SharedWord {
    unsafe SharedWord(base + layout.member(rank))
  }

  private func process(of rank: Int) -> SharedWord {
    unsafe SharedWord(base + layout.member(rank) + 4)
  }

  private func space(of rank: Int) -> SharedWord {
    unsafe SharedWord(base + layout.member(rank) + 8)
  }

  /// What a rank waits in: 32 bits of the operation's number, and 32 of its fingerprint.
  private func mark(of rank: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
    unsafe (base + layout.member(rank) + 16).bindMemory(to: Atomic<UInt64>.self, capacity: 1)
  }

  /// Numbers of processes mean the same to all that have the same number here.
  private static let processSpace = cdp_process_space()

  /// Says that this rank is there, in the process of a number.
  func join(process number: Int32) {
    process(of: rank).publish(UInt32(bitPattern: number))
    space(of: rank).publish(RegionMembers.processSpace)
    state(of: rank).publish(State.present.rawValue)
  }

  /// Says that this rank calls no more operations.
  func leave() {
    guard state(of: rank).value == State.present.rawValue else { return }
    state(of: rank).publish(State.left.rawValue)
  }

  /// Says that this rank has failed.
  func giveUp() { state(of: rank).publish(State.gaveUp.rawValue) }

  /// Why a peer that is waited for in an operation will not come; nil where it may.
  ///
  /// What the peer has done before it left can be seen once this has said that it did.
  func fault(of peer: Int, _ operation: OperationMark, _ name: String) -> CollectiveError? {
    let own = operation.packed
    unsafe mark(of: rank).pointee.store(own, ordering: .sequentiallyConsistent)
    switch State(rawValue: state(of: peer).value) {
    case .left: return lost(peer, name, "it has left the group; see why it ended before the others")
    case .gaveUp: return lost(peer, name, "it gave up after an error of its own; see what it says")
    case .present where hasEnded(peer): return lost(peer, name, "its process has ended; see why")
    case .present, nil: break
    }
    let other = unsafe mark(of: peer).pointee.load(ordering: .sequentiallyConsistent)
    guard other >> 32 == own >> 32, other != own else { return nil }
    return CollectiveError.otherCall(
      numbers[peer], name, numbers[rank], "it waits in another operation \(operation.sequence)")
  }

  private func hasEnded(_ peer: Int) -> Bool {
    guard space(of: peer).value == RegionMembers.processSpace else { return false }
    return cdp_process_has_ended(Int32(bitPattern: process(of: peer).value)) != 0
  }

  private func lost(_ peer: Int, _ name: String, _ why: String) -> CollectiveError {
    CollectiveError(
      .peerLost, "rank \(numbers[peer]) (\(name)) is lost: \(why)", peer: numbers[peer])
  }
}

extension CollectiveError {
  /// A peer is in another operation than this rank.
  static func otherCall(
    _ peer: Int, _ name: String, _ rank: Int, _ conflict: String
  ) -> CollectiveError {
    CollectiveError(
      .mismatch,
      "rank \(peer) (\(name)) does not do what rank \(rank) does: \(conflict); "
        + "all ranks must call the same operations in the same order", peer: peer)
  }
}
