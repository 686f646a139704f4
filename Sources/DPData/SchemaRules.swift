/// What makes a schema consistent, checked once for every way to make one.
struct SchemaRules {
  let schema: Schema
  let place: (Schema.Part) -> DataError.Location?

  func check() throws(DataError) {
    try checkNames()
    try checkLabel()
    try checkIdentifier(schema.id, .id, "id")
    try checkIdentifier(schema.unit, .unit, "unit")
    try checkUnitBound()
    for column in schema.columns { try check(column) }
    if let filter = schema.filter { try check(filter, .filter, "where") }
    try checkImputation()
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
    if ["standard", "ordinal", "hashed"].contains(column.type.name) {
      throw error(
        .column(column.name),
        "the label \"\(schema.label)\" is \(column.type.name), which is for features; declare it"
          + " binary, categorical or numeric without scaling and encoding")
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

  private func checkUnitBound() throws(DataError) {
    guard let bound = schema.maxRowsPerUnit else { return }
    guard schema.unit != nil else {
      throw error(
        .maxRowsPerUnit,
        "max_rows_per_unit is given, but no unit; add unit: COLUMN, or remove it")
    }
    guard (1...1000).contains(bound) else {
      throw error(
        .maxRowsPerUnit, "max_rows_per_unit is \(bound); it must be at least 1 and at most 1000")
    }
  }

  /// What a condition says must be about columns of the table, and could be true.
  private func check(
    _ condition: Condition, _ part: Schema.Part, _ what: String
  ) throws(DataError) {
    let derived = Set(schema.columns.filter(\.isDerived).map(\.name))
    if let name = condition.columns.first(where: derived.contains) {
      throw error(
        part,
        "\(what) compares the derived column \"\(name)\"; write out its condition in its place")
    }
    let names = schema.columns.map(\.name) + [schema.id, schema.unit].compactMap(\.self)
    if let name = condition.bareTexts.sorted().first(where: names.contains) {
      throw error(
        part,
        "\(what) compares with \"\(name)\", which is a column's name; put it in quotes if the text"
          + " is meant, since columns are not compared with each other")
    }
    if condition.texts.contains(where: schema.na.contains) {
      throw error(
        part,
        "\(what) compares with a text that na calls missing, which is never equal; remove it from"
          + " one of them")
    }
  }

  private func checkImputation() throws(DataError) {
    guard let noise = schema.imputationNoise else { return }
    guard noise >= 1e-4, noise <= 1e6 else {
      throw error(
        .imputation,
        "noise_multiplier of imputation is \(noise); it must be at least 0.0001 and at most 1000000"
      )
    }
    guard !schema.estimatedColumns.isEmpty else {
      throw error(
        .imputation,
        "imputation is given, but no column has impute: mean, median or most-frequent; remove it")
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
    case .derived(let condition):
      try check(condition, .column(column.name), "derived column \"\(column.name)\"")
    case .hashed(let buckets):
      guard (2...65536).contains(buckets) else {
        throw error(column, "has \(buckets) buckets; it must be at least 2 and at most 65536")
      }
    case .numeric(let bounds), .standard(let bounds, _, _):
      guard bounds.lowerBound < bounds.upperBound,
        (bounds.upperBound - bounds.lowerBound).isFinite
      else {
        throw error(column, "needs finite bounds, the lower below the upper; declare [lo, hi]")
      }
      if case .standard(_, let mean, let deviation) = column.type {
        try checkScaling(column, bounds, mean: mean, deviation: deviation)
      }
    case .categorical(let categories, _):
      guard !categories.isEmpty else {
        throw error(column, "has no categories; declare at least one")
      }
      try checkTexts(categories, of: column)
    case .ordinal(let categories):
      guard categories.count > 1 else {
        throw error(column, "is ordinal and needs at least 2 categories; declare them in order")
      }
      try checkTexts(categories, of: column)
    }
    try checkMissing(column)
    try checkBins(column)
  }

  private func checkScaling(
    _ column: Schema.Column, _ bounds: ClosedRange<Double>, mean: Double, deviation: Double
  ) throws(DataError) {
    let ends = [bounds.lowerBound, bounds.upperBound].map { Float(($0 - mean) / deviation) }
    guard mean.isFinite, deviation > 0, deviation.isFinite, ends.allSatisfy(\.isFinite) else {
      throw error(
        column, "needs a finite mean, and a std that is greater than 0 and not tiny; correct them")
    }
  }

  private func checkBins(_ column: Schema.Column) throws(DataError) {
    guard let bins = column.bins else { return }
    guard (2...4096).contains(bins) else {
      throw error(column, "has \(bins) bins; it must be at least 2 and at most 4096")
    }
    let isNumeric = ["numeric", "standard"].contains(column.type.name)
    guard isNumeric, schema.estimate(of: column) != nil else {
      throw error(
        column,
        "declares bins, which are for numeric columns with impute: mean, median or most-frequent;"
          + " remove them")
    }
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
    guard !Self.isValid(impute, for: column.type) else { return }
    guard let estimate = Schema.Estimate(rawValue: impute) else {
      throw error(
        column, "declares an impute value that the column itself could not have; change it")
    }
    switch column.type {
    case .numeric, .standard: return
    case .binary, .categorical, .ordinal:
      guard estimate != .mostFrequent else { return }
      throw error(
        column, "imputes its \(estimate.rawValue), which only numbers have; write most-frequent")
    case .hashed, .derived, .ignore:
      throw error(
        column, "imputes an estimate, which a \(column.type.name) column has not; declare a value")
    }
  }

  /// Whether a column of a type could have a value.
  ///
  /// - Parameters:
  ///   - text: Trimmed.
  ///   - type: The column's.
  /// - Returns: Whether rows with it are accepted. The names of estimates are no values of a column
  ///   that takes any text.
  static func isValid(_ text: String, for type: Schema.ColumnType) -> Bool {
    switch type {
    case .binary(let values?): values.containsBytes(of: text)
    case .binary(nil), .derived: ["0", "1", "true", "false"].contains(text.lowercased())
    case .categorical(let categories, let other):
      categories.containsBytes(of: text) || other && Schema.Estimate(rawValue: text) == nil
    case .ordinal(let categories): categories.containsBytes(of: text)
    case .numeric(let bounds), .standard(let bounds, _, _):
      DecimalNumber.parse(text).map(bounds.contains) ?? false
    case .hashed: Schema.Estimate(rawValue: text) == nil
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

extension [String] {
  /// Whether one of the texts has the same bytes: `==` would also take texts for equal that Unicode
  /// writes in several ways, which no row is read as.
  fileprivate func containsBytes(of text: String) -> Bool {
    contains { $0.utf8.elementsEqual(text.utf8) }
  }
}

extension Schema.ColumnType {
  /// What messages call the type.
  var name: String {
    switch self {
    case .binary: "binary"
    case .numeric: "numeric"
    case .standard: "standard"
    case .categorical: "categorical"
    case .ordinal: "ordinal"
    case .hashed: "hashed"
    case .derived: "derived"
    case .ignore: "ignore"
    }
  }
}
