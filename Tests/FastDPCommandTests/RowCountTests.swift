import Foundation
import TestSupport
import Testing

/// n is the number of raw rows, so what a row holds is not seen in anything that is public.
struct RowCountTests {
  private let folder: ScratchFolder
  private let schema: String
  private static let table = MadeTable(rows: 700)

  init() throws {
    folder = try ScratchFolder()
    schema = try folder.write(MadeTable.schema(), to: "s.yaml")
  }

  /// What may be known about a run on a table, its plan and its statement, and how many examples
  /// are in either split, which may not be known.
  private func facts(_ table: MadeTable) throws -> (public: [String], kept: [Double]) {
    let csv = try folder.write(table.csv, to: "t.csv")
    let data = [csv, "--schema", schema, "--max-rejected", "1"]
    let plan = try succeed(["train", "--plan-only", "--json"] + data).output
    try succeed(["train", "--out", folder.file("run"), "--steps", "3", "--overwrite"] + data)
    let prepared = try succeed(
      ["prepare", "--out", folder.file("d"), "--overwrite", "--json"] + data)
    return (
      try [
        plan, "\(prepared.number("rowsRead")) \(prepared.number("trainRows"))",
        folder.text("run/statement.json"), folder.text("run/statement.txt"),
      ],
      try [prepared.number("trainExamples"), prepared.number("testExamples")]
    )
  }

  /// A row that is dropped or rejected, in either split, leaves n, q, σ and T as they were.
  @Test(arguments: ["NA,0,low,1", "50,0,NA,0", "50,1,low,NA", "old,0,low,1", "50,0", "50,0,low,7"])
  func oneRowChangesNoPublicFact(line: String) throws {
    let before = try facts(Self.table)
    // By the split's formula row 7 is in the test split.
    for (row, split) in [(0, 0), (7, 1), (699, 0)] {
      let after = try facts(Self.table.replacing(row: row, with: line))
      #expect(after.public == before.public, "row \(row)")
      var kept = before.kept
      kept[split] -= 1
      #expect(after.kept == kept, "row \(row)")
    }
  }

  /// A plan is the same from the table and from the dataset made of it.
  @Test func planIsThatOfTheDataset() throws {
    let csv = try folder.write(MadeTable(rows: 700, missingEvery: 10).csv, to: "t.csv")
    try succeed("prepare", csv, "--schema", schema, "--out", folder.file("d"))
    let plans = try [[csv, "--schema", schema], [folder.file("d")]].map {
      try succeed(["train", "--plan-only", "--json"] + $0).output
    }
    #expect(plans[0] == plans[1])
  }

  /// One more raw row does change n, dropped or not.
  @Test func rowsAreCountedWhateverTheyHold() throws {
    let csv = try folder.write(Self.table.csv, to: "t.csv")
    let more = try folder.write(
      Self.table.csv + String(repeating: "NA,NA,NA,NA\n", count: 100), to: "more.csv")
    let counts = try [csv, more].map { table in
      try succeed(
        "train", table, "--schema", schema, "--plan-only", "--json", "--test-fraction", "0"
      ).number("examples")
    }
    #expect(counts == [700, 800])
  }

  /// The other rows keep their place in the split: the model of their features does not change.
  @Test func otherRowsKeepTheirSplit() throws {
    // Rows that are missing contribute nothing, so two ways to be missing give one model.
    let models = try ["NA,0,low,1", "NA,1,high,0", "70,NA,middle,0"].map { line -> Data in
      var table = Self.table
      for row in 10..<20 { table = table.replacing(row: row, with: line) }
      let csv = try folder.write(table.csv, to: "t.csv")
      try succeed(
        "train", csv, "--schema", schema, "--out", folder.file("run"), "--steps", "10",
        "--insecure-seed", "1", "--overwrite")
      return try folder.data("run/model.safetensors")
    }
    #expect(Set(models).count == 1)
  }
}
