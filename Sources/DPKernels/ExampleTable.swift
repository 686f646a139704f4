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
  }

  /// Labels as stored.
  @unsafe package enum Labels {
    /// Classes 0 to 254.
    case bytes(UnsafePointer<UInt8>)
    /// Classes.
    case integers(UnsafePointer<Int32>)
    /// Numbers.
    case floats(UnsafePointer<Float>)
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
  private let features: Features
  private let labels: Labels
  /// Keeps the memory alive.
  private let owner: AnyObject

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

  /// Loads up to 16 rows into the lanes of a tile; unused lanes hold no example.
  ///
  /// - Parameters:
  ///   - rows: Indices of rows, at most 16, each below ``count``.
  ///   - tile: Shape `[width]`, overwritten: feature `j` of row `rows[lane]` lies in lane `lane`.
  /// - Returns: The labels, NaN where a lane holds no example.
  package func load(_ rows: Span<UInt32>, into tile: inout MutableSpan<Lanes>) -> Lanes {
    precondition(rows.count <= Lanes.examples, "\(rows.count) rows for \(Lanes.examples) lanes")
    precondition(tile.count == width, "a tile of \(tile.count) for \(width) features")
    var labels = Lanes(repeating: .nan)
    if rows.count < Lanes.examples {
      for index in 0..<width { tile[index] = Lanes() }
    }
    for lane in 0..<rows.count {
      let row = Int(rows[lane])
      precondition(row < count, "row \(row) of \(count)")
      labels[lane] = label(of: row)
      // SAFETY: `row` < `count`, so the row's `width` features lie inside the table; `tile` holds
      // `width` × 16 floats and index × 16 + lane stays below that.
      unsafe tile.withUnsafeMutableBufferPointer { buffer in
        unsafe UnsafeMutableRawBufferPointer(buffer).withMemoryRebound(to: Float.self) { floats in
          switch unsafe features {
          case .bytes(let base):
            let from = unsafe base + row * width
            for index in 0..<width {
              unsafe floats[index * Lanes.examples + lane] = unsafe Float(from[index])
            }
          case .floats(let base):
            let from = unsafe base + row * width
            for index in 0..<width {
              unsafe floats[index * Lanes.examples + lane] = unsafe from[index]
            }
          }
        }
      }
    }
    return labels
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
    }
  }
}
