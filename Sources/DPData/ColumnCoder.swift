internal import DPParquet

/// What is known of a row before it is written.
struct RowState: OptionSet {
  let rawValue: UInt8

  /// A value is missing whose column drops such rows.
  static let dropped = RowState(rawValue: 1)
  /// The schema's condition on rows does not hold.
  static let filtered = RowState(rawValue: 2)
  /// Something is wrong with it: the rules of ``RowEncoder`` decide.
  static let odd = RowState(rawValue: 4)
}

/// Turns the batches of one column of a Parquet table into codes, by the rules of ``ColumnPlan``.
///
/// The rules are asked once for each entry of a dictionary and for each of the small numbers that come
/// up; numbers in a column of numbers are scaled without becoming texts.
@safe final class ColumnCoder {
  /// The code of every row of the batch; not a number where ``ColumnPlan/Missing/indicator(_:)`` is to be
  /// written.
  let codes = Scratch<Float>()

  private let plan: ColumnPlan
  private let na: MissingTokens
  private let missing: Code
  /// Numbers that may be written like a token for missing values.
  private let suspects: [Double]
  private var text: [UInt8] = []

  /// Codes by entry, of one dictionary (truth values have a dictionary of two).
  private let entries = Scratch<Code>()
  private var dictionary: Int?
  /// Codes by the bits of a value; the lowest byte of the bits is the place.
  private var recent = [(bits: UInt64, code: Code?)](repeating: (0, nil), count: 256)

  /// The code of a value, and what it does to its row.
  private struct Code: BitwiseCopyable {
    var value: Float
    var state: UInt8
  }

  /// A coder without a batch.
  ///
  /// - Parameters:
  ///   - plan: The column's rules.
  ///   - na: The texts that stand for a missing value.
  init(_ plan: ColumnPlan, _ na: MissingTokens) {
    self.plan = plan
    self.na = na
    missing =
      switch plan.missing {
      case .drop: Code(value: 0, state: RowState.dropped.rawValue)
      case .impute(let code): Code(value: Float(code), state: 0)
      case .indicator: Code(value: .nan, state: 0)
      }
    suspects = na.tokens.compactMap { DecimalNumber.parse(String(decoding: $0, as: UTF8.self)) }
  }

  // MARK: Codes

  /// Finds the codes of a batch.
  ///
  /// - Parameters:
  ///   - batch: Of the plan's field.
  ///   - states: One for each row; gets what the values do to their rows.
  /// - Complexity: O(rows), and O(bytes) for texts that are in no dictionary.
  @unsafe func read(_ batch: ParquetBatch, _ states: UnsafeMutablePointer<UInt8>) {
    codes.reserve(batch.rowCount)
    if let number = batch.dictionary {
      if dictionary != number { fillEntries(batch) }
      dictionary = number
      guard let indices = unsafe batch.indices else {
        preconditionFailure("a dictionary without indices")
      }
      unsafe choose(batch, states) { unsafe Int(indices[$0]) }
      return
    }
    switch batch.column.storage {
    case .boolean:
      if dictionary != -1 { fillEntriesOfTruth() }
      let values = unsafe batch.booleans
      unsafe choose(batch, states) { unsafe Int(values[$0]) }
    case .int32 where readsNumbers(batch):
      let values = unsafe batch.int32s
      unsafe scale(batch, states) { unsafe Double(values[$0]) }
    case .int64 where readsNumbers(batch):
      let values = unsafe batch.int64s
      unsafe scale(batch, states) { unsafe Double(values[$0]) }
    case .double where readsNumbers(batch):
      let values = unsafe batch.doubles
      unsafe scale(batch, states) { unsafe values[$0] }
    case .int32:
      let values = unsafe batch.int32s
      unsafe recall(batch, states) { unsafe UInt64(UInt32(bitPattern: values[$0])) }
    case .int64:
      let values = unsafe batch.int64s
      unsafe recall(batch, states) { unsafe UInt64(bitPattern: values[$0]) }
    case .float:
      let values = unsafe batch.floats
      unsafe recall(batch, states) { unsafe UInt64(values[$0].bitPattern) }
    case .double:
      let values = unsafe batch.doubles
      unsafe recall(batch, states) { unsafe values[$0].bitPattern }
    case .int96, .bytes, .fixed: unsafe ask(batch, states)
    }
  }

  /// Sets the code of a row for what a condition says of it, in a column that is derived.
  ///
  /// - Parameters:
  ///   - isTrue: Whether the condition holds; nil where that is unknown.
  ///   - row: Within ``Scratch/reserve(_:keeping:)`` of ``codes``.
  /// - Returns: What it does to the row.
  func set(_ isTrue: Bool?, row: Int) -> UInt8 {
    unsafe codes.base[row] = isTrue.map { $0 ? 1 as Float : 0 } ?? missing.value
    return isTrue == nil ? missing.state : 0
  }

  /// Whether values can be scaled as they are: signed numbers, none of which could mean "missing".
  private func readsNumbers(_ batch: ParquetBatch) -> Bool {
    guard plan.isNumeric, suspects.isEmpty else { return false }
    return switch batch.column.type {
    case .integer(_, isSigned: true), .double: true
    default: false
    }
  }

  /// Scales numbers; those that are not finite are odd.
  @unsafe @inline(__always) private func scale(
    _ batch: ParquetBatch, _ states: UnsafeMutablePointer<UInt8>, _ value: (Int) -> Double
  ) {
    let target = unsafe codes.base
    let plan = plan
    for row in 0..<batch.rowCount {
      let number = value(row)
      unsafe target[row] = Float(plan.code(ofNumber: number))
      unsafe states[row] |= number.isFinite ? 0 : RowState.odd.rawValue
    }
    // The values of nulls are 0, so that they were not odd.
    unsafe markNulls(batch, states)
  }

  @unsafe private func markNulls(
    _ batch: ParquetBatch, _ states: UnsafeMutablePointer<UInt8>
  ) {
    guard let bits = unsafe batch.validity else { return }
    let target = unsafe codes.base
    for row in 0..<batch.rowCount where unsafe bits[row >> 3] >> UInt8(row & 7) & 1 == 0 {
      unsafe target[row] = missing.value
      unsafe states[row] |= missing.state
    }
  }

  /// Takes codes from ``entries``.
  @unsafe @inline(__always) private func choose(
    _ batch: ParquetBatch, _ states: UnsafeMutablePointer<UInt8>, _ entry: (Int) -> Int
  ) {
    let target = unsafe codes.base
    let entries = unsafe entries.base
    guard let bits = unsafe batch.validity else {
      for row in 0..<batch.rowCount {
        let code = unsafe entries[entry(row)]
        unsafe target[row] = code.value
        unsafe states[row] |= code.state
      }
      return
    }
    for row in 0..<batch.rowCount {
      let isThere = unsafe bits[row >> 3] >> UInt8(row & 7) & 1 == 1
      let code = unsafe isThere ? entries[entry(row)] : missing
      unsafe target[row] = code.value
      unsafe states[row] |= code.state
    }
  }

  /// Takes codes from ``recent``, and asks the rules for those that are not there.
  @unsafe @inline(__always) private func recall(
    _ batch: ParquetBatch, _ states: UnsafeMutablePointer<UInt8>, _ value: (Int) -> UInt64
  ) {
    let target = unsafe codes.base
    for row in 0..<batch.rowCount {
      guard !batch.isNull(row) else {
        unsafe target[row] = missing.value
        unsafe states[row] |= missing.state
        continue
      }
      let bits = value(row)
      // Floating point differs in its upper bits.
      let place = Int((bits ^ bits >> 20 ^ bits >> 50) & 255)
      let known = recent[place]
      let code: Code
      if let found = known.code, known.bits == bits {
        code = found
      } else {
        code = self.code(batch, ofEntry: row)
        recent[place] = (bits, code)
      }
      unsafe target[row] = code.value
      unsafe states[row] |= code.state
    }
  }

  /// Asks the rules for every row.
  @unsafe private func ask(_ batch: ParquetBatch, _ states: UnsafeMutablePointer<UInt8>) {
    let target = unsafe codes.base
    for row in 0..<batch.rowCount {
      let code = batch.isNull(row) ? missing : self.code(batch, ofEntry: row)
      unsafe target[row] = code.value
      unsafe states[row] |= code.state
    }
  }

  private func fillEntries(_ batch: ParquetBatch) {
    entries.reserve(batch.entryCount)
    for entry in 0..<batch.entryCount {
      unsafe entries.base[entry] = code(batch, ofEntry: entry)
    }
  }

  private func fillEntriesOfTruth() {
    for (entry, text) in ["false", "true"].enumerated() {
      // SAFETY: the buffer is read within the closure only.
      let code = unsafe Array(text.utf8).withUnsafeBytes { unsafe self.code(ofText: $0) }
      unsafe entries.base[entry] = code
    }
    dictionary = -1
  }

  // MARK: The rules

  private func code(_ batch: ParquetBatch, ofEntry entry: Int) -> Code {
    if plan.isNumeric, let number = batch.number(ofEntry: entry), number.isFinite,
      !suspects.contains(number)
    {
      return Code(value: Float(plan.code(ofNumber: number)), state: 0)
    }
    if batch.column.isText {
      // SAFETY: the batch is the reader's last one.
      return unsafe code(ofText: UnsafeRawBufferPointer(batch.bytes(ofEntry: entry)))
    }
    text.removeAll(keepingCapacity: true)
    batch.appendText(ofEntry: entry, to: &text)
    // SAFETY: the buffer is read within the closure only.
    return unsafe text.withUnsafeBytes { unsafe code(ofText: $0) }
  }

  @unsafe private func code(ofText bytes: UnsafeRawBufferPointer) -> Code {
    let text = unsafe bytes.trimmed
    if unsafe na.contains(text) { return missing }
    var code = 0.0
    guard unsafe bytes.isValidUTF8, unsafe plan.readLabel(text, into: &code) == nil else {
      return Code(value: 0, state: RowState.odd.rawValue)
    }
    return Code(value: Float(code), state: 0)
  }

  // MARK: Features

  /// Writes the features of the batch's rows.
  ///
  /// - Parameters:
  ///   - count: Rows.
  ///   - targets: The zeroed features of each row; rows that are left out may share some place.
  ///   - type: The features' type.
  @unsafe func write<Element: FeatureElement>(
    _ count: Int, _ targets: UnsafePointer<UnsafeMutableRawPointer>, as type: Element.Type
  ) {
    let codes = unsafe codes.base
    let offset = plan.offset
    switch (plan.missing, plan.reading) {
    case (.indicator(let imputed), _):
      for row in 0..<count {
        let target = unsafe targets[row].assumingMemoryBound(to: type)
        let code = unsafe codes[row]
        if code.isNaN { unsafe target[plan.indicatorOffset] = Element(feature: 1) }
        if let code = code.isNaN ? imputed : Double(code) { unsafe plan.write(code, into: target) }
      }
    case (_, .categorical), (_, .hashed):
      for row in 0..<count {
        let target = unsafe targets[row].assumingMemoryBound(to: type)
        unsafe target[offset + Int(codes[row])] = Element(feature: 1)
      }
    default:
      for row in 0..<count {
        let target = unsafe targets[row].assumingMemoryBound(to: type)
        unsafe target[offset] = Element(feature: codes[row])
      }
    }
  }
}
