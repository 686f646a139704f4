/// The facts about a table that may be known without looking at it.
///
/// A schema names the columns and declares their types, bounds and categories, the label, and what
/// stands for a missing value. Rows are encoded by it alone, so encoding costs no privacy. What it
/// declares counts as public: do not copy it from the data.
///
/// A value of this type has passed every check of its initialiser.
public struct Schema: Hashable, Sendable {
  /// What happens to a row in which a column's value is missing.
  public enum MissingPolicy: String, Hashable, Sendable, CaseIterable {
    /// The row contributes nothing; it still counts as a row.
    case drop
    /// The column's declared ``Column/impute`` value takes its place.
    case impute
    /// A further 0/1 feature says so; the value's own features are 0, or those of
    /// ``Column/impute`` where declared.
    case indicator
  }

  /// What a column's values are.
  public enum ColumnType: Hashable, Sendable {
    /// Two values. `values` are the texts that stand for 0 and 1; nil means `0` or `false` and `1`
    /// or `true`, in any letter case. One feature.
    case binary(values: [String]?)
    /// Numbers. One feature, scaled so that the bounds become -1 and 1; values outside are clamped.
    case numeric(bounds: ClosedRange<Double>)
    /// Numbers. One feature: the value, clamped to the bounds, minus `mean`, divided by `deviation`.
    case standard(bounds: ClosedRange<Double>, mean: Double, deviation: Double)
    /// One of the texts `categories`, compared byte for byte. One 0/1 feature for each, and a last
    /// one for everything else if `other`; without it another value is an error.
    case categorical(categories: [String], other: Bool)
    /// One of the texts `categories`, which have an order. One feature, from -1 for the first to 1
    /// for the last; another value is an error.
    case ordinal(categories: [String])
    /// Any text. One 0/1 feature for each bucket: that of `(xxHash64(text, seed 42) >> 11) mod
    /// buckets` is 1.
    case hashed(buckets: Int)
    /// Not in the table: whether a condition holds. One feature, 0 or 1; missing where the condition
    /// is unknown.
    case derived(Condition)
    /// Not used.
    case ignore
  }

  /// A value that takes the place of missing ones and is estimated from the training rows, which
  /// costs privacy: see ``PaidImputation``.
  public enum Estimate: String, Hashable, Sendable, Codable, CaseIterable {
    /// The mean of a numeric column.
    case mean
    /// The median of a numeric column.
    case median
    /// The most frequent value, or the middle of the most frequent bin.
    case mostFrequent = "most-frequent"
  }

  /// A column and its declared facts.
  public struct Column: Hashable, Sendable {
    /// As in the table's header, without surrounding whitespace.
    public let name: String
    /// What its values are.
    public let type: ColumnType
    /// The column's own policy, or nil for the schema's.
    public let missing: MissingPolicy?
    /// The text that takes a missing value's place, or the name of an ``Schema/Estimate``.
    public let impute: String?
    /// How many bins of equal width the bounds are cut into for an estimate; nil for 32.
    public let bins: Int?

    /// A column.
    ///
    /// - Parameters:
    ///   - name: As in the table's header.
    ///   - type: What its values are.
    ///   - missing: The column's own policy, or nil for the schema's.
    ///   - impute: The text that takes a missing value's place, or the name of an
    ///     ``Schema/Estimate``, for policy impute or indicator.
    ///   - bins: How many bins an estimate of a numeric column counts in; nil for 32.
    public init(
      name: String, type: ColumnType, missing: MissingPolicy? = nil, impute: String? = nil,
      bins: Int? = nil
    ) {
      self.name = name
      self.type = type
      self.missing = missing
      self.impute = impute
      self.bins = bins
    }
  }

  /// What is to be predicted, which chooses the model's head.
  public enum LabelKind: Hashable, Sendable {
    /// Two classes, 0 and 1.
    case binary
    /// As many classes as the column declares, the last being "other" where it has one; at least 2.
    case categorical(classes: Int)
    /// A number, scaled so that the bounds become -1 and 1.
    case numeric(bounds: ClosedRange<Double>)
  }

  /// The name of the column to predict.
  public let label: String
  /// The column that tells rows apart, or nil.
  public let id: String?
  /// The column that tells units (persons, households) apart, or nil.
  public let unit: String?
  /// How many rows of each unit may become training examples; nil for any number.
  ///
  /// With it the guarantee is for units, without it for rows.
  public let maxRowsPerUnit: Int?
  /// Which rows are kept, or nil for all.
  public let filter: Condition?
  /// σ of the release that estimates are made from: its noise divided by what one row, or one unit,
  /// can move it by.
  public let imputationNoise: Double?
  /// What happens to a missing value where the column does not say.
  ///
  /// A missing label always drops.
  public let missing: MissingPolicy
  /// The texts that stand for a missing value.
  public let na: [String]
  /// The columns, in the order of their features; derived ones, which are not in the table, last.
  public let columns: [Column]

  /// The tokens that stand for a missing value unless a schema says otherwise.
  public static let defaultNA = ["", "NA"]

  /// A schema, checked.
  ///
  /// - Parameters:
  ///   - label: A declared column that is not ignored; categorical ones need two categories.
  ///   - id: A column; if it is declared, then as `ignore`.
  ///   - unit: A column; if it is declared, then as `ignore`.
  ///   - maxRowsPerUnit: 1 to 1000, where there is a unit: how many of its rows are used.
  ///   - filter: Which rows are kept, or nil for all.
  ///   - imputationNoise: σ of the release that estimates are made from.
  ///   - missing: What happens to a missing value where the column does not say.
  ///   - na: The texts that stand for a missing value.
  ///   - columns: At least the label and one feature; names differ.
  /// - Throws: ``DataError`` `malformedSchema` naming the column and the rule.
  public init(
    label: String, id: String? = nil, unit: String? = nil, maxRowsPerUnit: Int? = nil,
    filter: Condition? = nil, imputationNoise: Double? = nil, missing: MissingPolicy = .drop,
    na: [String] = Schema.defaultNA, columns: [Column]
  ) throws(DataError) {
    try self.init(
      label: label, id: id, unit: unit, maxRowsPerUnit: maxRowsPerUnit, filter: filter,
      imputationNoise: imputationNoise, missing: missing, na: na, columns: columns
    ) { _ in nil }
  }

  /// The same, with the place of each part in the text it came from.
  init(
    label: String, id: String?, unit: String?, maxRowsPerUnit: Int?, filter: Condition?,
    imputationNoise: Double?, missing: MissingPolicy, na: [String], columns: [Column],
    place: @escaping (Part) -> DataError.Location?
  ) throws(DataError) {
    self.label = label.trimmed
    self.id = id?.trimmed
    self.unit = unit?.trimmed
    self.maxRowsPerUnit = maxRowsPerUnit
    self.filter = filter
    self.imputationNoise = imputationNoise
    self.missing = missing
    self.na = na.map(\.trimmed)
    let trimmed = columns.map(\.trimmed)
    self.columns = trimmed.filter { !$0.isDerived } + trimmed.filter(\.isDerived)
    try SchemaRules(schema: self, place: place).check()
  }

  /// A part of a schema that an error can point at.
  enum Part: Hashable {
    case whole
    case label
    case id
    case unit
    case maxRowsPerUnit
    case filter
    case imputation
    case columns
    case column(String)
  }

  /// The label's column.
  public var labelColumn: Column {
    guard let column = columns.first(where: { $0.name == label }) else {
      preconditionFailure("a checked schema declares its label \(label)")
    }
    return column
  }

  /// What is to be predicted.
  public var labelKind: LabelKind {
    switch labelColumn.type {
    case .binary, .derived: .binary
    case .categorical(let categories, let other):
      .categorical(classes: categories.count + (other ? 1 : 0))
    case .numeric(let bounds): .numeric(bounds: bounds)
    case .standard, .ordinal, .hashed, .ignore:
      preconditionFailure("a checked schema does not have the label \(label) of this type")
    }
  }

  /// What the classes of a binary or categorical label are called; empty for a numeric one.
  public var classNames: [String] {
    switch labelColumn.type {
    case .binary(let values): values ?? ["0", "1"]
    case .derived: ["0", "1"]
    case .categorical(let categories, let other): categories + (other ? ["other"] : [])
    case .numeric, .standard, .ordinal, .hashed, .ignore: []
    }
  }

  /// The columns that make features: neither the label nor ignored.
  public var featureColumns: [Column] {
    columns.filter { $0.name != label && $0.type != .ignore }
  }

  /// How many features a row has.
  public var features: Int { featureColumns.reduce(0) { $0 + featureCount(of: $1) } }

  /// The features' names in order: `age`, `educ=9`, `educ:other`, `age:missing`.
  public var featureNames: [String] { featureColumns.flatMap(names) }

  /// Whether every feature is 0 or 1.
  public var hasOnlyBinaryFeatures: Bool {
    featureColumns.allSatisfy { column in
      switch column.type {
      case .numeric, .standard, .ordinal: false
      case .binary, .categorical, .hashed, .derived, .ignore: true
      }
    }
  }

  /// The policy that holds for a column: its own, or the schema's; always drop for the label.
  ///
  /// - Parameter column: One of ``columns``.
  /// - Returns: The policy.
  public func policy(of column: Column) -> MissingPolicy {
    column.name == label ? .drop : column.missing ?? missing
  }

  /// The columns that are read from a table: all but derived ones.
  var tableColumns: [Column] { columns.filter { !$0.isDerived } }

  /// What a column's missing values are estimated by, or nil where they are not.
  ///
  /// A word that the column could itself have is that value.
  ///
  /// - Parameter column: One of ``columns``.
  /// - Returns: The estimate, which ``resolved(with:)`` takes the place of.
  public func estimate(of column: Column) -> Estimate? {
    guard let impute = column.impute, let estimate = Estimate(rawValue: impute),
      !SchemaRules.isValid(impute, for: column.type)
    else { return nil }
    return estimate
  }

  /// The columns whose missing values are estimated from the rows, in order.
  public var estimatedColumns: [Column] { columns.filter { estimate(of: $0) != nil } }

  /// The schema with values in the place of estimates: what rows are encoded by.
  ///
  /// - Parameter values: The value of every estimated column, by its name.
  /// - Returns: A schema that declares the values and asks for no estimate.
  /// - Throws: ``DataError`` `malformedSchema` where a value is missing or its column could not have
  ///   it.
  public func resolved(with values: [String: String]) throws(DataError) -> Schema {
    let columns = columns.map { column in
      estimate(of: column) == nil
        ? column
        : Column(
          name: column.name, type: column.type, missing: column.missing,
          impute: values[column.name])
    }
    return try Schema(
      label: label, id: id, unit: unit, maxRowsPerUnit: maxRowsPerUnit, filter: filter,
      missing: missing, na: na, columns: columns)
  }

  /// The schema with some value in the place of every estimate: rows that are kept under it are kept
  /// under any.
  package func withAnyValues() throws(DataError) -> Schema {
    let values = estimatedColumns.map { ($0.name, $0.anyValue) }
    return try resolved(with: Dictionary(uniqueKeysWithValues: values))
  }

  /// The schema with the values that another one declares in the place of estimates.
  ///
  /// - Parameter other: A schema that came of this one by ``resolved(with:)``.
  /// - Returns: `other`, or this schema where the two differ in more than estimates.
  public func resolved(as other: Schema) -> Schema {
    let values = other.columns.compactMap { column in column.impute.map { (column.name, $0) } }
    let resolved = try? resolved(with: Dictionary(values) { first, _ in first })
    return resolved == other ? other : self
  }

  /// The column whose value decides a row's split, or nil for the row's ordinal.
  var splitColumn: String? { unit ?? id }

  /// How many features a column makes, its missing-value indicator included.
  func featureCount(of column: Column) -> Int {
    valueFeatures(of: column) + (policy(of: column) == .indicator ? 1 : 0)
  }

  /// How many features a column's values make.
  package func valueFeatures(of column: Column) -> Int {
    switch column.type {
    case .binary, .numeric, .standard, .ordinal, .derived: 1
    case .categorical(let categories, let other): categories.count + (other ? 1 : 0)
    case .hashed(let buckets): buckets
    case .ignore: 0
    }
  }

  private func names(of column: Column) -> [String] {
    var names: [String]
    switch column.type {
    case .binary, .numeric, .standard, .ordinal, .derived: names = [column.name]
    case .categorical(let categories, let other):
      names = categories.map { "\(column.name)=\($0)" } + (other ? ["\(column.name):other"] : [])
    case .hashed(let buckets): names = (0..<buckets).map { "\(column.name)#\($0)" }
    case .ignore: names = []
    }
    return names + (policy(of: column) == .indicator ? ["\(column.name):missing"] : [])
  }
}

extension Schema.Column {
  /// The bounds of a column of numbers.
  var bounds: ClosedRange<Double>? {
    switch type {
    case .numeric(let bounds), .standard(let bounds, _, _): bounds
    default: nil
    }
  }

  /// A value that an estimated column could have.
  fileprivate var anyValue: String {
    switch type {
    case .numeric(let bounds), .standard(let bounds, _, _): "\(bounds.lowerBound)"
    case .categorical(let categories, _), .ordinal(let categories): categories[0]
    case .binary(let values): values?[0] ?? "0"
    case .hashed, .derived, .ignore: ""
    }
  }

  /// The condition of a derived column.
  package var condition: Condition? {
    if case .derived(let condition) = type { condition } else { nil }
  }

  /// Whether the column is not in the table.
  var isDerived: Bool { condition != nil }

  /// The column with every text as a table's value is read: without surrounding whitespace.
  fileprivate var trimmed: Schema.Column {
    let type: Schema.ColumnType =
      switch type {
      case .binary(let values): .binary(values: values?.map(\.trimmed))
      case .categorical(let categories, let other):
        .categorical(categories: categories.map(\.trimmed), other: other)
      case .ordinal(let categories): .ordinal(categories: categories.map(\.trimmed))
      case .numeric, .standard, .hashed, .derived, .ignore: self.type
      }
    return .init(
      name: name.trimmed, type: type, missing: missing, impute: impute?.trimmed, bins: bins)
  }
}

extension String {
  /// The text without ASCII whitespace at either end.
  var trimmed: String {
    let bytes = utf8.drop { $0.isASCIISpace }
    let end = bytes.lastIndex { !$0.isASCIISpace }
    return end.map { String(self[bytes.startIndex...$0]) } ?? ""
  }
}

extension UInt8 {
  /// Space, tab, line feed, vertical tab, form feed or carriage return.
  @inline(__always) var isASCIISpace: Bool { self == 0x20 || (self >= 0x09 && self <= 0x0D) }
}
