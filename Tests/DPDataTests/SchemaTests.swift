import DPData
import Foundation
import TestSupport
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

  private let rich = """
    label: college
    unit: household
    max_rows_per_unit: 4
    where: "age >= 18 and sex != x"
    imputation: {noise_multiplier: 12.5}
    columns:
      age:    {type: numeric, bounds: [18, 93], scaling: standard, mean: 45, std: 15.5}
      educ:   {type: categorical, categories: [low, middle, high], encoding: ordinal}
      town:   {type: hashed, buckets: 4, missing: indicator}
      income: {type: numeric, bounds: [0, 9], scaling: min-max, missing: impute, impute: median, bins: 64}
      sex:    {type: categorical, categories: [f, m], missing: impute, impute: most-frequent}
    derive:
      college: "`years of school` >= 13"
      old:     {condition: "age > 65", missing: impute, impute: 0}
    """

  @Test func everyPolicyIsReadAndSurvivesTheCanonicalForm() throws {
    let schema = try Schema(text: rich, file: "s.yaml")
    #expect(schema.maxRowsPerUnit == 4 && schema.imputationNoise == 12.5)
    #expect(schema.filter == (try Condition("age>=18 AND sex!='x'")))
    #expect(
      schema.columns[0].type == .standard(bounds: 18...93, mean: 45, deviation: 15.5))
    #expect(schema.columns[1].type == .ordinal(categories: ["low", "middle", "high"]))
    #expect(schema.columns[2].type == .hashed(buckets: 4))
    #expect(schema.columns[3].bins == 64)
    #expect(schema.columns[5].type == .derived(try Condition("`years of school` >= 13")))
    #expect(schema.estimatedColumns.map(\.name) == ["income", "sex"])
    #expect(schema.estimatedColumns.map(schema.estimate) == [.median, .mostFrequent])
    #expect(schema.labelKind == .binary && schema.classNames == ["0", "1"])
    #expect(
      schema.featureNames == [
        "age", "educ", "town#0", "town#1", "town#2", "town#3", "town:missing", "income", "sex=f",
        "sex=m", "old",
      ])
    let again = try Schema(text: schema.canonicalJSON, file: "s.json")
    #expect(again == schema && again.stableHash == schema.stableHash)
    #expect(throws: Never.self) {
      _ = try JSONSerialization.jsonObject(with: Data(schema.canonicalJSON.utf8))
    }
  }

  /// With values in the place of estimates a schema asks for nothing, and can be told from its file.
  @Test func estimatesAreResolved() throws {
    let schema = try Schema(text: rich, file: "s.yaml")
    let resolved = try schema.resolved(with: ["income": "3.5", "sex": "m"])
    #expect(resolved.estimatedColumns.isEmpty && resolved.imputationNoise == nil)
    #expect(resolved.columns[3].impute == "3.5" && resolved.columns[3].bins == nil)
    #expect(schema.resolved(as: resolved) == resolved)
    let other = try Schema(text: rich.replacing("buckets: 4", with: "buckets: 5"), file: "s.yaml")
    #expect(other.resolved(as: resolved) == other)
    #expect(throws: DataError.self) { _ = try schema.resolved(with: ["income": "3.5"]) }
    #expect(throws: DataError.self) { _ = try schema.resolved(with: ["income": "99", "sex": "m"]) }
  }

  /// A word that a column declares as its value is that value.
  @Test func declaredValuesGoBeforeEstimates() throws {
    let schema = try Schema(
      label: "y",
      columns: [
        .init(
          name: "x", type: .categorical(categories: ["mean", "most-frequent"], other: false),
          missing: .impute, impute: "most-frequent"),
        .init(name: "y", type: .binary(values: nil)),
      ])
    #expect(schema.estimatedColumns.isEmpty)
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
      "label: y\nmax_rows_per_unit: 4\ncolumns: {x: {type: binary}, y: {type: binary}}",
      "s.yaml:2:20: max_rows_per_unit is given, but no unit"
    ),
    (
      "label: y\nunit: u\nmax_rows_per_unit: 0\ncolumns: {x: {type: binary}, y: {type: binary}}",
      "s.yaml:3:20: max_rows_per_unit is 0; it must be at least 1"
    ),
    (
      "label: y\nunit: u\nmax_rows_per_unit: four\ncolumns: {x: {type: binary}}",
      "s.yaml:3:20: max_rows_per_unit is not a whole number"
    ),
    (
      "label: y\nwhere: x >\ncolumns: {x: {type: binary}, y: {type: binary}}",
      "s.yaml:2:8: where: at character 4 of the condition"
    ),
    (
      "label: y\nwhere: x = y\ncolumns: {x: {type: binary}, y: {type: binary}}",
      "s.yaml:2:8: where compares with \"y\", which is a column's name"
    ),
    (
      "label: y\nwhere: x != NA\ncolumns: {x: {type: binary}, y: {type: binary}}",
      "s.yaml:2:8: where compares with a text that na calls missing"
    ),
    (
      "label: y\ncolumns: {y: {type: binary}}\nderive:\n  d: e = 1\n  e: x = 1",
      "s.yaml:4:3: derived column \"d\" compares the derived column \"e\""
    ),
    (
      "label: y\ncolumns: {y: {type: binary}}\nderive:\n  y: x = 1",
      "s.yaml:4:3: column \"y\" is declared twice"
    ),
    (
      "label: y\ncolumns: {y: {type: binary}}\nderive:\n  d: {missing: drop}",
      "s.yaml:4:6: derived column \"d\" has no condition"
    ),
    (
      "label: y\nimputation: {}\ncolumns: {x: {type: binary}, y: {type: binary}}",
      "s.yaml:2:13: imputation has no noise_multiplier"
    ),
    (
      "label: y\nimputation: {noise_multiplier: 9}\ncolumns: {x: {type: binary}, y: {type: binary}}",
      "s.yaml:2:13: imputation is given, but no column has impute"
    ),
    (
      "label: y\nmissing: impute\ncolumns:\n  x: {type: binary, impute: mean}\n  y: {type: binary}",
      "s.yaml:4:3: column \"x\" imputes its mean, which only numbers have"
    ),
    (
      "label: y\nmissing: impute\ncolumns:\n  x: {type: hashed, buckets: 9, impute: most-frequent}\n"
        + "  y: {type: binary}", "s.yaml:4:3: column \"x\" imputes an estimate, which a hashed"
    ),
    (
      "label: y\nmissing: impute\ncolumns:\n  x: {type: numeric, bounds: [0, 1], impute: 1, bins: 9}\n"
        + "  y: {type: binary}", "s.yaml:4:3: column \"x\" declares bins, which are for"
    ),
    (
      "label: y\ncolumns:\n  x: {type: numeric, bounds: [0, 1], scaling: standard}",
      "s.yaml:3:6: column \"x\" has standard scaling, but not both mean and std"
    ),
    (
      "label: y\ncolumns:\n  x: {type: numeric, bounds: [0, 1], scaling: log}",
      "s.yaml:3:47: scaling is not min-max or standard"
    ),
    (
      "label: y\ncolumns:\n  x: {type: numeric, bounds: [0, 1], mean: 2}",
      "s.yaml:3:38: column \"x\" has the unknown key \"mean\""
    ),
    (
      "label: y\ncolumns:\n  x: {type: numeric, bounds: [0, 1], scaling: standard, mean: 0, std: 0}\n"
        + "  y: {type: binary}", "s.yaml:3:3: column \"x\" needs a finite mean, and a std"
    ),
    (
      "label: y\ncolumns:\n  x: {type: categorical, categories: [a, b], encoding: ordinal, other: true}",
      "s.yaml:3:65: column \"x\" has the unknown key \"other\""
    ),
    (
      "label: y\ncolumns:\n  x: {type: categorical, categories: [a], encoding: ordinal}\n"
        + "  y: {type: binary}", "s.yaml:3:3: column \"x\" is ordinal and needs at least 2"
    ),
    (
      "label: y\ncolumns:\n  x: {type: hashed}", "s.yaml:3:6: hashed column \"x\" has no buckets"
    ),
    (
      "label: y\ncolumns:\n  x: {type: hashed, buckets: 1}\n  y: {type: binary}",
      "s.yaml:3:3: column \"x\" has 1 buckets; it must be at least 2"
    ),
    (
      "label: y\ncolumns:\n  x: {type: binary}\n  y: {type: hashed, buckets: 9}",
      "s.yaml:4:3: the label \"y\" is hashed, which is for features"
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

  /// A value is its bytes, as in rows: a text that Unicode writes in another way is another value.
  @Test(arguments: [
    "categorical, categories: [caf\u{E9}, b]", "binary, values: [b, caf\u{E9}]",
    "categorical, encoding: ordinal, categories: [b, caf\u{E9}]",
  ])
  func imputedValuesAreComparedByTheirBytes(type: String) throws {
    func schema(_ value: String) throws -> Schema {
      try Schema(
        text: "label: y\nmissing: impute\ncolumns:\n  x: {type: \(type), impute: \(value)}\n"
          + "  y: {type: binary}", file: "s.yaml")
    }
    let folder = try ScratchFolder()
    let path = try folder.write("x,y\nNA,0\nb,1\n", to: "t.csv")
    var options = PrepareOptions()
    options.testFraction = 0
    let data = try Dataset.prepare(
      tables: [path], schema: schema("caf\u{E9}"), options: options
    ).dataset
    #expect(data.train.features(of: 0) != data.train.features(of: 1))
    let error = #expect(throws: DataError.self) { _ = try schema("cafe\u{301}") }
    #expect(error?.description.contains("that the column itself could not have") == true)
  }

  @Test(arguments: ["[", "{a: ", "- "])
  func deepNestingNeverCrashes(open: String) {
    #expect(throws: DataError.self) {
      _ = try Schema(text: String(repeating: open, count: 20_000), file: "s.yaml")
    }
  }

  /// A key of n nested aliases is a list of 2ⁿ, which the YAML library would write out to hash it.
  @Test(.timeLimit(.minutes(1)), arguments: [20, 60, 400])
  func aliasesThatGrowAreRefused(depth: Int) {
    let lists = (1...depth).map { "&a\($0) [*a\($0 - 1),*a\($0 - 1)]" }
    for key in ["? *a\(depth)\n: 1", "[*a\(depth)]: 1", "b: {? {c: *a\(depth)} : 1}"] {
      let text = "columns: [&a0 [x, x], \(lists.joined(separator: ", "))]\n\(key)"
      let error = #expect(throws: DataError.self) { _ = try Schema(text: text, file: "s.yaml") }
      #expect(error?.description.hasPrefix("s.yaml: has \(depth + 1) anchors") == true)
    }
  }

  @Test func aliasesThatShareAListAreRead() throws {
    let columns = (0..<500).map { "  c\($0): {type: categorical, categories: *states}\n" }
    let text = """
      label: "R&D * 2"
      columns:
        x: {type: categorical, categories: &states [AL, AK, AZ]}
      \(columns.joined())  "R&D * 2": {type: binary}
      """
    #expect(try Schema(text: text, file: "s.yaml").features == 3 * 501)
  }
}
