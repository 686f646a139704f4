/// The facts about a table that may be known without looking at it.
///
/// A schema names the columns and declares their types, bounds and categories, the label, and what
/// stands for a missing value. Rows are encoded by it alone, so encoding costs no privacy. What it
/// declares counts as public: do not copy it from the data.
///
/// A value of this type has passed every check of ``init(label:id:unit:missing:na:columns:)``.
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
    /// One of the texts `categories`, compared byte for byte. One 0/1 feature for each, and a last
    /// one for everything else if `other`; without it another value is an error.
    case categorical(categories: [String], other: Bool)
    /// Not used.
    case ignore
  }

  /// A column and its declared facts.
  public struct Column: Hashable, Sendable {
    /// As in the table's header, without surrounding whitespace.
    public let name: String
    /// What its values are.
    public let type: ColumnType
    /// The column's own policy, or nil for the schema's.
    public let missing: MissingPolicy?
    /// The text that takes a missing value's place.
    public let impute: String?

    /// A column.
    ///
    /// - Parameters:
    ///   - name: As in the table's header.
    ///   - type: What its values are.
    ///   - missing: The column's own policy, or nil for the schema's.
    ///   - impute: The text that takes a missing value's place, for policy impute or indicator.
    public init(
      name: String, type: ColumnType, missing: MissingPolicy? = nil, impute: String? = nil
    ) {
      self.name = name
      self.type = type
      self.missing = missing
      self.impute = impute
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
  /// What happens to a missing value where the column does not say.
  ///
  /// A missing label always drops.
  public let missing: MissingPolicy
  /// The texts that stand for a missing value.
  public let na: [String]
  /// The columns, in the order of their features.
  public let columns: [Column]

  /// The tokens that stand for a missing value unless a schema says otherwise.
  public static let defaultNA = ["", "NA"]

  /// A schema, checked.
  ///
  /// - Parameters:
  ///   - label: A declared column that is not ignored; categorical ones need two categories.
  ///   - id: A column; if it is declared, then as `ignore`.
  ///   - unit: A column; if it is declared, then as `ignore`.
  ///   - missing: What happens to a missing value where the column does not say.
  ///   - na: The texts that stand for a missing value.
  ///   - columns: At least the label and one feature; names differ.
  /// - Throws: ``DataError`` `malformedSchema` naming the column and the rule.
  public init(
    label: String, id: String? = nil, unit: String? = nil, missing: MissingPolicy = .drop,
    na: [String] = Schema.defaultNA, columns: [Column]
  ) throws(DataError) {
    try self.init(
      label: label, id: id, unit: unit, missing: missing, na: na, columns: columns
    ) { _ in nil }
  }

  /// The same, with the place of each part in the text it came from.
  init(
    label: String, id: String?, unit: String?, missing: MissingPolicy, na: [String],
    columns: [Column], place: @escaping (Part) -> DataError.Location?
  ) throws(DataError) {
    self.label = label.trimmed
    self.id = id?.trimmed
    self.unit = unit?.trimmed
    self.missing = missing
    self.na = na.map(\.trimmed)
    self.columns = columns.map(\.trimmed)
    try SchemaRules(schema: self, place: place).check()
  }

  /// A part of a schema that an error can point at.
  enum Part: Hashable {
    case whole
    case label
    case id
    case unit
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
    case .binary: .binary
    case .categorical(let categories, let other):
      .categorical(classes: categories.count + (other ? 1 : 0))
    case .numeric(let bounds): .numeric(bounds: bounds)
    case .ignore: preconditionFailure("a checked schema does not ignore its label \(label)")
    }
  }

  /// What the classes of a binary or categorical label are called; empty for a numeric one.
  public var classNames: [String] {
    switch labelColumn.type {
    case .binary(let values): values ?? ["0", "1"]
    case .categorical(let categories, let other): categories + (other ? ["other"] : [])
    case .numeric, .ignore: []
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
      if case .numeric = column.type { return false }
      return true
    }
  }

  /// The policy that holds for a column: its own, or the schema's; always drop for the label.
  ///
  /// - Parameter column: One of ``columns``.
  /// - Returns: The policy.
  public func policy(of column: Column) -> MissingPolicy {
    column.name == label ? .drop : column.missing ?? missing
  }

  /// The column whose value decides a row's split, or nil for the row's ordinal.
  var splitColumn: String? { unit ?? id }

  /// How many features a column makes, its missing-value indicator included.
  func featureCount(of column: Column) -> Int {
    valueFeatures(of: column) + (policy(of: column) == .indicator ? 1 : 0)
  }

  /// How many features a column's values make.
  func valueFeatures(of column: Column) -> Int {
    switch column.type {
    case .binary, .numeric: 1
    case .categorical(let categories, let other): categories.count + (other ? 1 : 0)
    case .ignore: 0
    }
  }

  private func names(of column: Column) -> [String] {
    var names: [String]
    switch column.type {
    case .binary, .numeric: names = [column.name]
    case .categorical(let categories, let other):
      names = categories.map { "\(column.name)=\($0)" } + (other ? ["\(column.name):other"] : [])
    case .ignore: names = []
    }
    return names + (policy(of: column) == .indicator ? ["\(column.name):missing"] : [])
  }
}

extension Schema.Column {
  /// The column with every text as a table's value is read: without surrounding whitespace.
  fileprivate var trimmed: Schema.Column {
    let type: Schema.ColumnType =
      switch type {
      case .binary(let values): .binary(values: values?.map(\.trimmed))
      case .categorical(let categories, let other):
        .categorical(categories: categories.map(\.trimmed), other: other)
      case .numeric, .ignore: self.type
      }
    return .init(name: name.trimmed, type: type, missing: missing, impute: impute?.trimmed)
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
