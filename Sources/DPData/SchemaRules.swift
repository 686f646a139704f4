/// What makes a schema consistent, checked once for every way to make one.
struct SchemaRules {
  let schema: Schema
  let place: (Schema.Part) -> DataError.Location?

  func check() throws(DataError) {
    try checkNames()
    try checkLabel()
    try checkIdentifier(schema.id, .id, "id")
    try checkIdentifier(schema.unit, .unit, "unit")
    for column in schema.columns { try check(column) }
    guard schema.features > 0 else {
      throw error(.columns, "no column makes a feature; declare at least one besides the label")
    }
  }

  private func checkNames() throws(DataError) {
    var seen: Set<String> = []
    for column in schema.columns where !seen.insert(column.name).inserted {
      throw error(
        .column(column.name), "column \"\(column.name)\" is declared twice; keep one of them")
    }
  }

  private func checkLabel() throws(DataError) {
    guard let column = schema.columns.first(where: { $0.name == schema.label }) else {
      throw error(
        .label, "the label \"\(schema.label)\" is not among the columns; declare its type there")
    }
    if column.type == .ignore {
      throw error(
        .column(column.name),
        "the label \"\(schema.label)\" is ignored; declare it binary, categorical or numeric")
    }
    if column.missing != nil || column.impute != nil {
      throw error(
        .column(column.name),
        "the label \"\(schema.label)\" has a missing policy, but a row without its label is always"
          + " dropped; remove missing and impute there")
    }
    if case .categorical(let classes) = schema.labelKind, classes < 2 {
      throw error(
        .column(column.name),
        "the label \"\(schema.label)\" has \(classes) category; declare at least 2")
    }
  }

  private func checkIdentifier(
    _ name: String?, _ part: Schema.Part, _ role: String
  ) throws(DataError) {
    guard let name else { return }
    guard !name.isEmpty else {
      throw error(part, "\(role) names no column; name one or remove it")
    }
    guard let column = schema.columns.first(where: { $0.name == name }) else { return }
    guard column.type == .ignore else {
      throw error(
        .column(name),
        "column \"\(name)\" is the \(role), which makes no feature; declare it ignore"
      )
    }
  }

  private func check(_ column: Schema.Column) throws(DataError) {
    switch column.type {
    case .binary(let values?):
      guard values.count == 2, values[0] != values[1] else {
        throw error(column, "needs two different values; declare values: [no, yes]")
      }
      try checkTexts(values, of: column)
    case .binary(nil), .ignore: break
    case .numeric(let bounds):
      guard bounds.lowerBound < bounds.upperBound,
        (bounds.upperBound - bounds.lowerBound).isFinite
      else {
        throw error(column, "needs finite bounds, the lower below the upper; declare [lo, hi]")
      }
    case .categorical(let categories, _):
      guard !categories.isEmpty else {
        throw error(column, "has no categories; declare at least one")
      }
      try checkTexts(categories, of: column)
    }
    try checkMissing(column)
  }

  private func checkTexts(_ texts: [String], of column: Schema.Column) throws(DataError) {
    var seen: Set<[UInt8]> = []
    for (index, text) in texts.enumerated() {
      guard seen.insert(Array(text.utf8)).inserted else {
        throw error(column, "declares its value \(index + 1) twice; keep one of them")
      }
      guard !schema.na.contains(text) else {
        throw error(
          column, "declares value \(index + 1), which na calls missing; remove it from one of them")
      }
    }
  }

  private func checkMissing(_ column: Schema.Column) throws(DataError) {
    guard column.name != schema.label else { return }
    guard column.type != .ignore else {
      guard column.missing == nil, column.impute == nil else {
        throw error(column, "is ignored, so missing and impute mean nothing; remove them")
      }
      return
    }
    let policy = schema.policy(of: column)
    guard let impute = column.impute else {
      guard policy != .impute else {
        throw error(column, "imputes missing values, but does not say which; declare impute: VALUE")
      }
      return
    }
    guard policy != .drop else {
      throw error(
        column, "declares impute, but drops missing values; declare missing: impute or indicator")
    }
    guard isValid(impute, for: column.type) else {
      throw error(
        column, "declares an impute value that the column itself could not have; change it")
    }
  }

  private func isValid(_ text: String, for type: Schema.ColumnType) -> Bool {
    switch type {
    case .binary(let values?): values.contains(text)
    case .binary(nil): ["0", "1", "true", "false"].contains(text.lowercased())
    case .categorical(let categories, let other): other || categories.contains(text)
    case .numeric(let bounds): DecimalNumber.parse(text).map(bounds.contains) ?? false
    case .ignore: false
    }
  }

  private func error(_ column: Schema.Column, _ problem: String) -> DataError {
    error(.column(column.name), "column \"\(column.name)\" \(problem)")
  }

  private func error(_ part: Schema.Part, _ message: String) -> DataError {
    DataError(.malformedSchema, message, at: place(part))
  }
}
