#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// Read-only bytes that stay where they are until the last reference goes: a mapped file, or
/// memory of our own.
///
/// The pages of a file are read when first touched. A file that another program shortens while it
/// is mapped ends this program with a bus error; the files that fastDP writes are never changed in
/// place (see ``AtomicFile``), so this cannot come from fastDP itself.
@safe package final class MappedBytes: @unchecked Sendable {
  private enum Owner {
    case mapping
    case memory
    case nobody
  }

  /// All the bytes.
  ///
  /// Aligned to at least 64 bytes; empty for an empty file.
  ///
  /// Valid while a reference to this object lives, and never written to.
  @unsafe package let buffer: UnsafeRawBufferPointer
  private let owner: Owner

  /// How many bytes there are.
  package var count: Int { unsafe buffer.count }

  /// Maps a whole file.
  ///
  /// - Parameter path: A regular file; an empty one gives no bytes.
  /// - Throws: ``FileError`` `missing`, or `cannotRead` for a folder, a device or a file that may not
  ///   be read.
  /// - Complexity: O(1); pages are read when touched.
  package init(contentsOf path: String) throws(FileError) {
    let file = try InputFile(path: path)
    guard file.isRegular else {
      throw FileError(.cannotRead, "\(path): is not a regular file; name a file")
    }
    let size = file.size
    guard size > 0 else {
      unsafe buffer = UnsafeRawBufferPointer(start: nil, count: 0)
      owner = .nobody
      return
    }
    // SAFETY: a fresh private mapping of `size` bytes, which nothing else knows of.
    let address = unsafe mmap(nil, size, PROT_READ, MAP_PRIVATE, file.descriptor, 0)
    let number = errno
    guard let address = unsafe address, unsafe address != MAP_FAILED else {
      throw .opening(path, number: number)
    }
    unsafe buffer = UnsafeRawBufferPointer(start: address, count: size)
    owner = .mapping
  }

  /// Makes `count` bytes of memory, which `fill` sets once, before anyone else sees them.
  ///
  /// - Parameters:
  ///   - count: At least 0.
  ///   - fill: Gets all the bytes, zeroed and aligned to 64; must not keep the pointer.
  /// - Throws: What `fill` throws; the memory is released then.
  /// - Complexity: O(count).
  package init<Failure: Error>(
    count: Int, fill: (UnsafeMutableRawBufferPointer) throws(Failure) -> Void
  ) throws(Failure) {
    precondition(count >= 0, "\(count) bytes asked for")
    // SAFETY: the memory is zeroed before it is lent to `fill`, and released here or in deinit.
    let memory = UnsafeMutableRawBufferPointer.allocate(
      byteCount: max(count, 1), alignment: 64)
    _ = unsafe memory.initializeMemory(as: UInt8.self, repeating: 0)
    do throws(Failure) {
      unsafe try fill(UnsafeMutableRawBufferPointer(rebasing: memory[..<count]))
    } catch {
      unsafe memory.deallocate()
      throw error
    }
    unsafe buffer = UnsafeRawBufferPointer(rebasing: memory[..<count])
    owner = .memory
  }

  /// A copy of the given bytes.
  ///
  /// - Parameter bytes: May be empty.
  /// - Complexity: O(count).
  package convenience init(_ bytes: [UInt8]) {
    unsafe self.init(count: bytes.count) { unsafe $0.copyBytes(from: bytes) }
  }

  deinit {
    switch owner {
    case .mapping:
      // SAFETY: the address and length that mmap gave; the last reference is gone.
      if let start = unsafe buffer.baseAddress {
        unsafe munmap(UnsafeMutableRawPointer(mutating: start), buffer.count)
      }
    case .memory:
      unsafe buffer.deallocate()
    case .nobody:
      break
    }
  }
}
