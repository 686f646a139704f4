internal import CTestSupport

/// What the calling thread does outside of Swift.
package enum ThreadWatch {
  /// How often this thread has asked for memory; nil where that is not counted.
  package static var allocations: Int64? {
    let count = test_allocations()
    return count < 0 ? nil : count
  }

  /// Ends the process by SIGSYS at this thread's next system call.
  ///
  /// - Returns: Whether the system can do that.
  package static func forbidSystemCalls() -> Bool { test_forbid_calls() == 0 }

  /// Makes a system call that changes nothing.
  package static func makeSystemCall() { test_make_call() }
}
