import DPCollectives
import Foundation
import TestSupport
import Testing

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// What training on several ranks promises whoever starts it: from shards, by MPI, and when it fails.
struct RankTrainingTests {
  private let folder: ScratchFolder

  init() throws { folder = try ScratchFolder() }

  private var run: RunFolder { RunFolder(folder.file("run")) }

  /// A run that comes to the same model everywhere.
  private func repeatable(_ data: String..., out: String = "run") -> [String] {
    ["train"] + data + [
      "--out", folder.file(out), "--steps", "30", "--batch-size", "300", "--numerics", "canonical",
      "--insecure-seed", "5", "--json",
    ]
  }

  private func model(_ name: String) throws -> Data {
    try RunFolder(folder.file(name)).data("model.safetensors")
  }

  /// From a dataset file, from all shards by their common name, from shards of their own: the model, the
  /// metrics and the statement are the same, and evaluation takes shards too.
  @Test func shardsGiveTheModelOfTheWhole() throws {
    let data = try folder.dataset(rows: 20_000)
    let base = folder.file("d.safetensors")
    try succeed(
      "prepare", folder.file("table.csv"), "--schema", folder.file("schema.yaml"), "--out", base,
      "--shards", "2")
    let alone = try succeed(repeatable(data, out: "alone"))
    let own = folder.file("d-{rank}-of-00002.safetensors")
    for (name, words) in [
      ("one", repeatable(base, out: "one")),
      ("all", ["launch", "--ranks", "3", "--"] + repeatable(base, out: "all")),
      ("own", ["launch", "--ranks", "2", "--"] + repeatable(own, out: "own")),
    ] {
      let outcome = try succeed(words)
      #expect(try model(name) == model("alone"))
      for key in ["testAccuracy", "testLoss", "trainExamples", "examples"] {
        #expect(try outcome.number(key) == alone.number(key), "\(key)")
      }
      #expect(
        try RunFolder(folder.file(name)).data("statement.txt")
          == RunFolder(folder.file("alone")).data("statement.txt"))
    }
    let evaluated = try succeed(
      "evaluate", folder.file("alone"), folder.file("d-*-of-00002.safetensors"), "--json")
    #expect(try evaluated.number("accuracy") == alone.number("testAccuracy"))
    let lone = folder.file("d-00001-of-00002.safetensors")
    expectRefusal(
      try fastdp("train", lone, "--out", folder.file("lone")), 65,
      naming: ["shard 2 of 2 only", "shard 1 is missing"])
    let outcome = try fastdp(
      "launch", "--ranks", "2", "--", "train", lone, "--out", folder.file("lone"))
    #expect(outcome.status == 64 && outcome.errors.contains("no rank has shard 1 of 2"))
    #expect(!folder.holds("lone"))
  }

  /// Sums by the system's Open MPI give the same model; without its mpirun there are none.
  @Test func mpiGivesTheSameModel() throws {
    let mpirun = "/usr/bin/mpirun"
    guard FileManager.default.isExecutableFile(atPath: mpirun) else {
      return print("skipped: there is no mpirun")
    }
    let data = try folder.dataset(rows: 3000)
    try succeed(repeatable(data, out: "alone"))
    let outcome = try RunningProgram(
      mpirun,
      [
        "--allow-run-as-root", "--oversubscribe", "--mca", "oob_tcp_if_include", "lo", "-n", "3",
        Program.path(),
      ] + repeatable(data) + ["--collectives", "mpi"], environment: [:]
    ).wait()
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(try model("run") == model("alone"))
    let ranks = try #require(run.json("run.json")["ranks"] as? [String: Any])
    #expect(ranks["transport"] as? String == "mpi")
    #expect(ranks["algorithms"] as? String == "Open MPI's")
    let elsewhere = try fastdp(
      ["launch", "--ranks", "2", "--"] + repeatable(data, out: "other") + ["--collectives", "mpi"])
    #expect(elsewhere.status != 0 && elsewhere.errors.contains("mpirun"), "\(elsewhere.errors)")
    #expect(!folder.holds("other"))
  }

  #if os(Linux)
  /// T of the runs that are disturbed: some seconds of work.
  private static let steps = 20_000

  private func long(_ more: [String], launch: [String] = []) throws -> RunningProgram {
    let data = try folder.dataset(rows: 20_000)
    return try RunningProgram(
      Program.path(),
      ["launch", "--ranks", "2"] + launch + ["--"] + [
        "train", data, "--out", run.path, "--steps", "\(Self.steps)", "--batch-size", "400",
        "--checkpoint-every", "0.05s", "--threads", "1",
      ] + more, environment: [:])
  }

  /// A rank that is killed or stopped ends the run on all, in bounded time and named; nothing was done
  /// that is not charged, and the run can be resumed.
  @Test(arguments: [SIGKILL, SIGSTOP], [0, 1])
  func aLostRankEndsTheRun(signal: Int32, victim: Int) throws {
    let launcher = try long(["--timeout", "4s"])
    let ranks = try Children.wait(of: launcher.process, count: 2)
    try waitUntil { run.holds("checkpoints") || !launcher.isRunning }
    kill(ranks[victim], signal)
    let outcome = try launcher.wait()
    guard outcome.status != 0 else { return print("skipped: the run was over before the signal") }
    #expect(outcome.status == (signal == SIGKILL ? 128 + SIGKILL : 69), "\(outcome.errors)")
    #expect(outcome.errors.contains("rank \(victim) ("), "\(outcome.errors)")
    #expect(!ranks.contains(where: Children.isAlive))
    try run.expectWholeFiles()
    #expect(try run.chargedSteps() >= run.checkpointSteps())
    let resumed = try fastdp(
      "train", folder.file("data.safetensors"), "--out", run.path, "--resume")
    #expect(resumed.status == 0, "\(resumed.errors)")
    try run.expectComplete()
  }

  /// With restarts a job goes on by itself when a rank was killed: under a fresh key, so that the steps
  /// that may have run stay charged and are not taken again.
  @Test func aKilledRankIsStartedAnew() throws {
    let launcher = try long(["--epsilon", "1"], launch: ["--restarts", "2"])
    let ranks = try Children.wait(of: launcher.process, count: 2)
    try waitUntil { run.holds("checkpoints") || !launcher.isRunning }
    kill(ranks[1], SIGKILL)
    let outcome = try launcher.wait()
    #expect(outcome.status == 0, "\(outcome.errors)")
    guard outcome.errors.contains("generation 1 of at most 2") else {
      return print("skipped: the run was over before the signal")
    }
    try run.expectComplete()
    #expect(try run.chargedSteps() == Self.steps)
    let taken = try #require(run.json("run.json")["stepsTaken"] as? Int)
    #expect(taken > 0 && taken <= Self.steps)
    let epsilon = try #require(run.json("statement.json")["epsilon"] as? Double)
    #expect(epsilon <= 1)
  }

  /// A disk that is full ends the run on all ranks, which are told by whom and why.
  @Test(.enabled(if: TinyDisk.isAvailable, "only the superuser can mount a small disk to fill"))
  func aFullDiskEndsTheRunOnAllRanks() throws {
    let disk = try #require(try TinyDisk(kilobytes: 256))
    let run = RunFolder(disk.folder.file("run"))
    let launcher = try long(["--out", run.path])
    try waitUntil { run.holds("checkpoints") || !launcher.isRunning }
    try disk.fill()
    let outcome = try launcher.wait()
    guard outcome.status != 0 else { return print("skipped: the run was over before the disk") }
    #expect(outcome.status == 74, "\(outcome.errors)")
    #expect(outcome.errorLines.count == 2, "\(outcome.errors)")
    for line in outcome.errorLines { #expect(line.contains(run.path), "\(line)") }
    let told = outcome.errorLines.contains { $0.hasPrefix("[1] fastdp: rank 0 (") }
    #expect(told, "\(outcome.errors)")
    disk.free()
    try run.expectWholeFiles()
  }
  #endif

  /// Ranks that were started differently say what differs, and nothing is made.
  @Test(arguments: [
    (["--steps", "31"], "steps '31'"), (["--epsilon", "2"], "epsilon"),
    (["--collectives", "mpi"], "collectives 'mpi'"), (["--resume"], "resume 'true'"),
    (["--algorithm", "ring"], "algorithm 'ring'"),
  ])
  func differencesAreNamed(more: [String], words: String) throws {
    let data = try folder.dataset(rows: 1000)
    let secret = folder.file("ranks.secret")
    try succeed("launch", "secret", "--out", secret)
    // One for each case, and none of those of other tests.
    let port = 20_000 + (Int(getpid()) + 100 + 3 * words.utf8.count) % 12_000
    let place = [
      "--ranks", "2", "--master", "127.0.0.1:\(port)", "--secret-file", secret, "--timeout", "20s",
    ]
    let settings = ["train", data, "--out", run.path, "--steps", "30"] + place
    let first = try RunningProgram(
      Program.path(), settings + ["--rank", "0"], environment: [:])
    let second = try fastdp(settings + ["--rank", "1"] + more)
    for outcome in [try first.wait(), second] {
      #expect(outcome.status != 0 && outcome.errorLines.count == 1, "\(outcome.errors)")
      #expect(outcome.errors.contains("rank 1 ("), "\(outcome.errors)")
      #expect(outcome.errors.contains(words), "\(outcome.errors)")
    }
    #expect(!folder.holds("run"))
  }
}
