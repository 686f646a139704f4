import Foundation
import TestSupport
import Testing

/// The ways in and out of `prepare`: pipes, patterns, shards, cleaned rows; and its timing.
struct PrepareInputTests {
  let folder: ScratchFolder
  private let table = MadeTable(rows: 400, missingEvery: 9)
  private let schema = """
    label: employed
    columns:
      age: {type: numeric, bounds: [18, 90]}
      sex: {type: binary}
      educ: {type: categorical, categories: [low, middle, high]}
      employed: {type: binary}
    """

  init() throws {
    folder = try ScratchFolder()
    _ = try folder.write(Array(table.csv.utf8), to: "t.csv")
    _ = try folder.write(Array(schema.utf8), to: "s.yaml")
  }

  /// Runs a line of shell in which `fastdp` is the program.
  private func shell(_ line: String) throws -> Outcome {
    let script = "fastdp() { '\(try Program.path())' \"$@\"; }; cd '\(folder.path)'; \(line)"
    return try RunningProgram("/bin/sh", ["-c", script]).wait()
  }

  private func rows(_ name: String) throws -> Data {
    // Provenance names the inputs; the tensors come behind it.
    let bytes = try Data(contentsOf: URL(fileURLWithPath: folder.file(name)))
    let length = bytes.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    return bytes.dropFirst(8 + length)
  }

  @Test func pipesAndPatternsGiveTheRowsOfTheFile() throws {
    try succeed(
      "prepare", folder.file("t.csv"), "--schema", folder.file("s.yaml"), "--out",
      folder.file("d"))
    let first = table.lines[...150].joined(separator: "\n")
    let second = ([table.lines[0]] + table.lines[151...]).joined(separator: "\n")
    _ = try folder.write(Array(first.utf8), to: "part-1.csv")
    _ = try folder.write(Array(second.utf8), to: "part-2.csv")
    for (index, line) in [
      "cat t.csv | fastdp prepare - --schema s.yaml --out",
      "fastdp prepare 'part-*.csv' --schema s.yaml --threads 3 --out",
      "tail -n +2 t.csv | fastdp prepare - --columns age,sex,educ,employed --schema s.yaml --out",
    ].enumerated() {
      let outcome = try shell("\(line) d\(index)")
      try #require(outcome.status == 0, "\(line): \(outcome.errors)")
      #expect(try rows("d\(index)") == rows("d"), "\(line)")
    }
    let bad = try shell("(cat t.csv; echo '1,1,low,x') | fastdp prepare - --schema s.yaml --out e")
    #expect(bad.status == 65)
    #expect(bad.errors.hasPrefix("fastdp: standard input:402:9: column \"employed\""))
  }

  @Test func shardsAreMadeAndRefusedAlone() throws {
    let prepare = [
      "prepare", folder.file("t.csv"), "--schema", folder.file("s.yaml"), "--shards", "3", "--out",
      folder.file("d.safetensors"),
    ]
    try succeed(prepare)
    #expect(
      try folder.names.filter { $0.hasPrefix("d") }
        == (0..<3).map { "d-0000\($0)-of-00003.safetensors" })
    expectRefusal(try fastdp(prepare), 73)
    try succeed(prepare + ["--overwrite"])
    expectRefusal(
      try fastdp(
        "train", folder.file("d-00001-of-00003.safetensors"), "--out", folder.file("run"),
        "--epsilon", "1"), 65, naming: ["shard 2 of 3"])
  }

  @Test func cleanedRowsGoToStandardOutput() throws {
    let outcome = try shell("fastdp prepare t.csv --schema s.yaml --out -")
    let kept = table.lines.filter { !$0.contains("NA") }.joined(separator: "\n") + "\n"
    #expect(outcome.status == 0 && outcome.output == kept)
    #expect(outcome.errors.contains("400 rows read, \(kept.count { $0 == "\n" } - 1) kept"))
    // As a mapper, on pieces that begin anywhere in the table.
    let mapper = "fastdp prepare - --schema s.yaml --columns age,sex,educ,employed --out -"
    let pieces = try shell(
      "head -n 100 t.csv | \(mapper); tail -n +101 t.csv | \(mapper); : | \(mapper)")
    #expect("age,sex,educ,employed\n" + pieces.output == kept)
  }

  @Test(arguments: [
    ["--out", "-", "--json"], ["--out", "-", "--shards", "2"], ["--out", "d", "--shards", "0"],
    ["--out", "d", "--threads", "0"],
  ])
  func settingsThatMeanNothingAreRefused(settings: [String]) throws {
    let arguments = ["prepare", folder.file("t.csv"), "--schema", folder.file("s.yaml")]
    expectRefusal(try fastdp(arguments + settings), 64)
  }

  @Test func patternThatFitsNothingIsMissing() throws {
    expectRefusal(
      try fastdp(
        "prepare", folder.file("x*.csv"), "--schema", folder.file("s.yaml"), "--out",
        folder.file("d")), 66, naming: ["x*.csv"])
  }

  @Test func benchReportsSpeedAndMemory() throws {
    let outcome = try succeed(
      "bench", "prepare", folder.file("t.csv"), "--schema", folder.file("s.yaml"), "--repeat", "2",
      "--json")
    for key in ["rowsPerSecond", "bytesPerSecond", "seconds", "peakMemoryBytes"] {
      #expect(try outcome.number(key) > 0, "\(key)")
    }
    #expect(try outcome.number("rows") == 400)
    expectRefusal(
      try fastdp(
        "bench", "prepare", folder.file("t.csv"), "--schema", folder.file("s.yaml"), "--peers",
        folder.file("nowhere")), 66)
  }
}
