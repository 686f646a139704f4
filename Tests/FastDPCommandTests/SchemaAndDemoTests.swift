import Foundation
import TestSupport
import Testing

/// The ways in: a drafted schema, and the demo.
struct SchemaAndDemoTests {
  private let folder: ScratchFolder

  init() throws { folder = try ScratchFolder() }

  /// A draft can be used as it is, and warns of what it read.
  @Test(arguments: MadeTable.Label.allCases, [0, 7])
  func draftCanBeUsedAtOnce(label: MadeTable.Label, missingEvery: Int) throws {
    let made = MadeTable(rows: 400, label: label, missingEvery: missingEvery)
    let table = try folder.write(made.csv, to: "t.csv")
    let draft = folder.file("s.yaml")
    let written = try succeed("schema", table, "--label", label.rawValue, "--out", draft)
    #expect(written.output.isEmpty && written.errors.contains(draft))
    let shown = try succeed("schema", table, "--label", label.rawValue)
    #expect(try shown.output == folder.text("s.yaml") && shown.errors.isEmpty)
    #expect(shown.output.hasPrefix("#") && shown.output.contains("public only if"))
    let prepared = try succeed(
      "prepare", table, "--schema", draft, "--out", folder.file("d"), "--json")
    #expect(prepared.errors.isEmpty)
    #expect(try prepared.number("rowsRejected") == 0)
    #expect(try prepared.number("rowsKept") == Double(400 - (missingEvery > 0 ? 400 / 7 : 0)))
    try succeed("train", folder.file("d"), "--out", folder.file("run"), "--steps", "5")
  }

  /// A label that cannot be one is refused.
  @Test func badLabelIsRefused() throws {
    let table = try folder.write("a,b,c\n1,2,3\n1,4,5\n", to: "t.csv")
    let draft = folder.file("s.yaml")
    for label in ["a", "d"] {
      try expectRefusal(
        ["schema", table, "--label", label, "--out", draft], 65, in: folder,
        naming: [table, "\"\(label)\""])
    }
  }

  /// The demo goes the whole way in a folder of its own.
  @Test func demoGoesTheWholeWay() throws {
    let demo = ["demo", "--rows", "3000", "--out", folder.file("demo")]
    let shown = try succeed(demo)
    #expect(shown.errors.isEmpty && !shown.output.contains("{"))
    for word in ["3,000", "guarantee", "test accuracy", "statement"] {
      #expect(shown.output.contains(word), "\(word) in \(shown.output)")
    }
    try RunFolder(folder.file("demo/run")).expectComplete()
    for name in try FileManager.default.subpathsOfDirectory(atPath: folder.file("demo")) {
      #expect(try [0o600, 0o700].contains(folder.mode("demo/\(name)")), "\(name)")
    }
    let statement = try folder.json("demo/run/statement.json")
    #expect(statement["delta"] as? Double == 1e-6)
    #expect(try #require(statement["epsilon"] as? Double) <= 1)
    let plain = try folder.json("demo/without-privacy/statement.json")
    #expect(plain["guarantee"] as? Bool == false)

    try expectRefusal(demo, 73, in: folder, naming: [folder.file("demo"), "--overwrite"])
    let again = try succeed(demo + ["--overwrite", "--json"])
    #expect(again.errors.isEmpty)
    let result = try again.json()
    expectKeys(result, ["rows", "makeSeconds", "prepareSeconds", "train", "trainWithoutPrivacy"])
    #expect(result["rows"] as? Int == 3000)
    let train = try #require(result["train"] as? [String: Any])
    #expect(try #require(train["epsilon"] as? Double) <= 1)
  }

  /// The files of the demo are the files of the commands.
  @Test func demoFilesServeTheCommands() throws {
    try succeed("demo", "--rows", "3000", "--out", folder.file("demo"))
    let table = folder.file("demo/people.csv")
    #expect(try folder.text("demo/people.csv").split(separator: "\n").count == 3001)
    let schema = folder.file("demo/people.yaml")
    try succeed("prepare", table, "--schema", schema, "--out", folder.file("d"))
    #expect(try folder.data("d") == folder.data("demo/people.safetensors"))
    try succeed("evaluate", folder.file("demo/run"), folder.file("demo/people.safetensors"))
    try succeed("predict", folder.file("demo/run"), table, "--out", folder.file("p.csv"))
    #expect(try folder.text("p.csv").split(separator: "\n").count == 3001)
  }

  /// The demo does not touch what is not a demo.
  @Test func demoKeepsOtherFiles() throws {
    _ = try folder.write("mine", to: "people.csv")
    _ = try folder.write("mine", to: "notes.txt")
    try expectRefusal(["demo", "--rows", "3000", "--out", folder.path], 73, in: folder)
    try expectRefusal(["demo", "--rows", "10", "--out", folder.file("demo")], 64, in: folder)
  }
}
