internal import CDPSystem

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// A moment until which something is waited for.
struct Deadline {
  private let nanoseconds: Int64

  /// So much time from now.
  init(after duration: Duration) { nanoseconds = Deadline.now &+ duration.nanoseconds }

  /// The time that is left, in nanoseconds; not positive when the moment has come.
  var left: Int64 { nanoseconds - Deadline.now }

  /// A clock that never goes back.
  static var now: Int64 {
    var time = timespec()
    // SAFETY: clock_gettime fills the structure it is lent.
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec)
  }
}

extension Duration {
  /// The duration in nanoseconds, at most 292 years.
  var nanoseconds: Int64 {
    let (seconds, attoseconds) = components
    guard seconds < Int64.max / 2_000_000_000 else { return .max / 2 }
    return seconds * 1_000_000_000 + attoseconds / 1_000_000_000
  }
}

/// How a rank waits: it looks again and again, then lets others run, then sleeps.
///
/// Looking is fastest where each rank has a processor; where ranks outnumber processors it keeps the
/// one away that is waited for.
package struct WaitPolicy: Hashable, Sendable {
  /// How often to look before anything else.
  package var looks: Int
  /// How often to let others run and look again before sleeping.
  package var yields: Int

  /// A policy.
  package init(looks: Int, yields: Int) {
    self.looks = looks
    self.yields = yields
  }

  /// The policy for so many ranks on this machine.
  package init(ranksHere: Int) {
    self =
      ranksHere <= WaitPolicy.processors
      ? WaitPolicy(looks: 2000, yields: 5000) : WaitPolicy(looks: 2, yields: 500)
  }

  /// Processors that this process may use.
  package static let processors = Int(cdp_processors())
}
