internal import DPFiles
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
      root, known: ["label", "id", "unit", "max_rows_per_unit", "missing", "na", "columns"],
      of: "the schema")
    if let node = root["max_rows_per_unit"] {
      throw error(
        node,
        "max_rows_per_unit is not supported yet; remove it (the guarantee is then per row), or limit"
          + " the rows of each unit before")
    }
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
      missing: root["missing"].map { node throws(DataError) in try policy(node) } ?? .drop,
      na: root["na"].map { node throws(DataError) in try texts(node, "na") } ?? Schema.defaultNA,
      columns: self.columns(columns), place: places(root, columns))
  }

  private func compose(_ text: String) throws(DataError) -> Node {
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
        node, "column \"\(name)\" has no type; add type: binary, numeric, categorical or ignore")
    }
    let keys: [String]
    let type: Schema.ColumnType
    switch try scalar(typeNode, "type") {
    case "binary":
      keys = ["values"]
      type = .binary(
        values: try facts["values"].map { node throws(DataError) in try texts(node, "values") })
    case "numeric":
      keys = ["bounds"]
      type = .numeric(bounds: try bounds(facts, of: name, at: node))
    case "categorical":
      keys = ["categories", "other"]
      type = .categorical(
        categories: try categories(facts, of: name, at: node),
        other: try facts["other"].map { node throws(DataError) in try flag(node, "other") }
          ?? false)
    case "ignore":
      keys = []
      type = .ignore
    default:
      throw error(
        typeNode,
        "column \"\(name)\" has an unknown type;"
          + " use binary, numeric, categorical or ignore")
    }
    try checkKeys(facts, known: ["type", "missing", "impute"] + keys, of: "column \"\(name)\"")
    return Schema.Column(
      name: name, type: type,
      missing: try facts["missing"].map { node throws(DataError) in try policy(node) },
      impute: try facts["impute"].map { node throws(DataError) in try scalar(node, "impute") })
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
    marks[.columns] = columns.mark
    for (key, _) in columns.mapping ?? [:] {
      if let name = key.scalar?.string.trimmed { marks[.column(name)] = key.mark }
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
