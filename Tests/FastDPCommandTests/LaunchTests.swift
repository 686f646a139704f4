import DPCollectives
import Foundation
import TestSupport
import Testing

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// What `fastdp launch` promises, with sums in place of training.
struct LaunchTests {
  private static let sums = [
    "bench", "allreduce", "--sizes", "64,65536", "--repeats", "3", "--json",
  ]

  /// Ranks that the command starts find each other; rank 0's output is the output.
  @Test(arguments: ["shm", "tcp"])
  func ranksAreStarted(transport: String) throws {
    let outcome = try fastdp(
      ["launch", "--ranks", "3", "--"] + LaunchTests.sums + ["--transport", transport])
    #expect(outcome.status == 0, "\(outcome.errors)")
    let rows = try #require(outcome.json()["results"] as? [[String: Any]])
    #expect(rows.count == 2)
    #expect(outcome.errors.isEmpty, "\(outcome.errors)")
  }

  /// Two processes that are started by hand find each other by an address and a secret.
  @Test func ranksAreStartedByHand() throws {
    let folder = try ScratchFolder()
    let secret = folder.file("ranks.secret")
    try succeed("launch", "secret", "--out", secret)
    let mode = try FileManager.default.attributesOfItem(atPath: secret)[.posixPermissions]
    #expect(mode as? Int == 0o600)
    expectRefusal(try fastdp("launch", "secret", "--out", secret), 73, naming: [secret])
    let port = 20_000 + Int(getpid()) % 12_000
    let place = ["--ranks", "2", "--master", "127.0.0.1:\(port)", "--secret-file", secret]
    let first = try RunningProgram(
      Program.path(), LaunchTests.sums + place + ["--rank", "0"], environment: [:])
    let second = try fastdp(LaunchTests.sums + place + ["--rank", "1"])
    let outcome = try first.wait()
    #expect(outcome.status == 0 && second.status == 0, "\(outcome.errors)\(second.errors)")
    #expect(second.output.isEmpty)
  }

  #if os(Linux)
  /// A rank that is killed ends all, soon, with its own status; the others name it in one line each.
  @Test func killedRanksEndAll() throws {
    let launcher = try RunningProgram(
      Program.path(),
      ["launch", "--ranks", "3", "--"]
        + ["bench", "allreduce", "--sizes", "64", "--repeats", "1000000", "--transport", "tcp"],
      environment: [:])
    let ranks = try Children.wait(of: launcher.process, count: 3)
    // Not before they have found each other.
    usleep(500_000)
    kill(ranks[1], SIGKILL)
    let clock = ContinuousClock()
    let start = clock.now
    let outcome = try launcher.wait(timeout: 30)
    #expect(clock.now - start < .seconds(20))
    #expect(outcome.status == 128 + SIGKILL, "\(outcome.status) \(outcome.errors)")
    for line in outcome.errorLines {
      #expect(line.hasPrefix("[0] fastdp: ") || line.hasPrefix("[2] fastdp: "), "\(line)")
      #expect(line.contains("rank 1 ("), "\(line)")
    }
    #expect(outcome.errorLines.count == 2)
    #expect(!ranks.contains(where: Children.isAlive))
  }

  /// Whoever kills the launcher kills its ranks: nobody is left behind.
  @Test(arguments: [SIGKILL, SIGTERM])
  func nobodyIsLeftBehind(signal: Int32) throws {
    let launcher = try RunningProgram(
      Program.path(),
      ["launch", "--ranks", "2", "--timeout", "1s", "--"]
        + ["bench", "allreduce", "--sizes", "64", "--repeats", "1000000"],
      environment: [:])
    let ranks = try Children.wait(of: launcher.process, count: 2)
    launcher.send(signal)
    let outcome = try launcher.wait(timeout: 30)
    #expect(outcome.status == (signal == SIGKILL ? -SIGKILL : 130), "\(outcome.errors)")
    let deadline = ContinuousClock.now + .seconds(20)
    while ContinuousClock.now < deadline, ranks.contains(where: Children.isAlive) {
      usleep(10_000)
    }
    #expect(!ranks.contains(where: Children.isAlive))
  }

  #endif

  /// What is refused is refused once by each rank, and not tried again.
  @Test func usageIsNotTriedAgain() throws {
    let outcome = try fastdp(
      "launch", "--ranks", "2", "--restarts", "5", "--", "bench", "allreduce", "--sizes", "3")
    #expect(outcome.status == 64)
    #expect(outcome.errorLines.count <= 2, "\(outcome.errors)")
  }

  /// Mistakes on the way name their remedy.
  @Test(arguments: [
    (["launch", "--ranks", "2"], "--"), (["launch", "--ranks", "0", "--", "train"], "0"),
    (["launch", "--ranks", "2", "--", "launch"], "--"),
    (["bench", "allreduce", "--rank", "0", "--ranks", "2"], "--master"),
    (
      ["bench", "allreduce", "--rank", "0", "--ranks", "2", "--master", "127.0.0.1:4000"],
      "--secret-file"
    ),
    (["bench", "allreduce", "--rank", "0", "--ranks", "2", "--master", "here"], "HOST:PORT"),
    (["bench", "allreduce"], "--ranks"),
  ])
  func mistakesNameTheirRemedy(arguments: [String], word: String) throws {
    expectRefusal(try fastdp(arguments), 64, naming: [word])
  }

  /// Ranks that Open MPI has started find each other without a port or a secret.
  @Test func ranksAreStartedByMPI() throws {
    let mpirun = "/usr/bin/mpirun"
    guard FileManager.default.isExecutableFile(atPath: mpirun) else {
      return print("skipped: there is no mpirun")
    }
    let outcome = try RunningProgram(
      mpirun,
      [
        "--allow-run-as-root", "--oversubscribe", "--mca", "oob_tcp_if_include", "lo", "-n", "3",
        Program.path(),
      ] + LaunchTests.sums, environment: [:]
    ).wait()
    #expect(outcome.status == 0, "\(outcome.errors)")
    let rows = try #require(outcome.json()["results"] as? [[String: Any]])
    #expect(rows.count == 2)
  }
}

/// Processes that a process has started.
enum Children {
  /// Waits until there are so many.
  static func wait(of parent: pid_t, count: Int) throws -> [pid_t] {
    let path = "/proc/\(parent)/task/\(parent)/children"
    let deadline = ContinuousClock.now + .seconds(20)
    while ContinuousClock.now < deadline {
      let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
      let found = text.split(separator: " ").compactMap { pid_t($0) }
      if found.count == count { return found }
      usleep(5000)
    }
    throw Missing(parent: parent, count: count)
  }

  /// Whether a process runs: one that has ended stays in the list until its parent looks.
  static func isAlive(_ process: pid_t) -> Bool {
    guard let stat = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8),
      let end = stat.lastIndex(of: ")")
    else { return false }
    return !stat[end...].hasPrefix(") Z")
  }

  private struct Missing: Error {
    let parent: pid_t
    let count: Int
  }
}
