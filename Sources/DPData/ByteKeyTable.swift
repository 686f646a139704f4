internal import DPFiles

/// Numbers distinct byte strings in the order in which they came, without making a text of any.
@safe struct ByteKeyTable {
  /// Keys back to back; key i ends at `ends[i]`.
  private var storage: [UInt8] = []
  private var ends: [Int] = []
  /// Key index + 1 by hash, 0 for none; its size is a power of two, at most half full.
  private var slots: [Int32] = Array(repeating: 0, count: 16)

  /// How many keys there are.
  var count: Int { ends.count }

  /// An empty table.
  init() {}

  /// A table of texts.
  ///
  /// - Parameter keys: Their UTF-8 bytes are the keys; a repeated one keeps its first number.
  init(_ keys: [String]) {
    for key in keys {
      // SAFETY: the buffer is read within the closure only.
      unsafe Array(key.utf8).withUnsafeBytes { _ = unsafe insert($0) }
    }
  }

  /// The key with a number.
  ///
  /// - Parameter index: 0 up to ``count``.
  /// - Returns: Its bytes.
  func key(_ index: Int) -> ArraySlice<UInt8> {
    storage[(index == 0 ? 0 : ends[index - 1])..<ends[index]]
  }

  /// The number of a key.
  ///
  /// - Parameter bytes: Read within the call only.
  /// - Returns: Its number, or nil where it is not in the table.
  /// - Complexity: O(bytes) expected.
  @unsafe func index(of bytes: UnsafeRawBufferPointer) -> Int? {
    let index = unsafe Int(slots[slot(of: bytes)]) - 1
    return index < 0 ? nil : index
  }

  /// The number of a key, which joins the table if it is new.
  ///
  /// - Parameter bytes: Read within the call only.
  /// - Returns: Its number.
  /// - Complexity: O(bytes) expected, amortised.
  @unsafe mutating func insert(_ bytes: UnsafeRawBufferPointer) -> Int {
    if let index = unsafe index(of: bytes) { return index }
    if 2 * (count + 1) > slots.count { grow() }
    unsafe storage.append(contentsOf: bytes)
    let slot = unsafe slot(of: bytes)
    ends.append(storage.count)
    slots[slot] = Int32(count)
    return count - 1
  }

  /// The slot that holds a key, or the empty one where it would go.
  @unsafe private func slot(of bytes: UnsafeRawBufferPointer) -> Int {
    let mask = slots.count - 1
    var slot = unsafe Int(truncatingIfNeeded: XXH64.hash(bytes)) & mask
    while slots[slot] != 0, unsafe !equals(Int(slots[slot]) - 1, bytes) {
      slot = (slot + 1) & mask
    }
    return slot
  }

  @unsafe private func equals(_ index: Int, _ bytes: UnsafeRawBufferPointer) -> Bool {
    let start = index == 0 ? 0 : ends[index - 1]
    guard ends[index] - start == bytes.count else { return false }
    for offset in 0..<bytes.count where unsafe storage[start + offset] != bytes[offset] {
      return false
    }
    return true
  }

  private mutating func grow() {
    let old = slots
    slots = Array(repeating: 0, count: 2 * old.count)
    for index in 0..<count {
      // SAFETY: the buffer is read within the closure only.
      let slot = unsafe Array(key(index)).withUnsafeBytes { unsafe self.slot(of: $0) }
      slots[slot] = Int32(index + 1)
    }
  }
}
