/// What is in tables against a schema: exact facts, for the operator and not for release.
public struct TableInspection: Sendable {
  /// What stands beside every such report.
  public static let note =
    "exact facts about the data, without any noise: for the operator, not for release"

  /// A column's values, in the rows that the schema's condition keeps and that have all fields.
  public struct Column: Sendable {
    /// The column's name.
    public let name: String
    /// Its type, as the schema calls it.
    public let type: String
    /// Rows in which it is missing; of a derived column: unknown.
    public internal(set) var missing = 0
    /// The bounds of a numeric column.
    public let bounds: ClosedRange<Double>?
    /// The smallest number; nil where there is none.
    public internal(set) var smallest: Double?
    /// The largest number; nil where there is none.
    public internal(set) var largest: Double?
    /// Numbers below the bounds, which are clamped.
    public internal(set) var below = 0
    /// Numbers above the bounds, which are clamped.
    public internal(set) var above = 0
    /// Rows with a value that the column does not allow.
    public internal(set) var notAllowed = 0
  }

  /// One kind of rejected row.
  public struct Rejection: Sendable {
    /// What is wrong, naming the column.
    public let problem: String
    /// How many rows are rejected for it.
    public internal(set) var rows = 0
    /// Where the first of them are, at most ``TableInspection/places``.
    public internal(set) var first: [DataError.Location] = []
  }

  /// How many places are kept of each kind of rejected row.
  public static let places = 5

  /// Raw rows in all tables.
  public private(set) var rowsRead = 0
  /// Rows that would become examples.
  public private(set) var rowsKept = 0
  /// Rows without a label, or with a missing value in a column that drops them.
  public private(set) var rowsMissing = 0
  /// Rows with a value or a form that the schema does not allow.
  public private(set) var rowsRejected = 0
  /// Rows for which the schema's condition on rows does not hold.
  public private(set) var rowsFiltered = 0
  /// Training rows beyond what the schema allows of their unit.
  public private(set) var rowsBounded = 0
  /// Raw rows of the training split: n.
  public private(set) var trainRows = 0
  /// The columns that rows are encoded from, the label too, in the order of the schema.
  public private(set) var columns: [Column] = []
  /// The kinds of rejected rows, in the order of their first.
  public private(set) var rejections: [Rejection] = []
  /// How many kept rows each class has; empty for a numeric label.
  public private(set) var classes: [(name: String, rows: Int)] = []

  /// Looks at tables as preparing them would, and makes nothing.
  ///
  /// - Parameters:
  ///   - tables: CSV files, each with a header.
  ///   - schema: The declared facts; estimates are not made, and cost nothing here.
  ///   - options: How to read and split.
  ///   - onMessage: Gets lines for the operator.
  ///   - onProgress: Called about once per MiB; what it throws ends the inspection.
  /// - Throws: ``FileError`` where a table cannot be read, ``DataError`` where it is no table or lacks
  ///   columns. Rows that are rejected are counted.
  /// - Complexity: O(bytes).
  public init(
    of tables: [String], schema: Schema, options: PrepareOptions = .init(),
    onMessage: (String) -> Void = { _ in },
    onProgress: (PrepareProgress) throws -> Void = { _ in }
  ) throws {
    let schema = try schema.withAnyValues()
    columns = schema.columns.filter { $0.type != .ignore }.map { Column($0) }
    classes = schema.classNames.map { ($0, 0) }
    var inspector = Inspector(self, schema)
    try withoutActuallyEscaping(onMessage) { onMessage in
      try withoutActuallyEscaping(onProgress) { onProgress in
        let walk = TableWalk(
          tables: tables, schema: schema, options: options, onMessage: onMessage,
          onProgress: onProgress)
        _ = try walk.forEachRow(onTable: { inspector.begin($0) }, { inspector.take($0) })
      }
    }
    self = inspector.result
  }

  /// What looks at rows.
  private struct Inspector {
    var result: TableInspection
    private let schema: Schema
    private let na: MissingTokens
    private var plans: [Plan] = []
    /// The number of each kind of rejected row, by its words.
    private var kinds: [String: Int] = [:]

    /// How one column of one table is looked at.
    private enum Plan {
      case field(ColumnPlan, isNumeric: Bool)
      case condition(ConditionPlan)
    }

    init(_ result: TableInspection, _ schema: Schema) {
      self.result = result
      self.schema = schema
      na = MissingTokens(schema.na)
    }

    mutating func begin(_ header: TableHeader) {
      plans = schema.columns.filter { $0.type != .ignore }.map { column in
        func field(_ name: String) -> Int {
          guard let field = header.field(of: name) else {
            preconditionFailure("the header was not checked to have the column \(name)")
          }
          return field
        }
        if let condition = column.condition {
          return .condition(ConditionPlan(condition, field: field))
        }
        let plan = ColumnPlan(column, schema: schema, field: field(column.name), offset: 0)
        return .field(plan, isNumeric: column.bounds != nil)
      }
    }

    mutating func take(_ row: TableWalk.Row) {
      result.rowsRead += 1
      if !row.isTest { result.trainRows += 1 }
      switch row.encoding {
      case .kept where row.isBounded: result.rowsBounded += 1
      case .kept:
        result.rowsKept += 1
        if !result.classes.isEmpty { result.classes[Int(row.label)].rows += 1 }
      case .missing: result.rowsMissing += 1
      case .filtered: result.rowsFiltered += 1
      case .rejected(let fault): reject(fault, row)
      }
      if isWhole(row.encoding) { look(row) }
    }

    /// Whether a row has its fields and is not left out by the condition.
    private func isWhole(_ encoding: RowEncoding) -> Bool {
      switch encoding {
      case .kept, .missing: true
      case .filtered: false
      case .rejected(let fault): fault.isAboutValue
      }
    }

    private mutating func reject(_ fault: RowFault, _ row: TableWalk.Row) {
      result.rowsRejected += 1
      let problem =
        fault.reason == .ragged
        ? "another number of fields than the header"
        : fault.problem(row.header, fieldCount: row.record.fieldCount)
      let kind = kinds[problem] ?? result.rejections.count
      if kinds[problem] == nil {
        kinds[problem] = kind
        result.rejections.append(Rejection(problem: problem))
      }
      result.rejections[kind].rows += 1
      if result.rejections[kind].first.count < TableInspection.places {
        result.rejections[kind].first.append(place(of: fault, row))
      }
    }

    private func place(of fault: RowFault, _ row: TableWalk.Row) -> DataError.Location {
      RejectedRow(fault, in: row.record).place(row.header)
    }

    private mutating func look(_ row: TableWalk.Row) {
      for (index, plan) in plans.enumerated() {
        switch plan {
        case .condition(let condition):
          switch unsafe condition.evaluate(row.record, na) {
          case .isTrue, .isFalse: break
          case .unknown: result.columns[index].missing += 1
          case .fault: result.columns[index].notAllowed += 1
          }
        case .field(let plan, let isNumeric):
          let bytes = unsafe row.record.trimmedField(plan.field)
          if unsafe na.contains(bytes) {
            result.columns[index].missing += 1
          } else if isNumeric {
            unsafe result.columns[index].see(bytes)
          } else {
            var code = 0.0
            if unsafe plan.readLabel(bytes, into: &code) != nil {
              result.columns[index].notAllowed += 1
            }
          }
        }
      }
    }
  }
}

extension TableInspection.Column {
  fileprivate init(_ column: Schema.Column) {
    name = column.name
    type = column.type.name
    bounds = column.bounds
  }

  @unsafe fileprivate mutating func see(_ bytes: UnsafeRawBufferPointer) {
    guard case .number(let value) = unsafe DecimalNumber.read(bytes) else {
      notAllowed += 1
      return
    }
    smallest = min(smallest ?? value, value)
    largest = max(largest ?? value, value)
    guard let bounds else { return }
    if value < bounds.lowerBound { below += 1 }
    if value > bounds.upperBound { above += 1 }
  }
}
