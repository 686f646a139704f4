internal import DPFiles

/// How one column is encoded: the schema's facts, ready for the loop over rows.
///
/// A value is read to a code first (a number, or the index of a feature), then written.
@safe struct ColumnPlan {
  enum Reading {
    /// `0`, `1`, `false`, `true`.
    case binary
    /// The texts for 0 and 1, in this order.
    case binaryTexts(ByteKeyTable)
    case numeric(lower: Double, upper: Double)
    case standard(lower: Double, upper: Double, mean: Double, deviation: Double)
    /// `last` is the number of the last category.
    case ordinal(ByteKeyTable, last: Double)
    case hashed(buckets: UInt64)
    /// `other` is the code of everything else, or nil where that is an error.
    case categorical(ByteKeyTable, other: Int?)
  }

  /// What is written where the value is missing.
  enum Missing {
    case drop
    /// The code of the imputed value.
    case impute(Double)
    /// The indicator, and the code of the imputed value or zeros.
    case indicator(Double?)
  }

  /// The seed of hashed categories, which is also that of Spark SQL's `xxhash64`.
  private static let hashSeed: UInt64 = 42

  /// The column's field in the record; meaningless for a derived column.
  let field: Int
  /// Where its features begin in the row.
  let offset: Int
  /// Where its missing-value indicator is, if it has one.
  let indicatorOffset: Int
  let reading: Reading
  let missing: Missing

  init(_ column: Schema.Column, schema: Schema, field: Int, offset: Int) {
    self.field = field
    self.offset = offset
    indicatorOffset = offset + schema.valueFeatures(of: column)
    let reading: Reading =
      switch column.type {
      case .binary(nil), .derived: .binary
      case .binary(let values?): .binaryTexts(ByteKeyTable(values))
      case .numeric(let bounds): .numeric(lower: bounds.lowerBound, upper: bounds.upperBound)
      case .standard(let bounds, let mean, let deviation):
        .standard(
          lower: bounds.lowerBound, upper: bounds.upperBound, mean: mean, deviation: deviation)
      case .ordinal(let categories):
        .ordinal(ByteKeyTable(categories), last: Double(categories.count - 1))
      case .hashed(let buckets): .hashed(buckets: UInt64(buckets))
      case .categorical(let categories, let other):
        .categorical(ByteKeyTable(categories), other: other ? categories.count : nil)
      case .ignore: preconditionFailure("the ignored column \(column.name) cannot be encoded")
      }
    self.reading = reading
    let imputed = column.impute.map { Self.code(ofDeclared: $0, reading, column.name) }
    missing =
      switch (schema.policy(of: column), imputed) {
      case (.drop, _): .drop
      case (.impute, let code?): .impute(code)
      case (.impute, nil): preconditionFailure("\(column.name) has no declared impute value")
      case (.indicator, let code): .indicator(code)
      }
  }

  private static func code(ofDeclared text: String, _ reading: Reading, _ name: String) -> Double {
    var code = 0.0
    // SAFETY: the buffer is read within the closure only.
    let fault = unsafe Array(text.utf8).withUnsafeBytes { unsafe read($0, reading, into: &code) }
    precondition(fault == nil, "the impute value of \(name) was not checked")
    return code
  }

  /// Writes the features of a value into a zeroed row.
  ///
  /// Returns what is wrong with it, or nil.
  @unsafe @inline(__always) func encode<Element: FeatureElement>(
    _ bytes: UnsafeRawBufferPointer, into row: UnsafeMutablePointer<Element>
  ) -> RowFault.Reason? {
    var code = 0.0
    if let reason = unsafe Self.read(bytes, reading, into: &code) { return reason }
    unsafe write(code, into: row)
    return nil
  }

  /// Writes the feature of a derived column.
  @unsafe @inline(__always) func encode<Element: FeatureElement>(
    _ isTrue: Bool, into row: UnsafeMutablePointer<Element>
  ) {
    unsafe write(isTrue ? 1 : 0, into: row)
  }

  /// Writes the features of a missing value.
  ///
  /// Returns false where the row must be dropped.
  @unsafe func encodeMissing<Element: FeatureElement>(
    into row: UnsafeMutablePointer<Element>
  ) -> Bool {
    switch missing {
    case .drop: return false
    case .impute(let code):
      unsafe write(code, into: row)
    case .indicator(let code):
      if let code { unsafe write(code, into: row) }
      unsafe row[indicatorOffset] = Element(feature: 1)
    }
    return true
  }

  /// Whether the column's values are numbers.
  var isNumeric: Bool {
    switch reading {
    case .numeric, .standard: true
    case .binary, .binaryTexts, .ordinal, .hashed, .categorical: false
    }
  }

  /// The code of a number in a column of numbers.
  @inline(__always) func code(ofNumber value: Double) -> Double {
    switch reading {
    case .numeric(let lower, let upper): Self.share(of: value, lower, upper)
    case .standard(let lower, let upper, let mean, let deviation):
      Self.score(of: value, lower, upper, mean, deviation)
    case .binary, .binaryTexts, .ordinal, .hashed, .categorical:
      preconditionFailure("the column has no numbers")
    }
  }

  @inline(__always)
  private static func share(of value: Double, _ lower: Double, _ upper: Double) -> Double {
    2 * ((min(max(value, lower), upper) - lower) / (upper - lower)) - 1
  }

  @inline(__always) private static func score(
    of value: Double, _ lower: Double, _ upper: Double, _ mean: Double, _ deviation: Double
  ) -> Double {
    (min(max(value, lower), upper) - mean) / deviation
  }

  /// Reads a label: a class index, or a scaled number.
  ///
  /// Returns what is wrong with it, or nil.
  @unsafe func readLabel(
    _ bytes: UnsafeRawBufferPointer, into label: inout Double
  ) -> RowFault.Reason? {
    unsafe Self.read(bytes, reading, into: &label)
  }

  @unsafe @inline(__always) func write<Element: FeatureElement>(
    _ code: Double, into row: UnsafeMutablePointer<Element>
  ) {
    // SAFETY: offsets lie within the row by the schema's own count of features.
    switch reading {
    case .binary, .binaryTexts, .numeric, .standard, .ordinal:
      unsafe row[offset] = Element(feature: Float(code))
    case .categorical, .hashed: unsafe row[offset + Int(code)] = Element(feature: 1)
    }
  }

  @unsafe @inline(__always) private static func read(
    _ bytes: UnsafeRawBufferPointer, _ reading: Reading, into code: inout Double
  ) -> RowFault.Reason? {
    switch reading {
    case .binary:
      guard let value = unsafe binary(bytes) else { return .notBinary }
      code = value
    case .binaryTexts(let table):
      guard let index = unsafe table.index(of: bytes) else { return .notBinary }
      code = Double(index)
    case .numeric(let lower, let upper):
      switch unsafe DecimalNumber.read(bytes) {
      case .number(let value): code = share(of: value, lower, upper)
      case .notFinite: return .notFinite
      case .notANumber: return .notANumber
      }
    case .standard(let lower, let upper, let mean, let deviation):
      switch unsafe DecimalNumber.read(bytes) {
      case .number(let value): code = score(of: value, lower, upper, mean, deviation)
      case .notFinite: return .notFinite
      case .notANumber: return .notANumber
      }
    case .ordinal(let table, let last):
      guard let index = unsafe table.index(of: bytes) else { return .undeclaredCategory }
      code = 2 * Double(index) / last - 1
    case .hashed(let buckets):
      code = Double(unsafe (XXH64.hash(bytes, seed: Self.hashSeed) >> 11) % buckets)
    case .categorical(let table, let other):
      guard let index = unsafe table.index(of: bytes) ?? other else { return .undeclaredCategory }
      code = Double(index)
    }
    return nil
  }

  /// `0` or `false`, `1` or `true`, in any letter case.
  @unsafe @inline(__always)
  private static func binary(_ bytes: UnsafeRawBufferPointer) -> Double? {
    if bytes.count == 1 {
      let digit = unsafe bytes[0] &- UInt8(ascii: "0")
      return digit < 2 ? Double(digit) : nil
    }
    guard bytes.count == 4 || bytes.count == 5 else { return nil }
    return switch unsafe String(decoding: bytes, as: UTF8.self).lowercased() {
    case "false": 0
    case "true": 1
    default: nil
    }
  }
}
