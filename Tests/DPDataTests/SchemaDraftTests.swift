import DPData
import TestSupport
import Testing

struct SchemaDraftTests {
  let folder: ScratchFolder

  init() throws { folder = try ScratchFolder() }

  @Test func typesFollowTheValues() throws {
    let lines = (0..<30).map { row in
      "\(row % 2),\(row * 2 - 5),\(row % 3),\(["NO", "b c"][row % 2]),text\(row),,"
        + "\(row == 4 ? "NA" : row % 2 == 0 ? "no" : "yes")"
    }
    let table = try folder.write(
      Array(("flag,n,few,kind,name,none,y\n" + lines.joined(separator: "\n")).utf8), to: "t")
    var messages: [String] = []
    let text = try SchemaDraft.draft(table: table, label: "y", onMessage: { messages.append($0) })
    #expect(text.contains("public only if the"))
    let schema = try Schema(text: text, file: "draft")
    #expect(
      schema.columns.map(\.type) == [
        .binary(values: nil), .numeric(bounds: -5...53),
        .categorical(categories: ["0", "1", "2"], other: false),
        .categorical(categories: ["NO", "b c"], other: false), .ignore, .ignore,
        .binary(values: ["no", "yes"]),
      ])
    #expect(messages.count == 2)
    // What was drafted reads the table it was drafted from.
    #expect(throws: Never.self) { _ = try Dataset.prepare(tables: [table], schema: schema) }
  }

  @Test(arguments: ["a: b", "#x", "- y", "a,b", "{", "null", "no", "\u{E9}\u{2028}", "1e3", "-5"])
  func anyTextIsQuotedAsItNeeds(text: String) throws {
    let lines = ["\"\(text)\",0", "other,1", "\"\(text)\",1"]
    let table = try folder.write(
      Array(("\"\(text)\",y\n" + lines.joined(separator: "\n")).utf8), to: "t")
    let schema = try Schema(text: SchemaDraft.draft(table: table, label: "y"), file: "draft")
    #expect(schema.columns[0].name == text)
    guard case .categorical(let categories, false) = schema.columns[0].type else {
      Issue.record("not drafted as categorical")
      return
    }
    #expect(Set(categories) == [text, "other"])
  }

  @Test(arguments: [
    ("z", "a,y\n1,0\n", DataError.Code.missingLabel), ("y", "a,y\n1,0\n1,NA\n", .degenerateLabel),
    ("y", "", .emptyFile), ("y", "a,y\n", .noRows), ("y", "y,a,a\n1,1,1\n", .duplicateColumn),
    ("y", "y\n" + (0..<30).map { "t\($0)\n" }.joined(), .degenerateLabel),
  ])
  func tablesThatGiveNoSchemaAreRefused(label: String, text: String, code: DataError.Code) throws {
    let table = try folder.write(Array(text.utf8), to: "t")
    let error = #expect(throws: DataError.self) {
      _ = try SchemaDraft.draft(table: table, label: label)
    }
    #expect(error?.code == code)
  }
}
