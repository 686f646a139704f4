import DPData
import Foundation
import Testing

struct SchemaTests {
  private let example = """
    label: employed
    id: person
    missing: drop
    na: ["", NA, "?"]
    columns:
      sex:    {type: binary}
      age:    {type: numeric, bounds: [18, 93]}
      educ:   {type: categorical, categories: [1, 2, 03], other: true}
      answer: {type: binary, values: [NO, yes], missing: indicator}
      income: {type: numeric, bounds: [-1e3, 2.5], missing: impute, impute: 0}
      puma:   {type: ignore}
      employed: {type: binary}
    """

  @Test func everyFactIsRead() throws {
    let schema = try Schema(text: example, file: "s.yaml")
    #expect(schema.label == "employed" && schema.id == "person" && schema.unit == nil)
    #expect(schema.na == ["", "NA", "?"])
    #expect(schema.columns.map(\.name).last == "employed")
    #expect(schema.columns[2].type == .categorical(categories: ["1", "2", "03"], other: true))
    #expect(schema.columns[3].type == .binary(values: ["NO", "yes"]))
    #expect(schema.columns[4].type == .numeric(bounds: -1000...2.5))
    #expect(
      schema.featureNames == [
        "sex", "age", "educ=1", "educ=2", "educ=03", "educ:other", "answer", "answer:missing",
        "income",
      ])
    #expect(schema.features == 9)
    #expect(schema.labelKind == .binary)
    #expect(!schema.hasOnlyBinaryFeatures)
  }

  @Test func canonicalTextReadsBackAndIsStable() throws {
    let schema = try Schema(text: example, file: "s.yaml")
    let again = try Schema(text: schema.canonicalJSON, file: "s.json")
    #expect(again == schema)
    #expect(again.canonicalJSON == schema.canonicalJSON)
    #expect(again.stableHash == schema.stableHash)
    let coded = try JSONDecoder().decode([Schema].self, from: JSONEncoder().encode([schema]))
    #expect(coded == [schema])
    #expect(throws: Never.self) {
      _ = try JSONSerialization.jsonObject(with: Data(schema.canonicalJSON.utf8))
    }
  }

  @Test(arguments: [
    "a \"b\" \\ /", "\u{7F}\u{85}\u{2028}\u{FEFF}\u{1}", "na\u{EF}ve \u{65E5}\u{672C} \u{1F600}",
    "two\nlines", "#", "- a", ": b", "{", "'", "!tag", "&anchor", "*alias", "%", "@", "`",
  ])
  func anyTextSurvivesTheCanonicalForm(text: String) throws {
    let schema = try Schema(
      label: "y",
      columns: [
        .init(name: text, type: .categorical(categories: [text + "1", "b"], other: false)),
        .init(name: "y", type: .binary(values: nil)),
      ])
    #expect(try Schema(text: schema.canonicalJSON, file: "s.json") == schema)
    #expect(throws: Never.self) {
      _ = try JSONSerialization.jsonObject(with: Data(schema.canonicalJSON.utf8))
    }
  }

  @Test(arguments: [
    ("", "s.yaml: is empty; declare label and columns"),
    ("label: [", "s.yaml:2:1: is not YAML: "),
    ("- a", "s.yaml:1:1: the schema is not a mapping; write key: value"),
    ("label: y", "s.yaml:1:1: the schema has no columns; add columns:"),
    ("columns: {y: {type: binary}}", "s.yaml:1:1: the schema has no label; add label: COLUMN"),
    ("label: y\nlable: z\ncolumns: {}", "s.yaml:2:1: the schema has the unknown key \"lable\""),
    ("label: y\nlabel: z\ncolumns: {}", "s.yaml:1:1: key \"label\" is there twice"),
    ("label: y\ncolumns:\n  x: {type: bin}", "s.yaml:3:13: column \"x\" has an unknown type"),
    ("label: y\ncolumns:\n  x: {}", "s.yaml:3:6: column \"x\" has no type"),
    ("label: y\ncolumns:\n  x: 1", "s.yaml:3:6: column \"x\" is not a mapping"),
    (
      "label: y\ncolumns:\n  x: {type: binary, bounds: [0, 1]}",
      "s.yaml:3:21: column \"x\" has the unknown key \"bounds\""
    ),
    ("label: y\ncolumns:\n  x: {type: numeric}", "s.yaml:3:6: numeric column \"x\" has no bounds"),
    (
      "label: y\ncolumns:\n  x: {type: numeric, bounds: [1, 1]}",
      "s.yaml:3:30: bounds of column \"x\" are not two finite numbers"
    ),
    (
      "label: y\ncolumns:\n  x: {type: numeric, bounds: [0, .inf]}",
      "s.yaml:3:30: bounds of column \"x\" are not two finite numbers"
    ),
    (
      "label: y\ncolumns:\n  x: {type: numeric, bounds: [0, a, 1]}",
      "s.yaml:3:30: bounds of column \"x\" are not two finite numbers"
    ),
    (
      "label: y\ncolumns:\n  x: {type: numeric, bounds: [-1e308, 1e308]}\n  y: {type: binary}",
      "s.yaml:3:3: column \"x\" needs finite bounds"
    ),
    ("label: z\ncolumns: {y: {type: binary}}", "s.yaml:1:8: the label \"z\" is not among"),
    ("label: y\ncolumns: {y: {type: binary}}", "s.yaml:2:10: no column makes a feature"),
    ("label: y\ncolumns:\n  y: {type: ignore}", "s.yaml:3:3: the label \"y\" is ignored"),
    (
      "label: y\ncolumns:\n  y: {type: categorical, categories: [a]}",
      "s.yaml:3:3: the label \"y\" has 1 category; declare at least 2"
    ),
    (
      "label: y\ncolumns:\n  x: {type: binary}\n  y: {type: binary, missing: indicator}",
      "s.yaml:4:3: the label \"y\" has a missing policy"
    ),
    (
      "label: y\nid: x\ncolumns:\n  x: {type: binary}\n  y: {type: binary}",
      "s.yaml:4:3: column \"x\" is the id"
    ),
    (
      "label: y\nunit: x\nmax_rows_per_unit: 4\ncolumns: {}",
      "s.yaml:3:20: max_rows_per_unit is not supported yet"
    ),
    (
      "label: y\nmissing: impute\ncolumns:\n  x: {type: binary}\n  y: {type: binary}",
      "s.yaml:4:3: column \"x\" imputes missing values, but does not say which"
    ),
    (
      "label: y\ncolumns:\n  x: {type: binary, impute: 1}\n  y: {type: binary}",
      "s.yaml:3:3: column \"x\" declares impute, but drops"
    ),
    (
      "label: y\ncolumns:\n  x: {type: numeric, bounds: [0, 1], missing: impute, impute: 2}\n"
        + "  y: {type: binary}", "s.yaml:3:3: column \"x\" declares an impute value that"
    ),
    (
      "label: y\ncolumns:\n  x: {type: categorical, categories: [a, b, a]}\n  y: {type: binary}",
      "s.yaml:3:3: column \"x\" declares its value 3 twice"
    ),
    (
      "label: y\ncolumns:\n  x: {type: categorical, categories: [a, NA]}\n  y: {type: binary}",
      "s.yaml:3:3: column \"x\" declares value 2, which na calls missing"
    ),
    (
      "label: y\ncolumns:\n  x: {type: binary, values: [a, a]}\n  y: {type: binary}",
      "s.yaml:3:3: column \"x\" needs two different values"
    ),
    ("label: y\nmissing: skip\ncolumns: {}", "s.yaml:2:10: missing is not drop"),
    ("label: y\nna: NA\ncolumns: {}", "s.yaml:2:5: na is not a list"),
  ])
  func wrongSchemaIsRefusedAtItsPlace(text: String, message: String) {
    let error = #expect(throws: DataError.self) { _ = try Schema(text: text, file: "s.yaml") }
    #expect(error?.code == .malformedSchema)
    #expect(error?.description.hasPrefix(message) == true, "\(error?.description ?? "")")
    #expect(error?.description.contains("\n") == false)
  }

  @Test(arguments: ["[", "{a: ", "- "])
  func deepNestingNeverCrashes(open: String) {
    #expect(throws: DataError.self) {
      _ = try Schema(text: String(repeating: open, count: 20_000), file: "s.yaml")
    }
  }
}
