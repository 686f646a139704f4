import DPData
import DPFiles
import Foundation
import TestSupport
import Testing

struct DatasetTests {
  let folder: ScratchFolder

  init() throws { folder = try ScratchFolder() }

  private func small() throws -> Dataset {
    let lines = (0..<50).map { "\($0 % 2),\($0 % 7),\($0 % 3 == 0 ? 1 : 0)" }
    let table = try folder.write(Array(("x,z,y\n" + lines.joined(separator: "\n")).utf8), to: "t")
    return try Dataset.prepare(
      tables: [table],
      schema: Schema(
        label: "y",
        columns: [
          .init(name: "x", type: .binary(values: nil)),
          .init(name: "z", type: .numeric(bounds: 0...6)),
          .init(name: "y", type: .binary(values: nil)),
        ])
    ).dataset
  }

  @Test func fileHoldsWhatMemoryHolds() throws {
    let data = try small()
    let path = folder.file("d.safetensors")
    try data.write(to: path)
    let read = try Dataset(contentsOf: path)
    #expect(read.schema == data.schema && read.provenance == data.provenance)
    #expect(read.contentHash() == data.contentHash())
    #expect(read.train.count == data.train.count && read.test.count == data.test.count)
    for row in 0..<data.train.count {
      #expect(read.train.features(of: row) == data.train.features(of: row))
      #expect(read.train.label(of: row) == data.train.label(of: row))
    }
    let error = #expect(throws: FileError.self) { try data.write(to: path) }
    #expect(error?.code == .alreadyExists)
    #expect(throws: Never.self) { try data.write(to: path, overwrite: true) }
    let attributes = try FileManager.default.attributesOfItem(atPath: path)
    #expect(attributes[.posixPermissions] as? Int == 0o600)
  }

  /// What the file says about itself must not say how many rows were kept.
  @Test func provenanceTellsNothingOfCells() throws {
    let path = folder.file("d.safetensors")
    try small().write(to: path)
    let metadata = try SafetensorsReader(contentsOf: path).metadata
    #expect(metadata.keys.sorted() == ["fastdp.format", "provenance", "schema"])
    let json = try JSONSerialization.jsonObject(with: Data((metadata["provenance"] ?? "").utf8))
    let keys = try #require(json as? [String: Any]).keys.sorted()
    #expect(
      keys == [
        "fastdpVersion", "featureNames", "inputs", "rowsRead", "source", "splitKey",
        "testFraction", "trainRows",
      ])
    #expect(!(metadata["provenance"] ?? "").contains(folder.path))
  }

  @Test(arguments: ["a,b\n1,2\n", "", "{}", "\u{8}\0\0\0\0\0\0\0{}      "])
  func otherFilesAreRefused(contents: String) throws {
    let path = try folder.write(Array(contents.utf8), to: "d")
    let error = #expect(throws: DataError.self) { _ = try Dataset(contentsOf: path) }
    #expect(error?.code == .malformedDataset)
    #expect(error?.description.hasPrefix(path + ": is ") == true, "\(error?.description ?? "")")
  }

  /// A damaged file is refused, or gives rows within its bounds and labels within its classes.
  @Test func damageNeverCrashes() throws {
    let path = folder.file("d.safetensors")
    try small().write(to: path)
    let whole = try Data(contentsOf: URL(fileURLWithPath: path)).map(\.self)
    var random = SystemRandomNumberGenerator()
    for _ in 0..<3000 {
      var bytes = whole
      bytes[Int.random(in: 0..<bytes.count, using: &random)] = .random(in: 0...255, using: &random)
      guard let data = try? Dataset(MappedBytes(bytes), name: "d") else { continue }
      for row in 0..<data.train.count {
        _ = data.train.features(of: row)
        if let label = data.train.label(of: row) { #expect(label == 0 || label == 1) }
      }
    }
  }
}
