internal import CDPKernels
internal import DPFiles

/// Which split a raw row belongs to: a published function of its ordinal (or its unit) and a key.
///
/// A row is in the test split if the top 53 bits of `xxHash64("KEY:ORDINAL", seed 42)` are below the
/// test fraction times 2^53. Ordinals count raw rows from 0 over all inputs. With a declared unit
/// or id, its trimmed text takes the ordinal's place; where it is missing or unreadable, the ordinal
/// stays. Spark SQL has the same function:
/// `shiftrightunsigned(xxhash64(concat(KEY, ':', ORDINAL)), 11)`.
@safe package struct RowSplit {
  private let prefix: [UInt8]
  private let threshold: UInt64
  private var text: [UInt8]

  /// A split.
  ///
  /// - Parameters:
  ///   - key: Another key gives another split.
  ///   - testFraction: In [0, 1).
  package init(key: Int, testFraction: Double) {
    prefix = Array("\(key):".utf8)
    threshold = UInt64((testFraction * 0x1p53).rounded())
    text = prefix
  }

  /// Whether a row is in the test split, by its ordinal.
  ///
  /// - Parameter ordinal: At least 0.
  /// - Returns: Whether it is.
  package mutating func isTest(ordinal: Int) -> Bool {
    text.removeLast(text.count - prefix.count)
    var digits = ordinal
    repeat {
      text.append(UInt8(ascii: "0") + UInt8(digits % 10))
      digits /= 10
    } while digits > 0
    text[prefix.count...].reverse()
    return isBelowThreshold
  }

  /// Whether a row is in the test split, by the text of its unit or id.
  ///
  /// - Parameter bytes: Trimmed; read within the call only.
  /// - Returns: Whether it is.
  @unsafe package mutating func isTest(unit bytes: UnsafeRawBufferPointer) -> Bool {
    text.removeLast(text.count - prefix.count)
    unsafe text.append(contentsOf: bytes)
    return isBelowThreshold
  }

  /// Decides the split of consecutive rows by their ordinals: 1 is the test split, 0 the training split.
  ///
  /// - Parameters:
  ///   - ordinal: Of the first row, at least 0.
  ///   - target: A place for each row; written within the call only.
  /// - Complexity: O(rows), some nanoseconds each.
  @unsafe package mutating func decide(
    from ordinal: Int, into target: UnsafeMutableBufferPointer<UInt8>
  ) {
    guard threshold > 0, prefix.count <= 11 else {
      for row in target.indices {
        unsafe target[row] = threshold > 0 && isTest(ordinal: ordinal + row) ? 1 : 0
      }
      return
    }
    unsafe cdp_split_ordinals(
      prefix, prefix.count, UInt64(ordinal), target.count, threshold, target.baseAddress)
  }

  private var isBelowThreshold: Bool { XXH64.hash(text, seed: 42) >> 11 < threshold }
}
