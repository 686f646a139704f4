extension ExampleTable {
  /// Some rows of the table, as a table that begins with the first of them; nothing is copied.
  ///
  /// - Parameter rows: Rows of the table.
  /// - Returns: Their table; it keeps the memory alive as this one does.
  package func rows(_ rows: Range<Int>) -> ExampleTable {
    precondition(
      rows.lowerBound >= 0 && rows.upperBound <= count, "rows \(rows) of \(count)")
    let first = rows.lowerBound
    // SAFETY: `rows` lie inside the table, so that what begins at `first` has as many rows.
    return unsafe ExampleTable(
      features: features.from(row: first, width: width), labels: labels.from(row: first),
      count: rows.count, width: width, owner: owner)
  }
}

extension ExampleTable.Features {
  /// The same memory from a row on.
  @unsafe fileprivate func from(row: Int, width: Int) -> ExampleTable.Features {
    switch unsafe self {
    case .bytes(let base): unsafe .bytes(base + row * width)
    case .floats(let base): unsafe .floats(base + row * width)
    case .bits(let bits):
      unsafe .bits(
        BitRows(
          words: bits.words + row * bits.wordBytes, wordBytes: bits.wordBytes,
          labelBits: bits.labelBits))
    }
  }
}

extension ExampleTable.Labels {
  /// The same memory from a row on.
  @unsafe fileprivate func from(row: Int) -> ExampleTable.Labels {
    switch unsafe self {
    case .bytes(let base): unsafe .bytes(base + row)
    case .integers(let base): unsafe .integers(base + row)
    case .floats(let base): unsafe .floats(base + row)
    case .inBits: unsafe .inBits
    }
  }
}
