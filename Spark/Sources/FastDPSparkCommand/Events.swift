internal import Foundation
internal import SparkConnect

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// What comes from outside: lines of standard input, its end, signals.
enum Events: Sendable {
  case line([UInt8])
  case end
  case interruption

  /// The longest line that is taken; a longer one is handed on cut, and is then no JSON.
  private static let longestLine = 16 << 20

  /// Begins to listen: one thread reads standard input, another waits for signals.
  ///
  /// - Returns: The events, in their order, ended by `end` or `interruption`.
  static func start() -> AsyncStream<Events> {
    let (stream, continuation) = AsyncStream.makeStream(of: Events.self)
    signal(SIGPIPE, SIG_IGN)
    let signals = Self.signals()
    Thread.detachNewThread {
      var byte: [UInt8] = [0]
      _ = Platform.read(signals, into: &byte)
      continuation.yield(.interruption)
      // Who asks twice does not want to wait.
      _ = Platform.read(signals, into: &byte)
      _exit(130)
    }
    Thread.detachNewThread {
      readLines { continuation.yield(.line($0)) }
      continuation.yield(.end)
    }
    return stream
  }

  /// A descriptor with a byte for each SIGINT, SIGTERM and SIGHUP.
  ///
  /// Handlers, unlike blocked signals, are not inherited by children.
  private static func signals() -> Int32 {
    var ends: [Int32] = [-1, -1]
    guard unsafe pipe(&ends) == 0 else { return -1 }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    unsafe signalEnd = ends[1]
    for number in [SIGINT, SIGTERM, SIGHUP] where !isIgnored(number) {
      signal(number) { _ in
        // SAFETY: written before any handler is set; write(2) may be called from a handler.
        let error = errno
        _ = unsafe write(signalEnd, "!", 1)
        errno = error
      }
    }
    return ends[0]
  }

  /// Whether a signal was switched off by who started this program, as nohup does.
  private static func isIgnored(_ number: Int32) -> Bool {
    let before = signal(number, SIG_IGN)
    let isIgnored =
      unsafe unsafeBitCast(before, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self)
    if !isIgnored { signal(number, SIG_DFL) }
    return isIgnored
  }

  private static func readLines(_ take: ([UInt8]) -> Void) {
    var line: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = Platform.read(0, into: &buffer)
      guard count > 0 else { break }
      for byte in buffer[..<count] {
        if byte == 0x0a {
          take(line)
          line = []
        } else if line.count <= longestLine {
          line.append(byte)
        }
      }
    }
    if !line.isEmpty { take(line) }
  }
}

/// Where signal handlers write.
nonisolated(unsafe) private var signalEnd: Int32 = -1
