internal import Synchronization

/// What is known of a group's health: shared by the thread that computes and the one that watches.
///
/// The first fault that is known is the group's, on every rank; who waits for a peer looks here at
/// least ten times a second.
@safe package final class GroupWatch: @unchecked Sendable {
  // Sendable: what changes is atomic, or changes with the monitor's lock.
  private let faulty = Atomic<Bool>(false)
  private let begun = Atomic<UInt64>(0)
  private let monitor = Monitor()
  private var known: CollectiveError?
  private var report: (@Sendable (CollectiveError) -> Void)?

  /// A watch over a group that is well.
  package init() {}

  /// Says where this rank's own errors are to be told.
  func onError(_ report: (@Sendable (CollectiveError) -> Void)?) {
    monitor.locked { self.report = report }
  }

  /// Notes that this rank begins an operation.
  func begin(_ sequence: UInt64, _ kind: OperationKind) {
    begun.store(sequence << 8 | UInt64(kind.rawValue), ordering: .relaxed)
  }

  /// The operation that this rank has begun last.
  var progress: GroupProgress { GroupProgress(word: begun.load(ordering: .relaxed)) }

  /// What has ended the group; nil while it is well.
  package var fault: CollectiveError? {
    faulty.load(ordering: .acquiring) ? monitor.locked { known } : nil
  }

  /// Throws what has ended the group, if anything has.
  func check() throws(CollectiveError) {
    if let fault { throw fault }
  }

  /// Ends the group, unless it has ended.
  ///
  /// - Returns: Whether this was the first fault.
  @discardableResult
  func fail(_ error: CollectiveError) -> Bool {
    monitor.locked {
      guard known == nil else { return false }
      known = error
      faulty.store(true, ordering: .releasing)
      monitor.announce()
      return true
    }
  }

  /// What to throw for an error of this rank's own: the group's fault, where there is one.
  ///
  /// A lost connection may be the end of a peer that has ended for a reason of its own, and a late
  /// peer may itself wait for another, so the group's word is waited for a moment.
  func settle(_ error: CollectiveError) -> CollectiveError {
    if let fault { return fault }
    if error.code == .peerLost, let fault = awaitFault(.milliseconds(500)) { return fault }
    guard let report = monitor.locked({ report }) else { return error }
    report(error)
    if error.code == .timeout, let fault = awaitFault(.seconds(1)) { return fault }
    return fault ?? error
  }

  private func awaitFault(_ time: Duration) -> CollectiveError? {
    let deadline = Deadline(after: time)
    return monitor.locked {
      guard report != nil else { return known }
      while known == nil, deadline.left > 0 { monitor.wait(until: deadline) }
      return known
    }
  }
}

/// How far a rank has come.
struct GroupProgress: Comparable {
  /// As it travels: the operation's number, then its kind in the last byte.
  let word: UInt64

  /// Numbers of operations, in their order.
  static func < (left: GroupProgress, right: GroupProgress) -> Bool {
    left.word >> 8 < right.word >> 8
  }

  /// What the rank does, for people.
  var name: String {
    guard word > 0 else { return "the start" }
    let kind = OperationKind(rawValue: UInt8(truncatingIfNeeded: word)).map { "\($0)" }
    return "\(kind ?? "operation") \(word >> 8)"
  }
}
