internal import CDPKernels

/// A walk over a block of records by skips of geometric length: the loop under Poisson sampling.
///
/// Each uniform word w gives a skip ⌊−ln((w + 1) · 2⁻⁶⁴) / λ⌋; the record after it is drawn, unless
/// the skip was cut (then it moves the walk by ``longest`` and draws nothing).
///
/// Slowest first, on one core with words in the cache (see `Benchmarks`):
///
/// | variant | idea |
/// |---|---|
/// | ``reference(_:into:)`` | the C library's logarithm, a word at a time |
/// | SSE2, NEON | a polynomial on 8 words, places by a running sum across them |
/// | AVX2, AVX-512 | four or eight words in a register |
///
/// The compiled variants draw the same records on every machine: IEEE 754's own operations in a
/// fixed order, none of them fused.
package struct GeometricWalk {
  /// Words that are turned into skips together.
  package static let groupWords = Int(CDP_SAMPLING_GROUP_WORDS)
  /// Their bytes.
  package static let groupBytes = Int(CDP_SAMPLING_GROUP_BYTES)
  /// The most records of a block, and the longest skip.
  package static let limit = 1 << 27
  /// How far a skip times λ, up to 8, is off the exact logarithm: 2⁻⁴⁷.
  ///
  /// The logarithm is within 2⁻⁴⁸ (proved beside it); 1 / λ and the product with it are each rounded
  /// to a relative 2⁻⁵³, together 2⁻⁴⁹ of 8.
  package static let error = 0x1p-47

  /// The instruction sets that this processor can run, slowest first.
  package static let instructionSets: [String] = (0..<Int32(4)).compactMap { variant in
    guard unsafe cdp_geometric_records_variant(variant) != nil,
      let name = unsafe cdp_instruction_set_name(variant)
    else { return nil }
    return unsafe String(cString: name)
  }

  /// λ, the logarithm that a record is worth.
  package let rate: Double
  /// The length at which skips are cut.
  package let longest: Int
  /// The block's records.
  package let range: Range<Int>
  /// Where the walk stands, in records from the block's first.
  private var next: UInt32 = 0
  /// The same, for the reference.
  var position: Int { Int(next) }

  /// Starts at a block's first record.
  ///
  /// - Parameters:
  ///   - range: At most ``limit`` records, all below 2³².
  ///   - rate: λ > 0.
  ///   - longest: In 1 ... ``limit``.
  package init(over range: Range<Int>, rate: Double, longest: Int) {
    precondition(
      range.lowerBound >= 0 && range.upperBound <= 1 << 32 && range.count <= GeometricWalk.limit,
      "records \(range)")
    precondition(
      rate > 0 && longest > 0 && longest <= GeometricWalk.limit, "rate \(rate), longest \(longest)")
    self.range = range
    self.rate = rate
    self.longest = longest
  }

  /// Goes to a place.
  mutating func move(to place: Int) { next = UInt32(place) }

  /// Whether the walk is behind the block's last record.
  package var isOver: Bool { Int(next) >= range.count }

  /// Walks until the block or the words end.
  ///
  /// - Parameters:
  ///   - bytes: Uniform and independent; a multiple of ``groupBytes``.
  ///   - records: Receives the records drawn, in ascending order; what lies behind them is undefined.
  ///   - start: Where the first goes; there is room for one record for each word.
  ///   - variant: An index into ``instructionSets``.
  /// - Returns: The number of records drawn.
  package mutating func draw(
    _ bytes: RawSpan, into records: inout MutableSpan<UInt32>, at start: Int = 0, variant: Int
  ) -> Int {
    let groups = bytes.byteCount / GeometricWalk.groupBytes
    precondition(
      bytes.byteCount == groups * GeometricWalk.groupBytes && start >= 0
        && start + groups * GeometricWalk.groupWords <= records.count,
      "\(bytes.byteCount) bytes for \(records.count) records from \(start)")
    guard groups > 0, let function = unsafe cdp_geometric_records_variant(Int32(variant))
    else { return 0 }
    var walk = cdp_geometric_walk(
      skips: 1 / rate, longest: UInt32(longest), end: UInt32(range.count),
      base: UInt32(range.lowerBound))
    // SAFETY: both spans stay alive through the call and cannot overlap; the function reads `groups`
    // groups and writes at most a record for each of their words, which lie within the spans.
    return unsafe bytes.withUnsafeBytes { source in
      unsafe records.withUnsafeMutableBufferPointer { target in
        guard let from = source.baseAddress, let to = target.baseAddress else { return 0 }
        return unsafe function(
          from.assumingMemoryBound(to: UInt8.self), groups, &walk, &next, to + start)
      }
    }
  }
}

/// Records drawn each by a comparison: for rates at which skips would be short.
package enum ComparedRecords {
  /// Draws the records whose words are below a threshold.
  ///
  /// - Parameters:
  ///   - words: Uniform and independent: 4 bytes for each record, little-endian.
  ///   - threshold: Of 2³²: the probability.
  ///   - base: The first record.
  ///   - records: Receives the records drawn; as many elements as there are words.
  /// - Returns: The number of records drawn.
  package static func draw(
    _ words: RawSpan, below threshold: UInt32, from base: UInt32,
    into records: inout MutableSpan<UInt32>
  ) -> Int {
    let count = words.byteCount / 4
    precondition(
      words.byteCount == 4 * count && count <= records.count,
      "\(words.byteCount) bytes for \(records.count) records")
    // SAFETY: both spans stay alive through the call and cannot overlap; the function reads `count`
    // words of 4 bytes and writes at most `count` records.
    return unsafe words.withUnsafeBytes { source in
      unsafe records.withUnsafeMutableBufferPointer { target in
        guard let from = source.baseAddress, let to = target.baseAddress else { return 0 }
        return unsafe cdp_compared_records(
          from.assumingMemoryBound(to: UInt8.self), count, threshold, base, to)
      }
    }
  }
}
