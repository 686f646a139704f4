internal import DPFiles
internal import Foundation
internal import Yams

extension Schema {
  /// Reads a schema file in YAML or JSON.
  ///
  /// - Parameter path: The file.
  /// - Throws: ``FileError``, or ``DataError`` with file, line and column.
  public init(contentsOf path: String) throws {
    let bytes = try MappedBytes(contentsOf: path)
    // SAFETY: the bytes are copied while `bytes` lives.
    guard let text = unsafe String(validating: bytes.buffer, as: UTF8.self) else {
      throw DataError(
        .malformedSchema, "is not UTF-8 text; save it as UTF-8", at: .init(file: path))
    }
    try self.init(text: text, file: path)
  }

  /// Reads a schema from YAML or JSON text.
  ///
  /// Scalars count as they are written: `NO` is the text NO, `1` the text 1. Unknown keys, repeated
  /// keys and wrong types are errors.
  ///
  /// - Parameters:
  ///   - text: The whole schema.
  ///   - file: What errors call it.
  /// - Throws: ``DataError`` `malformedSchema` with file, line and column.
  public init(text: String, file: String) throws(DataError) {
    self = try SchemaParser(file: file).parse(text)
  }
}

/// Walks the nodes of a schema's text.
private struct SchemaParser {
  let file: String

  func parse(_ text: String) throws(DataError) -> Schema {
    let root = try mapping(try compose(text), "the schema")
    try checkKeys(
      root,
      known: [
        "label", "id", "unit", "max_rows_per_unit", "where", "imputation", "missing", "na",
        "columns", "derive",
      ], of: "the schema")
    guard let label = root["label"] else {
      throw error(root, "the schema has no label; add label: COLUMN")
    }
    guard let columns = root["columns"] else {
      throw error(root, "the schema has no columns; add columns:")
    }
    return try Schema(
      label: scalar(label, "label"),
      id: root["id"].map { node throws(DataError) in try scalar(node, "id") },
      unit: root["unit"].map { node throws(DataError) in try scalar(node, "unit") },
      maxRowsPerUnit: root["max_rows_per_unit"].map { node throws(DataError) in
        try count(node, "max_rows_per_unit")
      },
      filter: root["where"].map { node throws(DataError) in try condition(node, "where") },
      imputationNoise: root["imputation"].map { node throws(DataError) in try noise(node) },
      missing: root["missing"].map { node throws(DataError) in try policy(node) } ?? .drop,
      na: root["na"].map { node throws(DataError) in try texts(node, "na") } ?? Schema.defaultNA,
      columns: self.columns(columns)
        + (root["derive"].map { node throws(DataError) in try derived(node) } ?? []),
      place: places(root, columns))
  }

  private func noise(_ node: Node) throws(DataError) -> Double {
    let facts = try mapping(node, "imputation")
    try checkKeys(facts, known: ["noise_multiplier"], of: "imputation")
    guard let noise = facts["noise_multiplier"] else {
      throw error(node, "imputation has no noise_multiplier; add noise_multiplier: 10, or the like")
    }
    return try number(noise, "noise_multiplier")
  }

  private func condition(_ node: Node, _ name: String) throws(DataError) -> Condition {
    do {
      return try Condition(scalar(node, name))
    } catch let failure where failure.location == nil {
      throw error(node, "\(name): \(failure.message)")
    }
  }

  private func derived(_ node: Node) throws(DataError) -> [Schema.Column] {
    var columns: [Schema.Column] = []
    for (key, value) in try mapping(node, "derive") {
      let name = try scalar(key, "a derived column's name")
      columns.append(try derivedColumn(name, value))
    }
    return columns
  }

  /// A condition alone, or one with what happens where it is unknown.
  private func derivedColumn(_ name: String, _ node: Node) throws(DataError) -> Schema.Column {
    let title = "derived column \"\(name)\""
    guard node.mapping != nil else {
      return Schema.Column(name: name, type: .derived(try condition(node, title)))
    }
    let facts = try mapping(node, title)
    try checkKeys(facts, known: ["condition", "missing", "impute"], of: title)
    guard let text = facts["condition"] else {
      throw error(node, "\(title) has no condition; add condition: \"age >= 18\", or the like")
    }
    return Schema.Column(
      name: name, type: .derived(try condition(text, title)),
      missing: try facts["missing"].map { node throws(DataError) in try policy(node) },
      impute: try facts["impute"].map { node throws(DataError) in try scalar(node, "impute") })
  }

  /// Refuses nested aliases, of which a few lines can stand for more than any memory holds.
  ///
  /// With k anchors and a aliases, written out, the text grows at most (1 + a / k)ᵏ times: each anchor
  /// multiplies what came before it by one more than its aliases, and the product is largest where
  /// all have as many. The library writes out what a key holds before it can be asked about it.
  private func checkAliases(_ text: String) throws(DataError) {
    let anchors = Double(text.utf8.marks("&"))
    let aliases = Double(text.utf8.marks("*"))
    guard anchors > 0, aliases > 0 else { return }
    guard pow(1 + aliases / anchors, anchors) * Double(text.utf8.count) <= 1e8 else {
      throw DataError(
        .malformedSchema,
        "has \(Int(anchors)) anchors and \(Int(aliases)) aliases, which could stand for more than"
          + " 100000000 bytes; write them out", at: .init(file: file))
    }
  }

  private func compose(_ text: String) throws(DataError) -> Node {
    try checkAliases(text)
    do {
      guard let node = try Yams.compose(yaml: text) else {
        throw DataError(
          .malformedSchema, "is empty; declare label and columns", at: .init(file: file))
      }
      return node
    } catch let failure as DataError {
      throw failure
    } catch {
      throw describe(error)
    }
  }

  /// The library's error as one of ours, with its place.
  private func describe(_ failure: any Error) -> DataError {
    switch failure as? YamlError {
    case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
      .composer(_, let problem, let mark, _):
      DataError(.malformedSchema, "is not YAML: \(problem); correct it", at: location(mark))
    case .duplicatedKeysInMapping(let keys, let context):
      DataError(
        .malformedSchema,
        "key \"\(keys.sorted().joined(separator: "\", \""))\" is there twice; keep one of them",
        at: location(context.mark))
    default:
      DataError(
        .malformedSchema, "is not YAML or JSON text; correct it", at: .init(file: file))
    }
  }

  private func columns(_ node: Node) throws(DataError) -> [Schema.Column] {
    var columns: [Schema.Column] = []
    for (key, value) in try mapping(node, "columns") {
      columns.append(try column(try scalar(key, "a column's name"), value))
    }
    return columns
  }

  private func column(_ name: String, _ node: Node) throws(DataError) -> Schema.Column {
    let facts = try mapping(node, "column \"\(name)\"")
    guard let typeNode = facts["type"] else {
      throw error(
        node,
        "column \"\(name)\" has no type; add type: binary, numeric, categorical, hashed or ignore")
    }
    let keys: [String]
    let type: Schema.ColumnType
    switch try scalar(typeNode, "type") {
    case "binary":
      keys = ["values"]
      type = .binary(
        values: try facts["values"].map { node throws(DataError) in try texts(node, "values") })
    case "numeric":
      keys = ["bounds", "bins", "scaling"] + (isStandard(facts) ? ["mean", "std"] : [])
      type = try numeric(facts, of: name, at: node)
    case "categorical":
      keys = ["categories", "encoding"] + (isOrdinal(facts) ? [] : ["other"])
      type = try categorical(facts, of: name, at: node)
    case "hashed":
      keys = ["buckets"]
      guard let buckets = facts["buckets"] else {
        throw error(node, "hashed column \"\(name)\" has no buckets; add buckets: 64, or the like")
      }
      type = .hashed(buckets: try count(buckets, "buckets"))
    case "ignore":
      keys = []
      type = .ignore
    default:
      throw error(
        typeNode,
        "column \"\(name)\" has an unknown type;"
          + " use binary, numeric, categorical, hashed or ignore")
    }
    try checkKeys(facts, known: ["type", "missing", "impute"] + keys, of: "column \"\(name)\"")
    return Schema.Column(
      name: name, type: type,
      missing: try facts["missing"].map { node throws(DataError) in try policy(node) },
      impute: try facts["impute"].map { node throws(DataError) in try scalar(node, "impute") },
      bins: try facts["bins"].map { node throws(DataError) in try count(node, "bins") })
  }

  private func isStandard(_ facts: Node.Mapping) -> Bool {
    facts["scaling"]?.scalar?.string == "standard"
  }

  private func isOrdinal(_ facts: Node.Mapping) -> Bool {
    facts["encoding"]?.scalar?.string == "ordinal"
  }

  private func numeric(
    _ facts: Node.Mapping, of name: String, at node: Node
  ) throws(DataError) -> Schema.ColumnType {
    let bounds = try bounds(facts, of: name, at: node)
    guard isStandard(facts) else {
      if let scaling = facts["scaling"] { try check(scaling, "scaling", "min-max", "standard") }
      return .numeric(bounds: bounds)
    }
    guard let mean = facts["mean"], let deviation = facts["std"] else {
      throw error(
        node,
        "column \"\(name)\" has standard scaling, but not both mean and std; declare what is publicly"
          + " known: mean: 40, std: 15")
    }
    return .standard(
      bounds: bounds, mean: try number(mean, "mean"), deviation: try number(deviation, "std"))
  }

  private func categorical(
    _ facts: Node.Mapping, of name: String, at node: Node
  ) throws(DataError) -> Schema.ColumnType {
    let categories = try categories(facts, of: name, at: node)
    guard !isOrdinal(facts) else { return .ordinal(categories: categories) }
    if let encoding = facts["encoding"] { try check(encoding, "encoding", "one-hot", "ordinal") }
    return .categorical(
      categories: categories,
      other: try facts["other"].map { node throws(DataError) in try flag(node, "other") } ?? false)
  }

  private func check(
    _ node: Node, _ name: String, _ usual: String, _ other: String
  ) throws(DataError) {
    guard try scalar(node, name) == usual else {
      throw error(node, "\(name) is not \(usual) or \(other); write one of these")
    }
  }

  private func bounds(
    _ facts: Node.Mapping, of name: String, at node: Node
  ) throws(DataError) -> ClosedRange<Double> {
    guard let boundsNode = facts["bounds"] else {
      throw error(node, "numeric column \"\(name)\" has no bounds; add bounds: [lo, hi]")
    }
    let numbers = try texts(boundsNode, "bounds").compactMap { DecimalNumber.parse($0.trimmed) }
    guard numbers.count == 2, boundsNode.sequence?.count == 2, numbers[0] < numbers[1] else {
      throw error(
        boundsNode,
        "bounds of column \"\(name)\" are not two finite numbers, the lower first;"
          + " write bounds: [lo, hi]")
    }
    return numbers[0]...numbers[1]
  }

  private func categories(
    _ facts: Node.Mapping, of name: String, at node: Node
  ) throws(DataError) -> [String] {
    guard let categories = facts["categories"] else {
      throw error(
        node, "categorical column \"\(name)\" has no categories; add categories: [a, b]")
    }
    return try texts(categories, "categories")
  }

  private func policy(_ node: Node) throws(DataError) -> Schema.MissingPolicy {
    guard let policy = Schema.MissingPolicy(rawValue: try scalar(node, "missing")) else {
      throw error(node, "missing is not drop, impute or indicator; write one of these")
    }
    return policy
  }

  private func flag(_ node: Node, _ name: String) throws(DataError) -> Bool {
    switch try scalar(node, name) {
    case "true": return true
    case "false": return false
    default: throw error(node, "\(name) is not true or false; write one of these")
    }
  }

  private func number(_ node: Node, _ name: String) throws(DataError) -> Double {
    guard let number = DecimalNumber.parse(try scalar(node, name).trimmed) else {
      throw error(node, "\(name) is not a finite number; write one")
    }
    return number
  }

  private func count(_ node: Node, _ name: String) throws(DataError) -> Int {
    guard let count = Int(try scalar(node, name)) else {
      throw error(node, "\(name) is not a whole number; write one")
    }
    return count
  }

  private func texts(_ node: Node, _ name: String) throws(DataError) -> [String] {
    guard let sequence = node.sequence else {
      throw error(node, "\(name) is not a list; write \(name): [a, b]")
    }
    var texts: [String] = []
    for item in sequence { texts.append(try scalar(item, "an item of \(name)")) }
    return texts
  }

  private func scalar(_ node: Node, _ name: String) throws(DataError) -> String {
    guard let scalar = node.scalar else {
      throw error(node, "\(name) is not a single value; write one")
    }
    return scalar.string
  }

  private func mapping(_ node: Node, _ name: String) throws(DataError) -> Node.Mapping {
    guard let mapping = node.mapping else {
      throw error(node, "\(name) is not a mapping; write key: value")
    }
    return mapping
  }

  private func checkKeys(
    _ mapping: Node.Mapping, known: [String], of name: String
  ) throws(DataError) {
    for key in mapping.keys {
      let text = try scalar(key, "a key")
      guard known.contains(text) else {
        throw error(
          key, "\(name) has the unknown key \"\(text)\"; known are \(known.joined(separator: ", "))"
        )
      }
    }
  }

  /// Where the parts of the text are, for errors that the whole schema shows.
  private func places(
    _ root: Node.Mapping, _ columns: Node
  ) -> (Schema.Part) -> DataError.Location? {
    var marks: [Schema.Part: Mark] = [:]
    marks[.label] = root["label"]?.mark
    marks[.id] = root["id"]?.mark
    marks[.unit] = root["unit"]?.mark
    marks[.maxRowsPerUnit] = root["max_rows_per_unit"]?.mark
    marks[.filter] = root["where"]?.mark
    marks[.imputation] = root["imputation"]?.mark
    marks[.columns] = columns.mark
    for node in [columns, root["derive"]] {
      for (key, _) in node?.mapping ?? [:] {
        if let name = key.scalar?.string.trimmed { marks[.column(name)] = key.mark }
      }
    }
    return { part in marks[part].map(location) ?? DataError.Location(file: file) }
  }

  private func location(_ mark: Mark) -> DataError.Location {
    .init(file: file, line: mark.line, column: mark.column)
  }

  private func error(_ node: Node, _ message: String) -> DataError {
    DataError(
      .malformedSchema, message, at: node.mark.map(location) ?? .init(file: file))
  }

  private func error(_ mapping: Node.Mapping, _ message: String) -> DataError {
    DataError(
      .malformedSchema, message, at: mapping.mark.map(location) ?? .init(file: file))
  }
}

extension String.UTF8View {
  /// How often a sign stands before a name, where an anchor or an alias could begin.
  fileprivate func marks(_ sign: Unicode.Scalar) -> Int {
    func isNamed(_ byte: UInt8?) -> Bool {
      guard let byte else { return false }
      return byte | 0x20 >= UInt8(ascii: "a") && byte | 0x20 <= UInt8(ascii: "z")
        || byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9")
    }
    var count = 0
    var before: UInt8?
    var last: UInt8?
    for byte in self {
      let isMark = last == UInt8(ascii: sign) && !isNamed(before)
      if isMark, isNamed(byte) || byte == UInt8(ascii: "_") || byte == UInt8(ascii: "-") {
        count += 1
      }
      (before, last) = (last, byte)
    }
    return count
  }
}
