extension ExampleTable {
  /// Memory of rows that were copied together.
  @safe private final class Copy {
    let features: UnsafeMutableRawPointer
    let labels: UnsafeMutableRawPointer

    init(featureBytes: Int, labelBytes: Int) {
      // SAFETY: both blocks live until deinit; whoever fills them stays within their bytes.
      unsafe features = .allocate(byteCount: max(1, featureBytes), alignment: 64)
      unsafe labels = .allocate(byteCount: max(1, labelBytes), alignment: 64)
    }

    deinit {
      unsafe features.deallocate()
      unsafe labels.deallocate()
    }
  }

  /// Bytes of a row's features and of its label.
  private var rowBytes: (features: Int, label: Int) {
    let features =
      switch unsafe features {
      case .bytes: width
      case .floats: 4 * width
      case .bits: preconditionFailure("rows of bits are made from other rows")
      }
    let label =
      switch unsafe labels {
      case .bytes: 1
      case .integers, .floats: 4
      case .inBits: preconditionFailure("labels in bits are made from other labels")
      }
    return (features, label)
  }

  /// Lends the stored bytes of all rows: features row by row, then labels.
  ///
  /// - Parameter body: Reads them within the call only. The table is not of bits.
  /// - Returns: What `body` returns.
  @unsafe package func withBytes<Result>(
    _ body: (_ features: UnsafeRawBufferPointer, _ labels: UnsafeRawBufferPointer) -> Result
  ) -> Result {
    let size = rowBytes
    return unsafe body(
      UnsafeRawBufferPointer(start: featureBase, count: count * size.features),
      UnsafeRawBufferPointer(start: labelBase, count: count * size.label))
  }

  @unsafe private var featureBase: UnsafeRawPointer {
    switch unsafe features {
    case .bytes(let base): unsafe UnsafeRawPointer(base)
    case .floats(let base): unsafe UnsafeRawPointer(base)
    case .bits(let bits): unsafe bits.words
    }
  }

  @unsafe private var labelBase: UnsafeRawPointer {
    switch unsafe labels {
    case .bytes(let base): unsafe UnsafeRawPointer(base)
    case .integers(let base): unsafe UnsafeRawPointer(base)
    case .floats(let base): unsafe UnsafeRawPointer(base)
    case .inBits: unsafe featureBase
    }
  }

  /// The rows of several tables, one after another.
  ///
  /// - Parameter tables: At least one, none of bits, all of one width and of the same types.
  /// - Returns: The table itself where it is the only one that has rows, else a copy of all.
  /// - Complexity: O(bytes) where there are several.
  package static func joined(_ tables: [ExampleTable]) -> ExampleTable {
    let parts = tables.filter { $0.count > 0 }
    guard parts.count > 1 else { return parts.first ?? tables[0] }
    let count = parts.reduce(0) { $0 + $1.count }
    let size = parts[0].rowBytes
    precondition(
      parts.allSatisfy { $0.width == parts[0].width && $0.rowBytes == size },
      "rows of different tables")
    let copy = Copy(featureBytes: count * size.features, labelBytes: count * size.label)
    var first = 0
    for part in parts {
      // SAFETY: both blocks have room for `count` rows, of which this part's begin at `first`.
      unsafe part.withBytes { features, labels in
        if let base = features.baseAddress {
          unsafe (copy.features + first * size.features).copyMemory(
            from: base, byteCount: features.count)
        }
        if let base = labels.baseAddress {
          unsafe (copy.labels + first * size.label).copyMemory(
            from: base, byteCount: labels.count)
        }
      }
      first += part.count
    }
    return unsafe ExampleTable(
      features: parts[0].features.moved(to: copy.features),
      labels: parts[0].labels.moved(to: copy.labels), count: count, width: parts[0].width,
      owner: copy)
  }
}

extension ExampleTable.Features {
  /// The same type of features at another address.
  @unsafe fileprivate func moved(to base: UnsafeMutableRawPointer) -> ExampleTable.Features {
    switch unsafe self {
    case .bytes: unsafe .bytes(UnsafePointer(base.assumingMemoryBound(to: UInt8.self)))
    case .floats: unsafe .floats(UnsafePointer(base.assumingMemoryBound(to: Float.self)))
    case .bits: unsafe self
    }
  }
}

extension ExampleTable.Labels {
  /// The same type of labels at another address.
  @unsafe fileprivate func moved(to base: UnsafeMutableRawPointer) -> ExampleTable.Labels {
    switch unsafe self {
    case .bytes: unsafe .bytes(UnsafePointer(base.assumingMemoryBound(to: UInt8.self)))
    case .integers: unsafe .integers(UnsafePointer(base.assumingMemoryBound(to: Int32.self)))
    case .floats: unsafe .floats(UnsafePointer(base.assumingMemoryBound(to: Float.self)))
    case .inBits: unsafe self
    }
  }
}
