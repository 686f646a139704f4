import DPData
import DPSpark
import Foundation
import TestSupport
import Testing

/// The first record is the header, wherever the blocks begin.
extension ParityTests {
  /// Compares what both engines make; the native one gets other paths where it takes no folders.
  func compare(
    _ spark: TestSpark, _ tables: [String], native: [String]? = nil,
    _ schema: String = smallSchema, blockSize: Int? = 900,
    _ change: (inout PrepareOptions) -> Void = { _ in },
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let folder = try ScratchFolder()
    var options = Self.options(change)
    options.rejects = folder.file("native.csv")
    let expected = try Dataset.prepare(
      tables: native ?? tables, schema: try Schema(text: schema, file: "schema"), options: options)
    let out = folder.file("out")
    let report = try prepare(spark.program, tables, schema, to: out) {
      $0 = Self.options(change)
      $0.blockSize = blockSize
      $0.rejects = folder.file("spark.csv")
    }
    let dataset = try Dataset(contentsOf: out)
    #expect(
      dataset.contentHash() == expected.dataset.contentHash(), sourceLocation: sourceLocation)
    #expect(counts(report) == counts(expected.report), sourceLocation: sourceLocation)
    let reasons = { (name: String) in
      try folder.text(name).split(separator: "\n").dropFirst().map {
        $0.split(separator: ",", maxSplits: 2, omittingEmptySubsequences: false)[2]
      }
    }
    #expect(try reasons("spark.csv") == reasons("native.csv"), sourceLocation: sourceLocation)
    #expect(expected.report.trainExamples > 5, sourceLocation: sourceLocation)
  }

  /// Empty lines before the header, more than a block of them; several files, of which each has one.
  func headersComeFirst(_ spark: TestSpark) throws {
    let folder = try ScratchFolder()
    try FileManager.default.createDirectory(
      atPath: folder.file("in"), withIntermediateDirectories: true)
    let space = String(repeating: "\n", count: 3000)
    let one = try folder.write(space + Self.smallTable(rows: 700), to: "in/a.csv")
    let other = try folder.write(Self.smallTable(rows: 900, from: 50), to: "in/b.csv")
    try compare(spark, [one])
    try compare(spark, [other])
    try compare(spark, [folder.file("in")], native: [one, other])
    try compare(spark, [folder.file("in/*.csv")], native: [one, other], blockSize: 300)
  }

  /// A name in the header may hold a line end.
  func headersMayHoldLineEnds(_ spark: TestSpark) throws {
    let folder = try ScratchFolder()
    let rows = (0..<80).map { "\($0),x,\($0 % 2)\n" }.joined()
    let table = try folder.write("a,\"two\nlines\",y\n" + rows, to: "a.csv")
    try compare(spark, [table])
    try compare(spark, [table, try folder.write(Self.smallTable(rows: 30), to: "b.csv")])
  }
}
