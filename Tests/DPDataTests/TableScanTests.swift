import DPData
import TestSupport
import Testing

struct TableScanTests {
  @Test func everyRecordGivesOneOutcomeInOrder() throws {
    let folder = try ScratchFolder()
    let schema = try Schema(
      text: """
        label: y
        id: who
        columns:
          a: {type: binary}
          b: {type: numeric, bounds: [0, 4]}
          skip: {type: ignore}
          y: {type: binary}
        """, file: "s")
    let table = try folder.write(Array("b,z,a\n1,q,1\nNA,q,1\n\nx,q,0\n4,q\n4,q,0".utf8), to: "t")
    var messages: [String] = []
    let scan = try TableScan(table: table, schema: schema, onMessage: { messages.append($0) })
    #expect(messages == ["\(table): columns that the schema does not name are ignored: z"])
    var found: [String] = []
    var row = [Float](repeating: 7, count: scan.features)
    while true {
      var span = row.mutableSpan
      guard let outcome = try scan.next(into: &span) else { break }
      switch outcome {
      case .features: found.append("\(row)")
      case .missing: found.append("missing \(row)")
      case .filtered: found.append("filtered")
      case .rejected(let error): found.append("\(error.location?.line ?? 0) \(row)")
      }
    }
    #expect(
      found == ["[1.0, -0.5]", "missing [0.0, 0.0]", "5 [0.0, 0.0]", "6 [0.0, 0.0]", "[0.0, 1.0]"])
  }

  @Test func absentFeatureColumnIsRefused() throws {
    let folder = try ScratchFolder()
    let schema = try Schema(
      text: "label: y\ncolumns: {a: {type: binary}, b: {type: binary}, y: {type: binary}}",
      file: "s")
    let table = try folder.write(Array("b\n1\n".utf8), to: "t")
    let error = #expect(throws: DataError.self) { _ = try TableScan(table: table, schema: schema) }
    #expect(
      error?.description
        == "\(table):1:1: columns of the schema are not in the header: \"a\";"
        + " correct the schema or the table")
  }
}
