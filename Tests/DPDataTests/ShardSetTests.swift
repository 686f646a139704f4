import DPData
import DPFiles
import Foundation
import TestSupport
import Testing

/// Shards that are put together again, in all or in part.
struct ShardSetTests {
  private let folder: ScratchFolder

  init() throws { folder = try ScratchFolder() }

  private func table(_ rows: Int, _ name: String = "t.csv") throws -> String {
    let lines = (0..<rows).map { "\($0 % 2),\($0 * 7 % 100),\($0 / 3 % 2)\n" }
    return try folder.write(Array(("x,z,y\n" + lines.joined()).utf8), to: name)
  }

  /// Features of bytes, or of floats.
  private func schema(binary: Bool = false) throws -> Schema {
    let z = binary ? "{type: ignore}" : "{type: numeric, bounds: [0, 99]}"
    return try Schema(
      text: "label: y\ncolumns: {x: {type: binary}, z: \(z), y: {type: binary}}", file: "s")
  }

  /// Prepares a table as one dataset and as shards; returns the one, and the paths of the others.
  private func prepare(
    rows: Int, shards: Int, binary: Bool = false, name: String = "d"
  ) throws -> (whole: Dataset, paths: [String]) {
    let table = try table(rows, "\(name).csv")
    let schema = try schema(binary: binary)
    let path = folder.file("\(name).safetensors")
    _ = try Dataset.prepare(tables: [table], schema: schema, to: path, shards: shards)
    return (
      try Dataset.prepare(tables: [table], schema: schema).dataset,
      (0..<shards).map { DatasetShard.path(path, index: $0, count: shards) }
    )
  }

  private func expectEqual(_ part: Examples, _ whole: Examples, from first: Int) throws {
    for row in 0..<part.count {
      try #require(part.features(of: row) == whole.features(of: first + row))
      try #require(part.label(of: row) == whole.label(of: first + row))
    }
  }

  /// All shards, in any order, are the dataset that was not cut, and have its hash.
  @Test(arguments: [2, 3, 7], [false, true])
  func togetherTheyAreTheWhole(count: Int, binary: Bool) throws {
    let (whole, paths) = try prepare(rows: 20_000, shards: count, binary: binary)
    let together = try ShardSet(paths.reversed()).whole()
    #expect(together.train.count == whole.train.count && together.test.count == whole.test.count)
    #expect(together.trainRows == whole.train.count && together.shard == nil)
    #expect(together.provenance == whole.provenance && together.schema == whole.schema)
    try expectEqual(together.train, whole.train, from: 0)
    try expectEqual(together.test, whole.test, from: 0)
    #expect(together.contentHash() == whole.contentHash())
    let parts = try paths.map { try Dataset(shard: $0).contentHash() }
    #expect(parts.reduce(0, &+) == whole.contentHash())
    // The hash sees every row, and its place.
    let other = try prepare(rows: 20_001, shards: 2, binary: binary, name: "e").whole
    #expect(other.contentHash() != whole.contentHash())
  }

  /// Any range of rows can be had, from one shard or from several.
  @Test(arguments: [
    (0..<0, 0..<0), (0..<1, 5..<6), (4000..<4200, 0..<10), (0..<16_000, 0..<100),
    (4096..<8192, 1500..<2500), (15_000..<15_500, 3000..<3900),
  ])
  func anyRowsCanBeHad(train: Range<Int>, test: Range<Int>) throws {
    let (whole, paths) = try prepare(rows: 20_000, shards: 3)
    let train = train.clamped(to: 0..<whole.train.count)
    let held = HeldRows(
      train: train, test: test, trainRows: whole.train.count, contentHash: 12)
    let part = try ShardSet(paths).dataset(held, firstTestRow: 0)
    #expect(part.train.count == train.count && part.test.count == test.count)
    #expect(part.trainRows == whole.train.count && part.contentHash() == 12)
    try expectEqual(part.train, whole.train, from: train.lowerBound)
    try expectEqual(part.test, whole.test, from: test.lowerBound)
    #expect(throws: DataError.self) { try part.write(to: folder.file("part")) }
  }

  /// What does not fit together is refused, with the file and what to do.
  @Test func whatDoesNotFitIsRefused() throws {
    let (whole, paths) = try prepare(rows: 20_000, shards: 4)
    let others = try prepare(rows: 19_999, shards: 4, name: "e").paths
    let single = folder.file("single.safetensors")
    try whole.write(to: single)
    for (files, words) in [
      ([paths[0], paths[1], paths[1]], [paths[1], "shard 2 of 4", "once"]),
      ([paths[0], paths[2]], [paths[2], "shard 2", "missing"]),
      ([paths[0], others[1]], [others[1], "another dataset"]),
      ([paths[0], single], [single, "whole dataset"]),
    ] {
      let error = try #require(#expect(throws: DataError.self) { _ = try ShardSet(files) })
      for word in words { #expect("\(error)".contains(word), "\(error)") }
    }
    let missing = #expect(throws: DataError.self) { _ = try ShardSet([paths[1]]).whole() }
    #expect(missing?.message.contains("is shard 2 of 4 only, and shard 1 is missing") == true)
    #expect(throws: FileError.self) { _ = try ShardSet([folder.file("absent")]) }
  }

  /// Names stand for files as documented.
  @Test func namesStandForFiles() throws {
    let paths = try prepare(rows: 100, shards: 3).paths
    let base = folder.file("d")
    #expect(try DatasetFiles.find([base]) == paths)
    #expect(try DatasetFiles.find(["\(base).safetensors"]) == paths)
    #expect(try DatasetFiles.find(["\(base)-*-of-00003.safetensors"]) == paths)
    #expect(
      try DatasetFiles.find(["\(base)-{rank}-of-00003.safetensors"], rank: 2) == [paths[2]])
    #expect(try DatasetFiles.find([folder.file("x{rank}")], rank: 2) == [folder.file("x2")])
    #expect(try DatasetFiles.find([folder.file("absent")]) == [folder.file("absent")])
    _ = try Dataset.prepare(
      tables: [table(100)], schema: schema(), to: "\(base).safetensors", shards: 2)
    let error = #expect(throws: FileError.self) { try DatasetFiles.find([base]) }
    #expect(error?.message.contains("shards of 2 and of 3") == true)
    _ = try folder.write([1], to: "d.safetensors")
    #expect(try DatasetFiles.find(["\(base).safetensors"]) == ["\(base).safetensors"])
  }
}
