#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// A text file that grows by whole lines.
///
/// A line goes to the file by one system call; where not all of it can be stored, what was is taken
/// back, so that a line is there whole or not at all.
package final class LineFile {
  private let path: String
  private let descriptor: Int32

  /// Opens a file to append to.
  ///
  /// - Parameters:
  ///   - path: The file.
  ///   - creating: Whether to make it, readable by its owner only, where it is absent.
  /// - Throws: ``FileError`` when it cannot be opened.
  package init(path: String, creating: Bool) throws(FileError) {
    let flags = O_RDWR | O_APPEND | O_CLOEXEC | (creating ? O_CREAT : 0)
    let opened = unsafe open(path, flags, 0o600)
    guard opened >= 0 else {
      throw creating ? .creating(path, number: errno) : .opening(path, number: errno)
    }
    self.path = path
    descriptor = opened
    // Whatever the process's mask: its owner may read and write it, and nobody else.
    if creating { fchmod(opened, 0o600) }
  }

  deinit { close(descriptor) }

  /// The file's length in bytes.
  package var count: Int { Int(lseek(descriptor, 0, SEEK_END)) }

  /// Cuts the file off.
  ///
  /// - Parameter count: The length in bytes that it keeps.
  /// - Throws: ``FileError`` when it cannot be changed.
  package func truncate(to count: Int) throws(FileError) {
    guard ftruncate(descriptor, off_t(count)) == 0 else { throw .writing(path, number: errno) }
  }

  /// Appends a line.
  ///
  /// - Parameters:
  ///   - line: Text without a line end.
  ///   - durably: Whether to wait until the line is on disk.
  /// - Throws: ``FileError``; nothing of the line is in the file then.
  package func append(_ line: String, durably: Bool) throws(FileError) {
    let bytes = Array((line + "\n").utf8)
    let before = count
    // SAFETY: the bytes live through the call.
    let written = unsafe write(descriptor, bytes, bytes.count)
    let number = written < 0 ? errno : ENOSPC
    guard written == bytes.count else {
      try truncate(to: before)
      throw .writing(path, number: number)
    }
    guard !durably || fsync(descriptor) == 0 else {
      let number = errno
      try truncate(to: before)
      throw .writing(path, number: number)
    }
  }
}
