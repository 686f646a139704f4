/// A type that features are stored in.
protocol FeatureElement: BitwiseCopyable {
  /// A feature as this type; bytes get only 0 and 1.
  init(feature: Float)
}

extension UInt8: FeatureElement {
  @inline(__always) init(feature: Float) { self = feature == 0 ? 0 : 1 }
}

extension Float: FeatureElement {
  @inline(__always) init(feature: Float) { self = feature }
}

/// What became of a row.
enum RowEncoding {
  case kept
  case missing
  /// The schema's condition on rows does not hold, or is unknown.
  case filtered
  case rejected(RowFault)
}

/// Turns the fields of a record into features, by the schema alone.
///
/// A row is rejected for the first of: another number of fields than the header, invalid UTF-8, a
/// field of the schema's condition that is no number. If the condition does not hold, the row is left
/// out and not examined further; else it is rejected for a value that its column, or the condition of
/// a derived column, does not allow (the first in the order of the file). Rejected goes before missing.
@safe struct RowEncoder {
  /// How many features a row has.
  let features: Int
  let fieldCount: Int
  /// Whether ``plans``, ``label`` and ``na`` say all that there is to encoding a row, so that an
  /// engine may encode rows by them itself; not where rows are filtered, units bounded (an example may
  /// then have to be taken back), columns derived, or types other than binary, numeric and categorical
  /// (one-hot) among them.
  let isPlain: Bool
  /// The columns that make features, in the order of the file.
  let plans: [ColumnPlan]
  let filter: ConditionPlan?
  /// The derived columns that make features.
  let derived: [(condition: ConditionPlan, plan: ColumnPlan)]
  let label: ColumnPlan?
  /// The condition of a label that is derived.
  let labelCondition: ConditionPlan?
  let na: MissingTokens

  /// Prepares to encode the rows of one table.
  ///
  /// - Parameters:
  ///   - schema: The declared facts.
  ///   - header: Has all columns that make features; checked by its own initialiser.
  ///   - withLabel: Whether labels are read too; the header then has the label.
  init(schema: Schema, header: TableHeader, withLabel: Bool) {
    features = schema.features
    fieldCount = header.names.count
    na = MissingTokens(schema.na)
    var offset = 0
    var plans: [ColumnPlan] = []
    var derived: [(condition: ConditionPlan, plan: ColumnPlan)] = []
    for column in schema.featureColumns {
      if let condition = Self.condition(of: column, header) {
        let plan = ColumnPlan(column, schema: schema, field: .max, offset: offset)
        derived.append((condition, plan))
      } else {
        let field = Self.field(column.name, header)
        plans.append(ColumnPlan(column, schema: schema, field: field, offset: offset))
      }
      offset += schema.featureCount(of: column)
    }
    self.plans = plans.sorted { $0.field < $1.field }
    self.derived = derived
    filter = schema.filter.map { Self.plan($0, header) }
    let column = schema.labelColumn
    let isRead = withLabel && !column.isDerived
    label =
      isRead
      ? ColumnPlan(column, schema: schema, field: Self.field(column.name, header), offset: 0) : nil
    labelCondition = withLabel ? Self.condition(of: column, header) : nil
    isPlain =
      schema.filter == nil && schema.maxRowsPerUnit == nil
      && (schema.featureColumns + [column]).allSatisfy {
        ["binary", "numeric", "categorical"].contains($0.type.name)
      }
  }

  private static func condition(
    of column: Schema.Column, _ header: TableHeader
  ) -> ConditionPlan? {
    if case .derived(let condition) = column.type { plan(condition, header) } else { nil }
  }

  private static func plan(_ condition: Condition, _ header: TableHeader) -> ConditionPlan {
    ConditionPlan(condition) { field($0, header) }
  }

  private static func field(_ name: String, _ header: TableHeader) -> Int {
    guard let field = header.field(of: name) else {
      preconditionFailure("the header was not checked to have the column \(name)")
    }
    return field
  }

  /// The rules that hold for the record as a whole.
  ///
  /// - Parameter record: The row.
  /// - Returns: The fault, or nil.
  func wholeRowFault(_ record: RecordView) -> RowFault? {
    guard record.fieldCount == fieldCount else {
      return RowFault(
        reason: .ragged, field: record.fieldCount > fieldCount ? fieldCount : nil)
    }
    return record.firstInvalidField().map { RowFault(reason: .invalidText, field: $0) }
  }

  /// Encodes the features of a record that has no ``wholeRowFault(_:)``.
  ///
  /// - Parameters:
  ///   - record: The row.
  ///   - row: As many elements as ``features``, all zero; written, also where the row is not kept.
  ///   - labelValue: Gets the label where one is read: a class index or a scaled number.
  /// - Returns: What became of the row.
  /// - Complexity: O(bytes of the record + features), no allocation.
  @unsafe func encode<Element: FeatureElement>(
    _ record: RecordView, into row: UnsafeMutablePointer<Element>, label labelValue: inout Double
  ) -> RowEncoding {
    if let filter {
      switch unsafe filter.evaluate(record, na) {
      case .isTrue: break
      case .isFalse, .unknown: return .filtered
      case .fault(let fault): return .rejected(fault)
      }
    }
    var isMissing = false
    var fault: RowFault?
    for index in plans.indices {
      let plan = plans[index]
      let bytes = unsafe record.trimmedField(plan.field)
      if unsafe na.contains(bytes) {
        isMissing = unsafe !plan.encodeMissing(into: row) || isMissing
      } else if let reason = unsafe plan.encode(bytes, into: row) {
        fault = RowFault(reason: reason, field: plan.field)
        break
      }
    }
    for column in derived {
      switch unsafe column.condition.evaluate(record, na) {
      case .isTrue: unsafe column.plan.encode(true, into: row)
      case .isFalse: break
      case .unknown: isMissing = unsafe !column.plan.encodeMissing(into: row) || isMissing
      case .fault(let found): fault = found.first(before: fault)
      }
    }
    if let labelCondition {
      switch unsafe labelCondition.evaluate(record, na) {
      case .isTrue: labelValue = 1
      case .isFalse: labelValue = 0
      case .unknown: isMissing = true
      case .fault(let found): fault = found.first(before: fault)
      }
    }
    if let label {
      let bytes = unsafe record.trimmedField(label.field)
      if unsafe na.contains(bytes) {
        isMissing = true
      } else if let reason = unsafe label.readLabel(bytes, into: &labelValue) {
        fault = RowFault(reason: reason, field: label.field).first(before: fault)
      }
    }
    if let fault { return .rejected(fault) }
    return isMissing ? .missing : .kept
  }

  /// Whether a field stands for a missing value.
  ///
  /// - Parameter bytes: Trimmed; read within the call only.
  /// - Returns: Whether it is one of the schema's `na` tokens.
  @unsafe func isMissing(_ bytes: UnsafeRawBufferPointer) -> Bool { unsafe na.contains(bytes) }
}

/// The texts that stand for a missing value.
@safe struct MissingTokens {
  let tokens: [[UInt8]]
  /// Bit n is set where a token has n bytes; bit 63 stands for 63 and more.
  private let lengths: UInt64

  init(_ texts: [String]) {
    tokens = texts.map { Array($0.utf8) }
    lengths = tokens.reduce(0) { $0 | 1 << UInt64(min($1.count, 63)) }
  }

  /// Whether a field is one of them, or a null, which is missing whatever the tokens are.
  @unsafe @inline(__always) func contains(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard unsafe bytes.baseAddress != nil else { return true }
    guard lengths & (1 << UInt64(min(bytes.count, 63))) != 0 else { return false }
    return tokens.contains { unsafe $0.count == bytes.count && $0.elementsEqual(bytes) }
  }
}
