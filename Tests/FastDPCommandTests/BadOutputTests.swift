import Foundation
import TestSupport
import Testing

/// An output that cannot be made, or not to its end, leaves nothing behind.
struct BadOutputTests {
  private let folder: ScratchFolder
  private let data: String

  init() throws {
    folder = try ScratchFolder()
    data = try folder.dataset(rows: 300)
  }

  private func prepare(to path: String) -> [String] {
    ["prepare", folder.file("table.csv"), "--schema", folder.file("schema.yaml"), "--out", path]
  }

  /// Every command that writes a file, to a given path; `run` has to hold a model.
  private func commands(writing path: String) -> [[String]] {
    [
      prepare(to: path),
      ["schema", folder.file("table.csv"), "--label", "employed", "--out", path],
      ["predict", folder.file("run"), folder.file("table.csv"), "--out", path],
    ]
  }

  private func trainModel() throws {
    try succeed("train", data, "--out", folder.file("run"), "--steps", "2", "--hidden", "none")
  }

  /// A place where no file can be has status 73, for the superuser too.
  @Test func unwritablePlaceIsRefused() throws {
    try trainModel()
    let places = [
      folder.file("table.csv/below"), folder.file("absent/file"), folder.path, folder.path + "/",
      "/proc/fastdp-test", ".",
    ]
    for place in places {
      for command in commands(writing: place) {
        try expectRefusal(command, 73, in: folder, naming: [place])
      }
    }
  }

  /// A run cannot be where a file is, nor where its parent is missing.
  @Test func unwritableFolderIsRefused() throws {
    let places = ["table.csv", "table.csv/below", "absent/run"].map(folder.file)
    for place in places + ["/proc/fastdp-test"] {
      for command in [["train", data], ["demo", "--rows", "1000"]] {
        try expectRefusal(command + ["--out", place], 73, in: folder, naming: [place])
      }
    }
  }

  /// What exists is kept unless its replacement is asked for.
  @Test func existingFileIsKept() throws {
    try trainModel()
    let kept = try folder.write("kept", to: "kept")
    for command in commands(writing: kept) {
      try expectRefusal(command, 73, in: folder, naming: [kept, "exists"])
      try succeed(command + ["--overwrite"])
      #expect(try folder.text("kept") != "kept")
      #expect(try folder.mode("kept") == 0o600)
      _ = try folder.write("kept", to: "kept")
    }
    try expectRefusal(["demo", "--rows", "1000", "--out", folder.file("run")], 73, in: folder)
  }

  /// A place that cannot be written to is found out before the rows are read.
  @Test func unwritablePlaceIsFoundFirst() throws {
    _ = try folder.write("age,sex,educ,employed\nbad,0,low,1\n", to: "table.csv")
    expectRefusal(try fastdp(prepare(to: "/proc/fastdp-test")), 73)
    let train = ["train", folder.file("table.csv"), "--schema", folder.file("schema.yaml")]
    expectRefusal(try fastdp(train + ["--out", folder.file("schema.yaml")]), 73)
  }

  /// A result that cannot be printed is not passed over.
  @Test(
    .enabled(if: FileManager.default.fileExists(atPath: "/dev/full"), "there is no /dev/full"))
  func unprintableResultIsAnError() throws {
    try trainModel()
    for command in [
      ["train", data, "--plan-only", "--json"], ["evaluate", folder.file("run"), data, "--json"],
      ["schema", folder.file("table.csv"), "--label", "employed"],
      ["privacy", "noise", "--epsilon", "1"]
        + ["--delta", "1e-6", "--sampling-rate", "0.01", "--steps", "10"],
    ] {
      let shell = ["-c", "exec \"$0\" \"$@\" > /dev/full", try Program.path()]
      let outcome = try RunningProgram("/bin/sh", shell + command).wait()
      expectRefusal(outcome, 74)
    }
  }

  /// Where the superuser's rights do not count, a folder without write permission is refused.
  @Test(.enabled(if: NSUserName() != "root", "the superuser may write anywhere"))
  func forbiddenFolderIsRefused() throws {
    try trainModel()
    let locked = folder.file("locked")
    try FileManager.default.createDirectory(
      atPath: locked, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o500])
    for command in commands(writing: "\(locked)/file") + [["train", data, "--out", "\(locked)/r"]] {
      try expectRefusal(command, 73, in: folder, naming: [locked])
    }
  }
}

/// A disk without space: status 74, no half-written file, and a run that goes on afterwards.
@Suite(
  .enabled(if: TinyDisk.isAvailable, "only the superuser can mount a small disk to fill"))
struct FullDiskTests {
  private let folder: ScratchFolder
  private let disk: TinyDisk

  init() throws {
    folder = try ScratchFolder()
    disk = try #require(try TinyDisk(kilobytes: 256))
  }

  /// A dataset larger than the disk is not begun.
  @Test func prepareLeavesNothing() throws {
    let table = try folder.write(MadeTable(rows: 20_000).csv, to: "t.csv")
    let schema = try folder.write(MadeTable.schema(), to: "s.yaml")
    let out = disk.folder.file("d.safetensors")
    let outcome = try fastdp("prepare", table, "--schema", schema, "--out", out, "--json")
    expectRefusal(outcome, 74, naming: [out, "space"])
    #expect(try disk.folder.contents().isEmpty)
  }

  /// A file that is to be replaced stays as it was.
  @Test func failedReplacementKeepsTheOldFile() throws {
    let table = try folder.write(MadeTable(rows: 20_000).csv, to: "t.csv")
    let schema = try folder.write(MadeTable.schema(), to: "s.yaml")
    let out = try disk.folder.write("older", to: "d.safetensors")
    let prepare = ["prepare", table, "--schema", schema, "--out", out, "--overwrite"]
    expectRefusal(try fastdp(prepare), 74, naming: [out])
    #expect(try disk.folder.contents() == ["d.safetensors": Data("older".utf8)])
  }

  /// Predictions that do not fit are not begun.
  @Test func predictLeavesNothing() throws {
    let data = try folder.dataset(rows: 20_000)
    try succeed("train", data, "--out", folder.file("run"), "--steps", "2", "--hidden", "none")
    let out = disk.folder.file("p.csv")
    let outcome = try fastdp("predict", folder.file("run"), folder.file("table.csv"), "--out", out)
    expectRefusal(outcome, 74, naming: [out, "space"])
    #expect(try disk.folder.contents().isEmpty)
  }

  /// A draft that does not fit is not begun.
  @Test func schemaLeavesNothing() throws {
    let table = try folder.write(MadeTable(rows: 300).csv, to: "t.csv")
    try disk.fill()
    let before = try disk.folder.contents()
    let out = disk.folder.file("s.yaml")
    let outcome = try fastdp("schema", table, "--label", "employed", "--out", out)
    expectRefusal(outcome, 74, naming: [out])
    #expect(try disk.folder.contents() == before)
  }

  /// A run that cannot begin leaves no folder.
  @Test func trainLeavesNothing() throws {
    let data = try folder.dataset()
    try disk.fill()
    let before = try disk.folder.contents()
    let outcome = try fastdp("train", data, "--out", disk.folder.file("run"), "--steps", "10")
    expectRefusal(outcome, 74)
    #expect(try disk.folder.contents() == before)
  }

  /// A run whose disk fills up holds whole files only, and goes on once there is space.
  @Test func trainingGoesOnOnceThereIsSpace() throws {
    let data = try folder.dataset(rows: 5000)
    let run = disk.folder.file("run")
    let steps = 4000
    let settings = ["--steps", "\(steps)", "--batch-size", "400", "--hidden", "64,32"]
    let trainer = try RunningProgram(
      Program.path(), ["train", data, "--out", run, "--checkpoint-every", "0.05s"] + settings)
    try waitUntil { disk.folder.holds("run/checkpoints") || !trainer.isRunning }
    #expect(trainer.isRunning, "the run ended before its disk was full")
    // A checkpoint that is replaced gives its space back, so once is not enough.
    while trainer.isRunning { try disk.fill() }
    let outcome = try trainer.wait()
    expectRefusal(outcome, 74, naming: [run])
    try RunFolder(run).expectWholeFiles()
    try disk.fill()
    let resume = ["train", data, "--out", run, "--resume", "--json"]
    expectRefusal(try fastdp(resume), 74)
    try RunFolder(run).expectWholeFiles()
    disk.free()
    let resumed = try fastdp(resume)
    #expect(resumed.status == 0, "\(resumed.errors)")
    #expect(try resumed.number("steps") <= Double(steps))
    #expect(try resumed.number("epsilon") <= 1)
    try RunFolder(run).expectComplete()
  }
}
