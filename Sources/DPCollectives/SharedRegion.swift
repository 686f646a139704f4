internal import CDPSystem
internal import Synchronization

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// Memory that several ranks see: threads of a process, or processes that share a descriptor.
@safe package final class SharedRegion: @unchecked Sendable {
  // Sendable: the address and length never change; what lies there is guarded by its users' words.
  /// The first byte, on a page boundary.
  let base: UnsafeMutableRawPointer
  /// Its length.
  package let byteCount: Int
  /// The memory file; nil where the region belongs to this process alone.
  package let descriptor: Int32?

  private init(descriptor: Int32?, byteCount: Int) throws(CollectiveError) {
    let flags = MAP_SHARED | (descriptor == nil ? MAP_ANONYMOUS : 0)
    let mapped = unsafe mmap(
      nil, byteCount, PROT_READ | PROT_WRITE, flags, descriptor ?? -1, 0)
    guard let mapped = unsafe mapped, unsafe mapped != MAP_FAILED else {
      throw CollectiveError.ofSystem("cannot map \(byteCount) bytes of memory")
    }
    unsafe base = mapped
    self.byteCount = byteCount
    self.descriptor = descriptor
  }

  deinit {
    // SAFETY: the mapping is this object's own.
    unsafe munmap(base, byteCount)
    if let descriptor { close(descriptor) }
  }

  /// Memory for the threads of this process; all bytes are 0.
  package static func inProcess(byteCount: Int) throws(CollectiveError) -> SharedRegion {
    try SharedRegion(descriptor: nil, byteCount: byteCount)
  }

  /// Memory for this process and those that it starts; all bytes are 0.
  package static func memoryFile(byteCount: Int) throws(CollectiveError) -> SharedRegion {
    let descriptor = unsafe cdp_memory_file("fastdp")
    guard descriptor >= 0, ftruncate(descriptor, off_t(byteCount)) == 0 else {
      let error = CollectiveError.ofSystem("cannot make a memory file of \(byteCount) bytes")
      if descriptor >= 0 { close(descriptor) }
      throw error
    }
    do {
      return try SharedRegion(descriptor: descriptor, byteCount: byteCount)
    } catch {
      close(descriptor)
      throw error
    }
  }

  /// The memory of another process, by a descriptor that was inherited from it.
  ///
  /// The descriptor is the region's from then on; it stays the caller's where this throws.
  package static func mapped(
    descriptor: Int32, byteCount: Int
  ) throws(CollectiveError) -> SharedRegion {
    guard lseek(descriptor, 0, SEEK_END) >= off_t(byteCount) else {
      throw CollectiveError(
        .invalidOption, "descriptor \(descriptor) is not a memory file of \(byteCount) bytes")
    }
    return try SharedRegion(descriptor: descriptor, byteCount: byteCount)
  }
}

extension CollectiveError {
  /// What the operating system says, with the reason it gives.
  static func ofSystem(_ what: String, peer: Int? = nil) -> CollectiveError {
    let reason = unsafe String(cString: strerror(errno))
    return CollectiveError(.system, "\(what): \(reason)", peer: peer)
  }
}

/// A word that ranks wait on, in memory that they share.
@safe struct SharedWord {
  // SAFETY: points into a region that the owner of this value keeps alive, at a multiple of 4.
  private let word: UnsafeMutablePointer<Atomic<UInt32>>

  init(_ address: UnsafeMutableRawPointer) {
    unsafe word = address.bindMemory(to: Atomic<UInt32>.self, capacity: 1)
  }

  /// The value, and all that was written before it was stored.
  var value: UInt32 { unsafe word.pointee.load(ordering: .acquiring) }

  /// The value, ordered with all other such operations.
  var orderedValue: UInt32 { unsafe word.pointee.load(ordering: .sequentiallyConsistent) }

  /// Stores a value, after all that was written before.
  func publish(_ value: UInt32) { unsafe word.pointee.store(value, ordering: .releasing) }

  /// The value, after all that this rank has stored is visible to all.
  var valueAfterStores: UInt32 {
    // Changes nothing, but is a full fence that is cheaper than one by itself.
    unsafe word.pointee.wrappingAdd(0, ordering: .sequentiallyConsistent).oldValue
  }

  /// Adds to the value, ordered with all other such operations.
  func add(_ value: UInt32) {
    unsafe word.pointee.wrappingAdd(value, ordering: .sequentiallyConsistent)
  }

  /// Takes one from the value, ordered with all other such operations.
  func subtractOne() {
    unsafe word.pointee.wrappingSubtract(1, ordering: .sequentiallyConsistent)
  }

  /// Sleeps while the value is `seen`, for at most so many nanoseconds.
  func sleep(while seen: UInt32, for nanoseconds: Int64) {
    unsafe cdp_wait_word(
      UnsafeRawPointer(word).assumingMemoryBound(to: UInt32.self), seen, nanoseconds)
  }

  /// Wakes all who sleep on the word.
  func wake() {
    unsafe cdp_wake_word(UnsafeRawPointer(word).assumingMemoryBound(to: UInt32.self))
  }

  /// Whether a count that only grows has come to `target`; counts wrap.
  func hasReached(_ target: UInt32) -> Bool { Int32(bitPattern: value &- target) >= 0 }
}
