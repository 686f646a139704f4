internal import DPParquet

/// Encodes the batches of a Parquet file column by column.
///
/// It finds the codes of whole columns first, then what becomes of each row, then writes the features.
/// A row with anything wrong in it is left to the rules of ``RowEncoder``, which define what a row is.
@safe final class ParquetEncoder {
  let rows: ParquetRows
  let table: TableContext
  /// What is known of each row of the batch.
  let states = Scratch<UInt8>()
  /// The features of each row of the batch.
  private let targets = unsafe Scratch<UnsafeMutableRawPointer>()
  /// Where the features of rows go that are left out.
  private let nowhere: Scratch<UInt64>
  /// Whether rows are encoded column by column, and not each by the rules of ``RowEncoder``.
  let isUsed: Bool

  private let columns: [(field: Int, coder: ColumnCoder)]
  private let derived: [(condition: ConditionPlan, coder: ColumnCoder)]
  private let label: (field: Int, coder: ColumnCoder)?
  private let derivedLabel: (condition: ConditionPlan, coder: ColumnCoder)?
  /// Fields whose texts are needed of every row: those of conditions, id and unit.
  private let comparedFields: [Bool]?
  /// The field of the unit, where units are bounded, and that which decides about splits.
  private let unitField: [Bool]?
  private let splitField: [Bool]?

  /// An encoder without a batch.
  ///
  /// - Parameters:
  ///   - table: What rows are encoded by.
  ///   - file: The table's file.
  ///   - schema: The declared facts.
  ///   - isUsed: Whether rows are encoded column by column.
  /// - Throws: ``DataError`` `malformedTable` for a column of a kind that is not read.
  init(_ table: TableContext, _ file: ParquetFile, _ schema: Schema, isUsed: Bool) throws {
    self.table = table
    self.isUsed = isUsed
    nowhere = Scratch(capacity: RowShape(schema).rowBytes / 8 + 1)
    rows = try ParquetRows(file, table.header)
    let encoder = table.encoder
    columns = encoder.plans.map { ($0.field, ColumnCoder($0, encoder.na)) }
    derived = encoder.derived.map { ($0.condition, ColumnCoder($0.plan, encoder.na)) }
    label = encoder.label.map { ($0.field, ColumnCoder($0, encoder.na)) }
    derivedLabel = encoder.labelCondition.map { condition in
      let plan = ColumnPlan(schema.labelColumn, schema: schema, field: .max, offset: 0)
      return (condition, ColumnCoder(plan, encoder.na))
    }
    let conditions =
      [encoder.filter, encoder.labelCondition].compactMap(\.self) + encoder.derived.map(\.condition)
    let compared = Set(conditions.flatMap(\.fields) + table.identifiers)
    let fields = table.header.names.indices
    comparedFields = compared.isEmpty ? nil : fields.map { compared.contains($0) }
    unitField = table.boundField.map { unit in fields.map { $0 == unit } }
    splitField = table.splitField.map { split in fields.map { $0 == split } }
  }

  /// Finds the codes and states of the batch.
  func readCodes() {
    let count = rows.count
    unsafe targets.reserve(count)
    states.reserve(count)
    unsafe states.base.update(repeating: 0, count: count)
    for (field, coder) in columns { unsafe coder.read(rows.batches[field], states.base) }
    if let label { unsafe label.coder.read(rows.batches[label.field], states.base) }
    guard let comparedFields else { return }
    for coder in derived.map(\.coder) + [derivedLabel?.coder].compactMap(\.self) {
      coder.codes.reserve(count)
      unsafe coder.codes.base.update(repeating: 0, count: count)
    }
    for row in 0..<count {
      let found = decide(rows.record(row, only: comparedFields), row)
      unsafe states.base[row] |= found.rawValue
    }
  }

  /// What texts say of a row: its id and unit, and conditions.
  private func decide(_ record: RecordView, _ row: Int) -> RowState {
    let encoder = table.encoder
    let lacksIdentifier = table.identifiers.contains {
      unsafe encoder.isMissing(record.trimmedField($0))
    }
    guard !lacksIdentifier, record.firstInvalidField() == nil else { return .odd }
    var state: RowState = []
    if let filter = encoder.filter {
      switch unsafe filter.evaluate(record, encoder.na) {
      case .isTrue: break
      case .isFalse, .unknown: state.insert(.filtered)
      case .fault: return .odd
      }
    }
    for column in derived + [derivedLabel].compactMap(\.self) {
      switch unsafe column.condition.evaluate(record, encoder.na) {
      case .isTrue: _ = column.coder.set(true, row: row)
      case .isFalse: _ = column.coder.set(false, row: row)
      case .unknown: state.formUnion(RowState(rawValue: column.coder.set(nil, row: row)))
      case .fault: return .odd
      }
    }
    return state
  }

  /// What becomes of a row of the batch.
  func state(_ row: Int) -> RowState { RowState(rawValue: unsafe states.base[row]) }

  /// The encoded label of a row that is kept.
  func label(_ row: Int) -> Double {
    let coder = label?.coder ?? derivedLabel?.coder
    return coder.map { unsafe Double($0.codes.base[row]) } ?? 0
  }

  /// The unit of a row, where units are bounded.
  func unit(_ row: Int) -> [UInt8] {
    guard let field = table.boundField else { return [] }
    return unsafe Array(rows.record(row, only: unitField).trimmedField(field))
  }

  /// A row with the field alone that decides about its split.
  func splitRecord(_ row: Int) -> RecordView { rows.record(row, only: splitField) }

  /// Says where the features of a row go.
  ///
  /// - Parameters:
  ///   - row: Of the batch.
  ///   - target: Zeroed, and there until ``writeFeatures(as:)`` has returned; nil for a row that is left
  ///     out.
  @unsafe @inline(__always) func place(_ row: Int, at target: UnsafeMutableRawPointer?) {
    unsafe targets.base[row] = target ?? UnsafeMutableRawPointer(nowhere.base)
  }

  /// Writes the features of all rows to their places.
  func writeFeatures<Element: FeatureElement>(as type: Element.Type) {
    let targets = unsafe UnsafePointer(targets.base)
    for (_, coder) in columns { unsafe coder.write(rows.count, targets, as: type) }
    for (_, coder) in derived { unsafe coder.write(rows.count, targets, as: type) }
  }
}
