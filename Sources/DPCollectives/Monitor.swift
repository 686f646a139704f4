internal import CDPSystem

/// A lock at which threads also wait for news.
@safe final class Monitor: @unchecked Sendable {
  // Sendable: made for use by several threads. SAFETY: it lives as long as this object.
  private let monitor: OpaquePointer

  init() {
    guard let monitor = unsafe cdp_monitor_make() else { preconditionFailure("no memory is left") }
    unsafe self.monitor = unsafe monitor
  }

  deinit { unsafe cdp_monitor_end(monitor) }

  /// Does something that no other thread does at the same time.
  func locked<Value, Failure: Error>(
    _ body: () throws(Failure) -> Value
  ) throws(Failure) -> Value {
    unsafe cdp_monitor_lock(monitor)
    defer { unsafe cdp_monitor_unlock(monitor) }
    return try body()
  }

  /// Wakes all who wait; called with the lock.
  func announce() { unsafe cdp_monitor_announce(monitor) }

  /// Waits for news until a deadline, with the lock, which others may take meanwhile; may wake early.
  func wait(until deadline: Deadline) {
    unsafe cdp_monitor_wait(monitor, max(0, min(deadline.left, 100_000_000)))
  }
}

/// A thread of this process that runs one body and ends.
struct HelperThread: Sendable {
  private let thread: UInt

  private final class Body {
    let run: () -> Void
    init(_ run: @escaping () -> Void) { self.run = run }
  }

  /// Starts a thread.
  init(_ run: @escaping @Sendable () -> Void) throws(CollectiveError) {
    let context = unsafe Unmanaged.passRetained(Body(run))
    var thread: UInt = 0
    // SAFETY: the new thread takes over the reference that was retained for it.
    let failure = unsafe cdp_thread_start(
      { context in
        guard let context = unsafe context else { return }
        unsafe Unmanaged<Body>.fromOpaque(context).takeRetainedValue().run()
      }, context.toOpaque(), &thread)
    guard failure == 0 else {
      unsafe context.release()
      throw CollectiveError(.system, "cannot start a thread; error \(failure)")
    }
    self.thread = thread
  }

  /// Waits for its end.
  func join() { cdp_thread_join(thread) }
}
