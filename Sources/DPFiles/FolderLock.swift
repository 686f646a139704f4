#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// A folder that belongs to one process at a time, until this value goes away.
///
/// The lock is the operating system's and ends with the process, however it ends; nothing is left in
/// the folder.
package final class FolderLock {
  private let descriptor: Int32

  /// Locks a folder, or nil where another process has it.
  ///
  /// - Parameter path: A folder that exists.
  /// - Throws: ``FileError`` when there is no such folder.
  package init?(path: String) throws(FileError) {
    descriptor = unsafe open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .opening(path, number: errno) }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else { return nil }
  }

  deinit { if descriptor >= 0 { close(descriptor) } }
}
