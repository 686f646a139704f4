internal import CDPKernels

/// Where the examples of a table lie in memory: features row by row, labels one by one.
///
/// A label of 255 (in bytes), −1 (in 32-bit integers) or NaN (in floats) marks a row that holds no
/// example: it is drawn like any other and contributes nothing.
@safe package struct ExampleTable: @unchecked Sendable {
  /// Features as stored.
  @unsafe package enum Features {
    /// Small numbers, most often 0 and 1.
    case bytes(UnsafePointer<UInt8>)
    /// Any numbers.
    case floats(UnsafePointer<Float>)
    /// Bits, with the label in the same word: see ``ExampleTable/packed()``.
    case bits(BitRows)
  }

  /// Labels as stored.
  @unsafe package enum Labels {
    /// Classes 0 to 254.
    case bytes(UnsafePointer<UInt8>)
    /// Classes.
    case integers(UnsafePointer<Int32>)
    /// Numbers.
    case floats(UnsafePointer<Float>)
    /// In the words of the features.
    case inBits
  }

  /// The label in bytes that marks a row without an example.
  package static let noByte: UInt8 = 255
  /// The label in 32-bit integers that marks a row without an example.
  package static let noInteger: Int32 = -1
  /// The label in floats that marks a row without an example.
  package static let noFloat = Float.nan

  /// The number of rows.
  package let count: Int
  /// The number d of features of a row.
  package let width: Int
  let features: Features
  let labels: Labels
  /// Keeps the memory alive.
  let owner: AnyObject

  /// Describes memory that holds a table.
  ///
  /// - Parameters:
  ///   - features: `count` × `width` values, row-major.
  ///   - labels: `count` values.
  ///   - count: The number of rows.
  ///   - width: The number of features of a row.
  ///   - owner: What keeps the memory alive, and unchanged; retained.
  @unsafe package init(
    features: Features, labels: Labels, count: Int, width: Int, owner: AnyObject
  ) {
    unsafe self.features = features
    unsafe self.labels = labels
    self.count = count
    self.width = width
    self.owner = owner
  }

  /// Loads up to 16 rows into the lanes of a panel; unused lanes hold no example, and zeros.
  ///
  /// - Parameters:
  ///   - rows: Indices of rows, at most 16, each below ``count``.
  ///   - panels: Where features go: ``width`` units.
  ///   - labels: Where labels go: NaN where a lane holds no example.
  ///   - panel: The panel of both.
  ///   - kernels: The loops to use.
  package func load(
    _ rows: Span<UInt32>, into panels: Panels, _ labels: PanelRow, at panel: Int,
    with kernels: TileKernels
  ) {
    precondition(rows.count <= Lanes.examples, "\(rows.count) rows for \(Lanes.examples) lanes")
    precondition(
      panels.units == width && panel >= 0 && panel < min(panels.count, labels.panels),
      "panel \(panel) of \(panels.units) units for \(width) features")
    for lane in 0..<rows.count {
      precondition(Int(rows[lane]) < count, "row \(rows[lane]) of \(count)")
    }
    // SAFETY: every row is below `count`, so that its `width` features lie inside the table, which ends
    // where the last row does.
    switch unsafe features {
    case .bytes(let base):
      unsafe kernels.gather(base, end: base + count * width, rows, into: panels, at: panel)
    case .floats(let base):
      unsafe kernels.gather(base, rows, into: panels, at: panel)
    case .bits(let bits):
      unsafe kernels.gather(bits, rows, into: panels, labels, at: panel)
      return
    }
    loadLabels(of: rows, into: labels, at: panel)
  }

  /// Writes the labels of up to 16 rows, NaN where there is no row or no example.
  private func loadLabels(of rows: Span<UInt32>, into target: PanelRow, at panel: Int) {
    if rows.count < Lanes.examples { target[panel] = Lanes(repeating: .nan) }
    // SAFETY: the caller has checked that every row is below `count`, that the labels are `count`
    // values, and that the panel lies in the target, which has 16 places for it.
    let values = unsafe target.base + panel * Lanes.examples
    switch unsafe labels {
    case .bytes(let base):
      for lane in 0..<rows.count {
        let value = unsafe base[Int(unsafe rows[unchecked: lane])]
        unsafe values[lane] = value == ExampleTable.noByte ? .nan : Float(value)
      }
    case .integers(let base):
      for lane in 0..<rows.count {
        let value = unsafe base[Int(unsafe rows[unchecked: lane])]
        unsafe values[lane] = value <= ExampleTable.noInteger ? .nan : Float(value)
      }
    case .floats(let base):
      for lane in 0..<rows.count {
        unsafe values[lane] = unsafe base[Int(unsafe rows[unchecked: lane])]
      }
    case .inBits: preconditionFailure("labels in bits are gathered with their features")
    }
  }

  /// Asks for the memory of rows that will be loaded soon.
  ///
  /// - Parameter rows: Indices of rows.
  package func prefetch(_ rows: Span<UInt32>) {
    // SAFETY: nothing is read: an address that is not mapped is ignored.
    unsafe rows.withUnsafeBufferPointer { rows in
      switch unsafe features {
      case .bytes(let base):
        unsafe cdp_prefetch_rows(base, width, width, rows.baseAddress, rows.count)
      case .floats(let base):
        unsafe cdp_prefetch_rows(base, 4 * width, 4 * width, rows.baseAddress, rows.count)
      case .bits(let bits):
        unsafe cdp_prefetch_rows(bits.words, bits.wordBytes, 1, rows.baseAddress, rows.count)
      }
      switch unsafe labels {
      case .inBits: break
      case .bytes(let base): unsafe cdp_prefetch_rows(base, 1, 1, rows.baseAddress, rows.count)
      case .integers(let base): unsafe cdp_prefetch_rows(base, 4, 4, rows.baseAddress, rows.count)
      case .floats(let base): unsafe cdp_prefetch_rows(base, 4, 4, rows.baseAddress, rows.count)
      }
    }
  }

  /// The features of a row.
  ///
  /// - Parameter row: Below ``count``.
  /// - Returns: ``width`` numbers.
  package func features(of row: Int) -> [Float] {
    precondition(row >= 0 && row < count, "row \(row) of \(count)")
    let range = row * width..<(row + 1) * width
    // SAFETY: `row` < `count`, so the row's `width` features lie inside the table.
    switch unsafe features {
    case .bytes(let base): return range.map { Float(unsafe base[$0]) }
    case .floats(let base): return range.map { unsafe base[$0] }
    case .bits(let bits):
      let word = unsafe bits.word(of: row) >> UInt64(bits.labelBits)
      return (0..<width).map { Float(word >> UInt64($0) & 1) }
    }
  }

  /// The label of a row, NaN where it holds no example.
  ///
  /// - Parameter row: Below ``count``.
  /// - Returns: A class or a number.
  package func label(of row: Int) -> Float {
    precondition(row >= 0 && row < count, "row \(row) of \(count)")
    // SAFETY: `row` < `count`, and the labels are `count` values.
    switch unsafe labels {
    case .bytes(let base):
      let value = unsafe base[row]
      return value == ExampleTable.noByte ? .nan : Float(value)
    case .integers(let base):
      let value = unsafe base[row]
      return value <= ExampleTable.noInteger ? .nan : Float(value)
    case .floats(let base):
      return unsafe base[row]
    case .inBits:
      guard case .bits(let bits) = unsafe features else { preconditionFailure("no bits") }
      return unsafe bits.label(of: row)
    }
  }
}
