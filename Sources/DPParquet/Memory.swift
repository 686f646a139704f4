internal import Synchronization

/// The memory that reading one file may take: 16 times its size and 64 MB.
///
/// What a damaged file claims to hold can thus not exhaust the machine. Honest files stay far below it
/// when they are read in batches of some ten thousand rows.
final class MemoryAccount: Sendable {
  /// The most bytes.
  let limit: Int
  private let used = Atomic<Int>(0)

  init(fileSize: Int) {
    let (product, overflows) = fileSize.multipliedReportingOverflow(by: 16)
    limit = overflows ? Int.max : product + 64_000_000
  }

  /// Bytes in use.
  var count: Int { used.load(ordering: .relaxed) }

  /// Counts bytes that are about to be allocated.
  func take(_ bytes: Int) throws(Fault) {
    let now = used.add(bytes, ordering: .relaxed).newValue
    guard now <= limit else {
      used.subtract(bytes, ordering: .relaxed)
      throw Fault(
        .tooLarge,
        "\(now) bytes of memory are asked for, and 16 times the file's size and 64 MB are the most; "
          + "read fewer rows at once, or have the file written again if it is damaged")
    }
  }

  /// Counts bytes that are free again.
  func give(_ bytes: Int) {
    used.subtract(bytes, ordering: .relaxed)
  }
}

/// Uninitialised bytes that stay where they are until the last reference goes.
@safe final class Memory {
  @unsafe let start: UnsafeMutableRawPointer
  let capacity: Int
  private let account: MemoryAccount
  /// Loops may write so many bytes behind the last they were asked for.
  static let slack = 64

  init(capacity: Int, account: MemoryAccount) throws(Fault) {
    try account.take(capacity + Self.slack)
    self.account = account
    self.capacity = capacity
    // SAFETY: released in deinit.
    unsafe start = .allocate(byteCount: capacity + Self.slack, alignment: 64)
  }

  deinit {
    unsafe start.deallocate()
    account.give(capacity + Self.slack)
  }
}

/// Memory that grows by moving.
///
/// Batches hold on to the memory they were read into, so that it is never freed under them.
@safe struct GrowingMemory {
  private(set) var memory: Memory
  private let account: MemoryAccount

  init(account: MemoryAccount) throws(Fault) {
    self.account = account
    memory = try Memory(capacity: 0, account: account)
  }

  /// The first byte.
  @unsafe var start: UnsafeMutableRawPointer { unsafe memory.start }

  /// Makes room for `bytes` in all, of which the first `kept` survive.
  mutating func reserve(_ bytes: Int, keeping kept: Int = 0) throws(Fault) {
    guard bytes > memory.capacity else { return }
    // Half as much again where something is kept: appending stays linear.
    let larger = try Memory(
      capacity: kept > 0 ? max(bytes, memory.capacity + memory.capacity / 2) : bytes,
      account: account)
    // SAFETY: both have at least `kept` bytes and are distinct.
    unsafe larger.start.copyMemory(from: memory.start, byteCount: min(kept, memory.capacity))
    memory = larger
  }
}
