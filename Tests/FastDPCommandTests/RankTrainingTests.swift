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
      "--shards", "2", "--source", "table.csv")
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
      try fastdp("train", lone, "--out", folder.file("lone")), 64,
      naming: ["1 of 2 shards", "shard 1 is missing"])
    let outcome = try fastdp(
      "launch", "--ranks", "2", "--", "train", lone, "--out", folder.file("lone"))
    #expect(outcome.status == 64 && outcome.errors.contains("no rank has shard 1 of 2"))
    #expect(!folder.holds("lone"))
  }
}
