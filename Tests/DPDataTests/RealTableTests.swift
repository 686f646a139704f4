import DPData
import Foundation
import Testing

/// 25,766 real census rows, where they lie beside the package.
struct RealTableTests {
  static let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("../shared/data/FultonPUMS5full.csv").standardizedFileURL.path

  @Test(.enabled(if: FileManager.default.fileExists(atPath: path), "the real rows are not here"))
  func realTableIsReadWhole() throws {
    let draft = try SchemaDraft.draft(table: Self.path, label: "employed")
    let schema = try Schema(text: draft, file: "draft")
    let (data, report) = try Dataset.prepare(tables: [Self.path], schema: schema)
    #expect(report.rowsRead == 25_766 && report.rowsKept == 25_766)
    #expect(data.train.count + data.test.count == 25_766)
    let labels =
      (0..<data.train.count).compactMap(data.train.label(of:))
      + (0..<data.test.count).compactMap(data.test.label(of:))
    // pandas 3.1.1: read_csv(...).employed.sum()
    #expect(labels.count { $0 == 1 } == 16_183)
  }
}
