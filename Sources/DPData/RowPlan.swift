internal import CDPKernels
internal import DPFiles

/// A ``RowEncoder`` as the loop in C takes it: the common case of encoding, as numbers and tables.
///
/// Whatever the loop does not know (texts longer than 8 bytes, quotes within quoted fields, values
/// that are not allowed) it leaves to the encoder, which defines what a row is.
@safe final class RowPlan: @unchecked Sendable {
  private let columns: UnsafeMutableBufferPointer<cdp_column>
  private let identifiers: UnsafeMutableBufferPointer<cdp_column>
  private let plan: UnsafeMutablePointer<cdp_row_plan>
  private let tables: [KeySlots]

  /// A plan, or nil where the loop cannot stand for the encoder.
  ///
  /// - Parameters:
  ///   - encoder: Reads labels too.
  ///   - fields: Fields of the id and unit columns.
  ///   - types: The types of features and labels.
  ///   - delimiter: The byte between fields.
  init?(
    _ encoder: RowEncoder, identifiers fields: [Int],
    types: (features: TensorType, labels: TensorType), delimiter: UInt8
  ) {
    // A longer token could be a number that is also missing, which the loop does not look for.
    guard encoder.isPlain, let label = encoder.label,
      encoder.na.tokens.allSatisfy({ $0.count <= 8 })
    else { return nil }
    let missing = encoder.na.tokens.map { ($0, Int32(-1)) }
    let plans = encoder.plans + [label]
    var tables: [KeySlots] = []
    for plan in plans {
      guard let table = KeySlots(missing + Self.keys(plan.reading)) else { return nil }
      tables.append(table)
    }
    guard let absent = KeySlots(missing) else { return nil }
    self.tables = tables + [absent]
    unsafe columns = .allocate(capacity: plans.count)
    unsafe identifiers = .allocate(capacity: max(1, fields.count))
    unsafe plan = .allocate(capacity: 1)
    for (index, plan) in plans.enumerated() {
      unsafe columns.initializeElement(
        at: index, to: Self.column(plan, missing.map(\.0), tables[index]))
    }
    for (index, field) in fields.enumerated() {
      var column = unsafe cdp_column()
      unsafe column.field = UInt32(field)
      unsafe column.keys = absent.table
      unsafe identifiers.initializeElement(at: index, to: column)
    }
    let labelColumn = unsafe columns.baseAddress.map { unsafe $0 + plans.count - 1 }
    unsafe plan.initialize(
      to: cdp_row_plan(
        columns: columns.baseAddress, column_count: plans.count - 1, label: labelColumn,
        identifiers: identifiers.baseAddress, identifier_count: fields.count,
        field_count: encoder.fieldCount, features: encoder.features,
        feature_type: types.features.rowType, label_type: types.labels.rowType,
        skips_spaces: delimiter == 0x20 ? 0 : 1,
        delimiter: delimiter))
  }

  deinit {
    unsafe columns.deallocate()
    unsafe identifiers.deallocate()
    unsafe plan.deallocate()
  }

  /// Encodes records, from one on, until one is not common; see `cdp_encode_rows`.
  @unsafe func encode(_ work: inout cdp_row_work, from record: Int) -> Int {
    unsafe cdp_encode_rows(plan, &work, record)
  }

  /// The texts that a column's values may be, with their codes.
  private static func keys(_ reading: ColumnPlan.Reading) -> [([UInt8], Int32)] {
    switch reading {
    case .binary:
      return [["0", "false", "False", "FALSE"], ["1", "true", "True", "TRUE"]].enumerated()
        .flatMap { code, texts in texts.map { (Array($0.utf8), Int32(code)) } }
    case .binaryTexts(let table), .categorical(let table, _): return table.keys
    case .numeric, .standard, .ordinal, .hashed: return []
    }
  }

  /// A column as the loop takes it.
  @unsafe private static func column(
    _ plan: ColumnPlan, _ missing: [[UInt8]], _ keys: KeySlots
  ) -> cdp_column {
    var column = unsafe cdp_column()
    unsafe column.field = UInt32(plan.field)
    unsafe column.offset = UInt32(plan.offset)
    unsafe column.indicator = UInt32.max
    unsafe column.other = -1
    unsafe column.keys = keys.table
    for token in missing { unsafe column.missing_lengths |= 1 << UInt64(token.count) }
    switch plan.reading {
    case .binary:
      unsafe column.reading = UInt8(CDP_READ_BINARY)
      let areTaken = missing.contains([0x30]) || missing.contains([0x31])
      unsafe column.takes_digits = areTaken ? 0 : 1
    case .binaryTexts: unsafe column.reading = UInt8(CDP_READ_KEYS)
    case .numeric(let lower, let upper):
      unsafe column.reading = UInt8(CDP_READ_NUMBER)
      unsafe column.lower = lower
      unsafe column.upper = upper
    case .categorical(_, let other):
      unsafe column.reading = UInt8(CDP_READ_KEYS)
      unsafe column.one_hot = 1
      if let other { unsafe column.other = Int32(other) }
    case .standard, .ordinal, .hashed:
      preconditionFailure("a plain encoder has no such column")
    }
    switch plan.missing {
    case .drop: unsafe column.missing = UInt8(CDP_MISSING_DROP)
    case .impute(let code):
      unsafe column.missing = UInt8(CDP_MISSING_WRITE)
      unsafe column.imputed = code
    case .indicator(let code):
      unsafe column.missing = UInt8(code == nil ? CDP_MISSING_LEAVE : CDP_MISSING_WRITE)
      unsafe column.imputed = code ?? 0
      unsafe column.indicator = UInt32(plan.indicatorOffset)
    }
    return unsafe column
  }
}

/// The slots of a hash without collisions, for the texts of up to 8 bytes among some.
@safe private final class KeySlots {
  private let slots: UnsafeMutableBufferPointer<cdp_key>
  private let multiplier: UInt64
  private let shift: Int

  /// What the loop takes; valid while this object lives.
  @unsafe var table: cdp_key_table {
    unsafe cdp_key_table(
      slots: slots.baseAddress, multiplier: multiplier, shift: UInt32(shift))
  }

  /// A table, or nil where none of a bearable size was found, or where two texts differ in NULs at
  /// their end only.
  ///
  /// - Parameter texts: With their codes; of two equal ones the first counts.
  init?(_ texts: [([UInt8], Int32)]) {
    var keys: [cdp_key] = []
    var seen: Set<[UInt8]> = []
    for (text, code) in texts where text.count <= 8 && seen.insert(text).inserted {
      let word = text.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
      keys.append(cdp_key(text: word, length: UInt32(text.count), code: code))
    }
    guard Set(keys.map(\.text)).count == keys.count,
      let (multiplier, shift) = Self.hash(keys.map(\.text))
    else { return nil }
    self.multiplier = multiplier
    self.shift = shift
    unsafe slots = .allocate(capacity: 1 << (64 - shift))
    unsafe slots.initialize(repeating: cdp_key(text: 0, length: .max, code: -2))
    for key in keys { unsafe slots[Int((key.text &* multiplier) >> UInt64(shift))] = key }
  }

  deinit { unsafe slots.deallocate() }

  /// A multiplier and a shift that send different words to different slots.
  private static func hash(_ words: [UInt64]) -> (multiplier: UInt64, shift: Int)? {
    var random: UInt64 = 0x9E37_79B9_7F4A_7C15
    var bits = 4
    while 1 << bits < 2 * words.count { bits += 1 }
    while bits <= 20 {
      for _ in 0..<200 {
        random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        let multiplier = random | 1
        var seen: Set<UInt64> = []
        let isPerfect = words.allSatisfy {
          seen.insert(($0 &* multiplier) >> UInt64(64 - bits)).inserted
        }
        if isPerfect { return (multiplier, 64 - bits) }
      }
      bits += 1
    }
    return nil
  }
}

extension ByteKeyTable {
  /// All keys with their numbers.
  fileprivate var keys: [([UInt8], Int32)] {
    (0..<count).map { (Array(key($0)), Int32($0)) }
  }
}

extension TensorType {
  /// The loop's name of a type of features or labels.
  fileprivate var rowType: Int32 {
    switch self {
    case .u8: Int32(CDP_ROWS_U8)
    case .i32: Int32(CDP_ROWS_I32)
    default: Int32(CDP_ROWS_F32)
    }
  }
}
