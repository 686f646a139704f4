/// Rows of bits, each in one word: the label's code in the low bits, then a bit for each feature.
@unsafe package struct BitRows {
  /// Words of ``wordBytes`` bytes.
  let words: UnsafeRawPointer
  /// 2, 4 or 8.
  let wordBytes: Int
  /// Bits of the label's code: a class, or all set where a row holds no example.
  let labelBits: Int

  /// The word of a row, whose number was checked.
  func word(of row: Int) -> UInt64 {
    switch unsafe wordBytes {
    case 2: UInt64(unsafe words.load(fromByteOffset: 2 * row, as: UInt16.self))
    case 4: UInt64(unsafe words.load(fromByteOffset: 4 * row, as: UInt32.self))
    default: unsafe words.load(fromByteOffset: 8 * row, as: UInt64.self)
    }
  }

  /// The label of a row, NaN where it holds no example.
  func label(of row: Int) -> Float {
    let none = unsafe UInt64(1) << UInt64(labelBits) - 1
    let code = unsafe word(of: row) & none
    return code == none ? .nan : Float(code)
  }
}

extension ExampleTable {
  /// Memory of a table's words.
  @safe private final class Words {
    let base: UnsafeMutableRawPointer

    init(byteCount: Int) {
      // SAFETY: the block lives until deinit; whoever writes it stays within its bytes.
      unsafe base = .allocate(byteCount: max(1, byteCount), alignment: 64)
    }

    deinit { unsafe base.deallocate() }
  }

  /// The same table in one word for each row, where features and labels fit: features of bytes that are
  /// 0 or 1, labels of bytes, 64 bits in all.
  ///
  /// Rows are drawn at random, so the fewer lines of memory they lie on, the sooner they come: 979,200
  /// rows of 9 features take 2 MB instead of 10.
  ///
  /// - Returns: A copy, or nil where the table does not fit.
  /// - Complexity: O(rows × features), about 10 ns a row of 9.
  package func packed() -> ExampleTable? {
    guard case .bytes(let from) = unsafe features, case .bytes(let classes) = unsafe labels else {
      return nil
    }
    var largest: UInt8 = 0
    for row in 0..<count {
      let label = unsafe classes[row]
      if label != ExampleTable.noByte { largest = max(largest, label) }
    }
    // The code of all ones is that of no example.
    let labelBits = UInt8.bitWidth - (largest + 1).leadingZeroBitCount
    let bits = labelBits + width
    guard bits <= 64 else { return nil }
    let wordBytes = bits <= 16 ? 2 : bits <= 32 ? 4 : 8
    let words = Words(byteCount: count * wordBytes)
    let none = UInt64(1) << UInt64(labelBits) - 1
    for row in 0..<count {
      let label = unsafe classes[row]
      var word = label == ExampleTable.noByte ? none : UInt64(label)
      var others: UInt8 = 0
      for feature in 0..<width {
        let value = unsafe from[row * width + feature]
        others |= value
        word |= UInt64(value & 1) << UInt64(labelBits + feature)
      }
      guard others <= 1 else { return nil }
      // SAFETY: the block has `count` words.
      unsafe withUnsafeBytes(of: word.littleEndian) {
        unsafe (words.base + row * wordBytes).copyMemory(
          from: $0.baseAddress ?? UnsafeRawPointer(words.base), byteCount: wordBytes)
      }
    }
    let packed = unsafe BitRows(
      words: UnsafeRawPointer(words.base), wordBytes: wordBytes, labelBits: labelBits)
    return unsafe ExampleTable(
      features: .bits(packed), labels: .inBits, count: count, width: width, owner: words)
  }
}
