/// Values of one column, to be written.
///
/// A nil is a null.
public enum ParquetValues: Sendable {
  /// Truth values.
  case booleans([Bool?])
  /// Integers of at most 32 bits, dates, times in milliseconds, decimals of at most 9 digits.
  case int32s([Int32?])
  /// Integers of 64 bits, times, timestamps, decimals of at most 18 digits.
  case int64s([Int64?])
  /// Numbers of 32 bits.
  case floats([Float?])
  /// Numbers of 64 bits.
  case doubles([Double?])
  /// Texts.
  case strings([String?])

  /// How many rows.
  public var count: Int {
    switch self {
    case .booleans(let values): values.count
    case .int32s(let values): values.count
    case .int64s(let values): values.count
    case .floats(let values): values.count
    case .doubles(let values): values.count
    case .strings(let values): values.count
    }
  }

  var storage: ParquetStorage {
    switch self {
    case .booleans: .boolean
    case .int32s: .int32
    case .int64s: .int64
    case .floats: .float
    case .doubles: .double
    case .strings: .bytes
    }
  }

  /// Which rows have a value.
  var isPresent: [Bool] {
    switch self {
    case .booleans(let values): values.map { $0 != nil }
    case .int32s(let values): values.map { $0 != nil }
    case .int64s(let values): values.map { $0 != nil }
    case .floats(let values): values.map { $0 != nil }
    case .doubles(let values): values.map { $0 != nil }
    case .strings(let values): values.map { $0 != nil }
    }
  }

  /// The pages' bytes of the values that are there.
  var encoded: EncodedValues {
    switch self {
    case .booleans(let values): EncodedValues(booleans: values.compactMap(\.self))
    case .int32s(let values):
      EncodedValues(values.compactMap { $0.map { UInt32(bitPattern: $0) } }, width: 4)
    case .int64s(let values):
      EncodedValues(values.compactMap { $0.map { UInt64(bitPattern: $0) } }, width: 8)
    case .floats(let values): EncodedValues(values.compactMap { $0?.bitPattern }, width: 4)
    case .doubles(let values): EncodedValues(values.compactMap { $0?.bitPattern }, width: 8)
    case .strings(let values): EncodedValues(strings: values.compactMap(\.self))
    }
  }
}

/// The values of a page, plain, or as a dictionary and indices.
struct EncodedValues {
  /// Entries that a dictionary may have.
  private static let entryLimit = 1 << 16

  /// The dictionary's entries, plain; nil where none pays.
  private(set) var dictionary: [UInt8]?
  private(set) var entryCount = 0
  /// The values: indices where there is a dictionary.
  private(set) var body: [UInt8] = []

  /// Bits, lowest first.
  init(booleans: [Bool]) {
    body = [UInt8](repeating: 0, count: (booleans.count + 7) / 8)
    for (row, value) in booleans.enumerated() where value { body[row / 8] |= 1 << UInt8(row % 8) }
  }

  /// Little-endian words.
  init<Word: FixedWidthInteger>(_ words: [Word], width: Int) {
    func write(_ word: Word, _ bytes: inout [UInt8]) {
      for byte in 0..<width { bytes.append(UInt8(truncatingIfNeeded: word >> Word(8 * byte))) }
    }
    self.init(words, sizes: { _ in width }, write: write)
  }

  /// UTF-8 with its length before it.
  init(strings: [String]) {
    func write(_ text: String, _ bytes: inout [UInt8]) {
      let count = UInt32(text.utf8.count)
      for byte in 0..<4 { bytes.append(UInt8(truncatingIfNeeded: count >> UInt32(8 * byte))) }
      bytes.append(contentsOf: text.utf8)
    }
    self.init(strings, sizes: { 4 + $0.utf8.count }, write: write)
  }

  /// A dictionary is made where entries and indices take fewer bytes than the values.
  private init<Value: Hashable>(
    _ values: [Value], sizes: (Value) -> Int, write: (Value, inout [UInt8]) -> Void
  ) {
    var places: [Value: UInt32] = [:]
    var order: [Value] = []
    var indices: [UInt32] = []
    var (plainSize, entrySize) = (0, 0)
    for value in values {
      plainSize += sizes(value)
      guard order.count <= Self.entryLimit else { continue }
      let place = places[value] ?? UInt32(order.count)
      if Int(place) == order.count {
        places[value] = place
        order.append(value)
        entrySize += sizes(value)
      }
      indices.append(place)
    }
    let width = RunEncoder.width(of: order.count - 1)
    guard order.count <= Self.entryLimit, entrySize + values.count * width / 8 < plainSize else {
      for value in values { write(value, &body) }
      return
    }
    var entries: [UInt8] = []
    for value in order { write(value, &entries) }
    dictionary = entries
    entryCount = order.count
    body = [UInt8(width)] + RunEncoder.encode(indices, width: width)
  }
}
