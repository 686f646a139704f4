internal import SparkConnect
internal import Synchronization

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// `fastdp-spark`: runs SQL on a Spark cluster for `fastdp`, by lines of JSON (docs/spark-protocol.md).
@main
struct Main {
  static func main() async {
    switch CommandLine.arguments.dropFirst().first {
    case nil: break
    case "--version": return print("fastdp-spark 0.1.0, protocol 1")
    case "--help", "-h": return print(help)
    default:
      _ = Platform.write(Array("fastdp-spark: takes no arguments; see --help\n".utf8), to: 2)
      exit(64)
    }
    await exit(serve())
  }

  private static let help = """
    fastdp-spark runs SQL on a Spark cluster for fastdp. It reads requests from standard input and writes
    replies to standard output, one JSON object a line, as docs/spark-protocol.md says.

      fastdp-spark --version      the program's version and the protocol's
    """

  /// Serves standard input to its end or to a signal.
  ///
  /// - Returns: The exit status: 0 at the end of input, 130 after a signal.
  private static func serve() async -> Int32 {
    let events = Events.start()
    let surroundings = Executor.Surroundings(
      leftovers: .ofUser, user: Platform.variable("USER") ?? "fastdp",
      environment: Platform.environment())
    let executor = Executor(surroundings) { line in Output.shared.write(line) }
    var status: Int32 = 0
    events: for await event in events {
      switch event {
      case .line(let line): await executor.take(line)
      case .end: break events
      case .interruption:
        status = 130
        break events
      }
    }
    await executor.end()
    return status
  }
}

/// Standard output, one line at a time from any thread.
private final class Output: Sendable {
  static let shared = Output()
  private let isOpen = Mutex(true)

  func write(_ line: String) {
    isOpen.withLock { isOpen in
      // Where nobody reads any more, the end of standard input is near.
      isOpen = isOpen && Platform.write(Array((line + "\n").utf8), to: 1)
    }
  }
}
