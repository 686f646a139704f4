#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// A file that is open for reading, from front to back.
///
/// Regular files, pipes and terminals are read alike; a folder is refused at once.
package struct InputFile: ~Copyable {
  /// The path, as the caller gave it.
  package let path: String
  /// Bytes in the file at the time it was opened; 0 for what has no length (a pipe).
  package let size: Int
  /// Whether the file has a length and can be mapped.
  package let isRegular: Bool
  let descriptor: Int32

  /// Opens a file.
  ///
  /// - Parameter path: The file to read.
  /// - Throws: ``FileError`` `missing` or `cannotRead` (no permission, a folder).
  package init(path: String) throws(FileError) {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .opening(path, number: errno) }
    var status = stat()
    // SAFETY: fstat fills the structure it is lent.
    guard unsafe fstat(descriptor, &status) == 0 else {
      let number = errno
      close(descriptor)
      throw .opening(path, number: number)
    }
    let kind = status.st_mode & S_IFMT
    guard kind != S_IFDIR else {
      close(descriptor)
      throw FileError(.cannotRead, "\(path): is a folder; name a file")
    }
    self.path = path
    self.descriptor = descriptor
    size = kind == S_IFREG ? Int(status.st_size) : 0
    isRegular = kind == S_IFREG
  }

  /// Opens standard input.
  ///
  /// - Parameter name: What messages call it.
  /// - Throws: ``FileError`` `cannotRead` where it is closed.
  package init(standardInputAs name: String) throws(FileError) {
    let descriptor = dup(STDIN_FILENO)
    guard descriptor >= 0 else { throw .opening(name, number: errno) }
    path = name
    self.descriptor = descriptor
    size = 0
    isRegular = false
  }

  deinit { close(descriptor) }

  /// The size of a file, without opening it.
  ///
  /// - Parameter path: The file.
  /// - Returns: Bytes, or nil for what has no length (a pipe).
  /// - Throws: ``FileError`` `missing` or `cannotRead`.
  package static func size(ofFileAt path: String) throws(FileError) -> Int? {
    var status = stat()
    // SAFETY: stat fills the structure it is lent.
    guard unsafe stat(path, &status) == 0 else { throw .opening(path, number: errno) }
    return status.st_mode & S_IFMT == S_IFREG ? Int(status.st_size) : nil
  }

  /// Reads the next bytes.
  ///
  /// - Parameter buffer: Where they go; not empty, and writable through the call.
  /// - Returns: How many were read, at least 1, or 0 at the end of the file.
  /// - Throws: ``FileError`` `inputOutput`.
  @unsafe package func read(into buffer: UnsafeMutableRawBufferPointer) throws(FileError) -> Int {
    while true {
      let count = unsafe systemRead(descriptor, buffer.baseAddress, buffer.count)
      if count >= 0 { return count }
      guard errno == EINTR else { throw .reading(path, number: errno) }
    }
  }
}

/// `read(2)`, under a name that the method above does not hide.
@unsafe private func systemRead(
  _ descriptor: Int32, _ address: UnsafeMutableRawPointer?, _ count: Int
) -> Int {
  unsafe read(descriptor, address, count)
}
