import DPData
import TestSupport
import Testing

/// 25,766 real census rows, where they lie beside the package.
struct RealTableTests {
  @Test func realTableIsReadWhole() throws {
    guard let path = SharedFile.path("data/FultonPUMS5full.csv") else { return }
    let draft = try SchemaDraft.draft(table: path, label: "employed")
    let schema = try Schema(text: draft, file: "draft")
    let (data, report) = try Dataset.prepare(tables: [path], schema: schema)
    #expect(report.rowsRead == 25_766 && report.rowsKept == 25_766)
    #expect(data.train.count + data.test.count == 25_766)
    let labels =
      (0..<data.train.count).compactMap(data.train.label(of:))
      + (0..<data.test.count).compactMap(data.test.label(of:))
    // pandas 3.1.1: read_csv(...).employed.sum()
    #expect(labels.count { $0 == 1 } == 16_183)
  }
}
