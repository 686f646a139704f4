/// What a column holds, learnt value by value in bounded memory.
struct ColumnSketch {
  /// Up to this many distinct values are kept; a column with more is no categorical one.
  static let maxCategories = 20
  /// A longer value is no category.
  private static let maxCategoryBytes = 256

  private var values = ByteKeyTable()
  private(set) var hasManyValues = false
  /// Whether every value so far is a finite number.
  private(set) var isNumeric = true
  private var lowest = Double.infinity
  private var highest = -Double.infinity

  /// Takes a value in.
  ///
  /// - Parameter bytes: Trimmed, and not a token for missing; read within the call only.
  @unsafe mutating func see(_ bytes: UnsafeRawBufferPointer) {
    if !hasManyValues {
      if unsafe values.index(of: bytes) != nil { return }
      if values.count == Self.maxCategories || bytes.count > Self.maxCategoryBytes {
        hasManyValues = true
      } else {
        _ = unsafe values.insert(bytes)
      }
    }
    guard isNumeric else { return }
    if case .number(let value) = unsafe DecimalNumber.read(bytes) {
      lowest = min(lowest, value)
      highest = max(highest, value)
    } else {
      isNumeric = false
    }
  }

  /// Whether there was any value.
  var isEmpty: Bool { values.count == 0 && !hasManyValues }

  /// The smallest and largest number, where all values are numbers and they differ.
  var bounds: ClosedRange<Double>? { isNumeric && lowest < highest ? lowest...highest : nil }

  /// The distinct values, numbers by size and texts by their bytes; empty if there are many.
  var categories: [String] {
    guard !hasManyValues else { return [] }
    let texts = (0..<values.count).map { String(decoding: values.key($0), as: UTF8.self) }
    guard isNumeric else { return texts.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) } }
    return texts.map { (DecimalNumber.parse($0) ?? 0, $0) }.sorted { $0 < $1 }.map(\.1)
  }

  /// Whether all values are among those of a binary column that declares none.
  var isBinary: Bool {
    !isEmpty && !hasManyValues
      && (categories.allSatisfy { ["0", "1"].contains($0) }
        || categories.allSatisfy { ["true", "false"].contains($0.lowercased()) })
  }
}
