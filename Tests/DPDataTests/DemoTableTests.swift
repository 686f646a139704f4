import DPData
import Foundation
import TestSupport
import Testing

struct DemoTableTests {
  let folder: ScratchFolder

  init() throws { folder = try ScratchFolder() }

  @Test func tableFitsItsSchemaAndRates() throws {
    let table = folder.file("demo.csv")
    try DemoTable.write(to: table, rows: 100_000)
    let (data, report) = try Dataset.prepare(
      tables: [table], schema: Schema(text: DemoTable.schemaText, file: "demo"))
    #expect(report.rowsRead == 100_000 && report.rowsRejected == 0 && report.features == 9)
    // 2 % of rows; five standard deviations are 0.0022.
    #expect(abs(Double(report.rowsMissing) / 100_000 - 0.02) < 0.0023)
    let kept = (0..<data.train.count).filter { data.train.label(of: $0) != nil }
    let employed = kept.count { data.train.label(of: $0) == 1 }
    // The real rows: employed 0.628, sex 0.527, uscitizen 0.926.
    #expect(abs(Double(employed) / Double(kept.count) - 0.628) < 0.015)
    for (feature, rate) in [(0, 0.527), (1, 0.452), (2, 0.423), (4, 0.375), (6, 0.926)] {
      let share = Double(kept.count { data.train.features(of: $0)[feature] == 1 })
      #expect(abs(share / Double(kept.count) - rate) < 0.01, "feature \(feature)")
    }
  }

  @Test func seedDecidesEveryByte() throws {
    for (name, seed) in [("a", 1), ("b", 1), ("c", 2)] as [(String, UInt64)] {
      try DemoTable.write(to: folder.file(name), rows: 1000, seed: seed)
    }
    let a = FileManager.default.contents(atPath: folder.file("a"))
    #expect(a == FileManager.default.contents(atPath: folder.file("b")))
    #expect(a != FileManager.default.contents(atPath: folder.file("c")))
  }
}
