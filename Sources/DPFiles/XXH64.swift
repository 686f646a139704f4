/// xxHash64: a fast hash with a published definition, not a cryptographic one.
///
/// Anyone can compute it again: Python's `xxhash`, Spark SQL's `xxhash64` (seed 42), ClickHouse,
/// DuckDB. It decides the split of a table and names contents; it protects nothing.
///
/// - SeeAlso: Y. Collet, "xxHash fast digest algorithm", specification version 0.2.0, section XXH64.
package enum XXH64 {
  private static let prime1: UInt64 = 0x9E37_79B1_85EB_CA87
  private static let prime2: UInt64 = 0xC2B2_AE3D_27D4_EB4F
  private static let prime3: UInt64 = 0x1656_67B1_9E37_79F9
  private static let prime4: UInt64 = 0x85EB_CA77_C2B2_AE63
  private static let prime5: UInt64 = 0x27D4_EB2F_1656_67C5

  /// The hash of a text's UTF-8 bytes.
  ///
  /// - Parameters:
  ///   - text: May be empty.
  ///   - seed: Another seed gives an unrelated hash.
  /// - Returns: The 64-bit hash.
  /// - Complexity: O(bytes).
  package static func hash(_ text: String, seed: UInt64 = 0) -> UInt64 {
    hash(Array(text.utf8), seed: seed)
  }

  /// The hash of an array of bytes.
  ///
  /// - Parameters:
  ///   - bytes: May be empty.
  ///   - seed: Another seed gives an unrelated hash.
  /// - Returns: The 64-bit hash.
  /// - Complexity: O(bytes), no allocation.
  package static func hash(_ bytes: [UInt8], seed: UInt64 = 0) -> UInt64 {
    // SAFETY: the buffer is read within the closure only.
    unsafe bytes.withUnsafeBytes { unsafe hash($0, seed: seed) }
  }

  /// The hash of bytes in memory.
  ///
  /// - Parameters:
  ///   - bytes: May be empty; no alignment is asked for. Must stay readable through the call.
  ///   - seed: Another seed gives an unrelated hash.
  /// - Returns: The 64-bit hash.
  /// - Complexity: O(bytes), no allocation; several GB/s.
  @unsafe package static func hash(_ bytes: UnsafeRawBufferPointer, seed: UInt64 = 0) -> UInt64 {
    var offset = 0
    var accumulator: UInt64
    if bytes.count >= 32 {
      unsafe (accumulator, offset) = stripes(bytes, seed: seed)
    } else {
      accumulator = seed &+ prime5
    }
    accumulator &+= UInt64(bytes.count)
    while offset + 8 <= bytes.count {
      accumulator ^= round(0, unsafe word64(bytes, offset))
      accumulator = rotate(accumulator, 27) &* prime1 &+ prime4
      offset += 8
    }
    if offset + 4 <= bytes.count {
      let word = unsafe bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
      accumulator ^= UInt64(UInt32(littleEndian: word)) &* prime1
      accumulator = rotate(accumulator, 23) &* prime2 &+ prime3
      offset += 4
    }
    while offset < bytes.count {
      accumulator ^= UInt64(unsafe bytes[offset]) &* prime5
      accumulator = rotate(accumulator, 11) &* prime1
      offset += 1
    }
    return avalanche(accumulator)
  }

  /// Steps 1 to 3 of the specification, for inputs of at least one stripe of 32 bytes.
  @unsafe private static func stripes(
    _ bytes: UnsafeRawBufferPointer, seed: UInt64
  ) -> (accumulator: UInt64, consumed: Int) {
    var lane1 = seed &+ prime1 &+ prime2
    var lane2 = seed &+ prime2
    var lane3 = seed
    var lane4 = seed &- prime1
    var offset = 0
    while offset + 32 <= bytes.count {
      lane1 = round(lane1, unsafe word64(bytes, offset))
      lane2 = round(lane2, unsafe word64(bytes, offset + 8))
      lane3 = round(lane3, unsafe word64(bytes, offset + 16))
      lane4 = round(lane4, unsafe word64(bytes, offset + 24))
      offset += 32
    }
    var sum = rotate(lane1, 1) &+ rotate(lane2, 7) &+ rotate(lane3, 12) &+ rotate(lane4, 18)
    for lane in [lane1, lane2, lane3, lane4] {
      sum = (sum ^ round(0, lane)) &* prime1 &+ prime4
    }
    return (sum, offset)
  }

  @inline(__always) private static func round(_ lane: UInt64, _ input: UInt64) -> UInt64 {
    rotate(lane &+ input &* prime2, 31) &* prime1
  }

  @inline(__always) private static func rotate(_ word: UInt64, _ bits: UInt64) -> UInt64 {
    (word &<< bits) | (word &>> (64 &- bits))
  }

  @inline(__always) private static func avalanche(_ hash: UInt64) -> UInt64 {
    var hash = hash
    hash = (hash ^ (hash &>> 33)) &* prime2
    hash = (hash ^ (hash &>> 29)) &* prime3
    return hash ^ (hash &>> 32)
  }

  @unsafe @inline(__always)
  private static func word64(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> UInt64 {
    unsafe UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
  }
}
