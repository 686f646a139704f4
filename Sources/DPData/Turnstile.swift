internal import CDPKernels
internal import Synchronization

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// Something that one thread has at a time.
@safe final class ThreadLock: @unchecked Sendable {
  fileprivate let mutex: UnsafeMutablePointer<pthread_mutex_t>

  init() {
    // SAFETY: it lives as long as this object.
    unsafe mutex = .allocate(capacity: 1)
    unsafe mutex.initialize(to: pthread_mutex_t())
    unsafe pthread_mutex_init(mutex, nil)
  }

  deinit {
    unsafe pthread_mutex_destroy(mutex)
    unsafe mutex.deallocate()
  }

  /// Does something while no other thread does.
  func locked<Result>(_ body: () throws -> Result) rethrows -> Result {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    return try body()
  }
}

/// Lets threads pass one by one, in the order of their tickets.
@safe final class Turnstile: @unchecked Sendable {
  private let turn = Atomic<Int>(0)
  private let sleeping = Atomic<Int>(0)
  private let lock = ThreadLock()
  private let wakeUp: UnsafeMutablePointer<pthread_cond_t>
  /// Rounds of waiting actively, before a thread sleeps.
  private static let patience = 2000

  init() {
    // SAFETY: it lives as long as this object.
    unsafe wakeUp = .allocate(capacity: 1)
    unsafe wakeUp.initialize(to: pthread_cond_t())
    unsafe pthread_cond_init(wakeUp, nil)
  }

  deinit {
    unsafe pthread_cond_destroy(wakeUp)
    unsafe wakeUp.deallocate()
  }

  /// Waits for a ticket's turn, does something, and lets the next ticket pass.
  ///
  /// - Parameters:
  ///   - ticket: Tickets count from 0, and each passes once.
  ///   - body: Sees everything that earlier tickets did here.
  /// - Returns: What `body` returns.
  func pass<Result>(_ ticket: Int, _ body: () -> Result) -> Result {
    wait(for: ticket)
    defer { advance() }
    return body()
  }

  /// Whether a ticket's turn has come.
  func isTurn(_ ticket: Int) -> Bool { turn.load(ordering: .acquiring) == ticket }

  /// Waits for a ticket's turn, which then lasts until ``advance()``.
  func wait(for ticket: Int) {
    for _ in 0..<Self.patience {
      if isTurn(ticket) { return }
      cdp_pause()
    }
    lock.locked {
      sleeping.add(1, ordering: .sequentiallyConsistent)
      while turn.load(ordering: .sequentiallyConsistent) != ticket {
        unsafe pthread_cond_wait(wakeUp, lock.mutex)
      }
      sleeping.subtract(1, ordering: .sequentiallyConsistent)
    }
  }

  /// Ends the turn that one waited for.
  func advance() {
    turn.add(1, ordering: .sequentiallyConsistent)
    guard sleeping.load(ordering: .sequentiallyConsistent) > 0 else { return }
    lock.locked { _ = unsafe pthread_cond_broadcast(wakeUp) }
  }
}
