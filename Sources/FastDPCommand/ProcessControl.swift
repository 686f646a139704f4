import DPCollectives
import Synchronization

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// The process: how it ends, what stops it, what it shows on.
enum ProcessControl {
  private static let stopRequests = Atomic<Int>(0)

  /// Whether SIGINT or SIGTERM has come.
  static var isStopRequested: Bool { stopRequests.load(ordering: .relaxed) > 0 }

  /// Lets SIGINT and SIGTERM ask for an orderly end; a second one ends at once.
  static func watchSignals() {
    // Touched here first: a signal handler must not be the one to initialise it.
    _ = stopRequests.load(ordering: .relaxed)
    for number in [SIGINT, SIGTERM] {
      signal(number) { _ in
        let before = ProcessControl.stopRequests.add(1, ordering: .relaxed).oldValue
        if before >= 1 { _exit(130) }
      }
    }
  }

  /// Makes writing to a program that has ended an error instead of this program's end.
  static func ignoreBrokenPipes() { _ = signal(SIGPIPE, SIG_IGN) }

  /// Keeps keys out of core files, and from other processes of the user.
  static func disableCoreDumps() { ProcessProtection.forbidDumps() }

  /// Whether standard error is a terminal.
  static let hasTerminal = isatty(STDERR_FILENO) == 1

  /// Ends the process, whatever its other threads are doing.
  static func endAtOnce(_ status: Int32) -> Never { _exit(status) }

  /// Ends the process.
  static func exit(_ status: Int32) -> Never {
    #if canImport(Glibc)
    Glibc.exit(status)
    #else
    Darwin.exit(status)
    #endif
  }
}
