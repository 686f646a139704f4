#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// What the system calls of this package need to be said in one place.
package enum Platform {
  /// A variable of the environment, nil where it is unset or empty.
  package static func variable(_ name: String) -> String? {
    // SAFETY: the text is copied before anything can change the environment; this program never does.
    guard let value = unsafe getenv(name).map({ unsafe String(cString: $0) }) else { return nil }
    return value.isEmpty ? nil : value
  }

  /// The whole environment, NAME to value.
  package static func environment() -> [String: String] {
    var values: [String: String] = [:]
    var next = unsafe environ
    while let entry = unsafe next.pointee {
      let pair = unsafe String(cString: entry).split(
        separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      if pair.count == 2 { values[String(pair[0])] = String(pair[1]) }
      unsafe next += 1
    }
    return values
  }

  /// Bytes from the system's generator as hexadecimal digits.
  package static func randomHex(bytes: Int) -> String {
    var generator = SystemRandomNumberGenerator()
    return (0..<bytes).map { _ in
      let byte = UInt8.random(in: 0...255, using: &generator)
      return String(byte >> 4, radix: 16) + String(byte & 15, radix: 16)
    }.joined()
  }

  /// The text of the last system call's error.
  package static func lastError() -> String { unsafe String(cString: strerror(errno)) }

  /// A file's bytes, nil where it cannot be read.
  package static func contents(_ path: String, limit: Int = 1 << 20) -> [UInt8]? {
    let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    return bytes(file, limit: limit)
  }

  /// Reads once, again only where a signal came between.
  ///
  /// - Returns: How many bytes were read, 0 at the end, -1 for an error.
  package static func read(_ file: Int32, into buffer: inout [UInt8]) -> Int {
    while true {
      // SAFETY: the buffer outlives the call, which writes at most its count.
      let count = unsafe buffer.withUnsafeMutableBytes {
        #if canImport(Glibc)
        unsafe Glibc.read(file, $0.baseAddress, $0.count)
        #else
        unsafe Darwin.read(file, $0.baseAddress, $0.count)
        #endif
      }
      if count >= 0 || errno != EINTR { return count }
    }
  }

  /// What is left to read of a descriptor, at most `limit` bytes.
  package static func bytes(_ file: Int32, limit: Int) -> [UInt8]? {
    var all: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while all.count < limit {
      let count = read(file, into: &buffer)
      guard count >= 0 else { return nil }
      if count == 0 { break }
      all += buffer[..<count]
    }
    return all
  }

  /// Writes all of the bytes.
  ///
  /// - Returns: Whether that went well.
  package static func write(_ bytes: [UInt8], to file: Int32) -> Bool {
    var done = 0
    while done < bytes.count {
      // SAFETY: the buffer outlives the call, which reads what is left of it.
      let count = unsafe bytes.withUnsafeBytes {
        #if canImport(Glibc)
        unsafe Glibc.write(file, $0.baseAddress?.advanced(by: done), $0.count - done)
        #else
        unsafe Darwin.write(file, $0.baseAddress?.advanced(by: done), $0.count - done)
        #endif
      }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { return false }
      done += count
    }
    return true
  }

  /// Makes a folder and those above it, for its owner alone.
  ///
  /// - Returns: Whether it is there.
  package static func makeFolder(_ path: String) -> Bool {
    if unsafe mkdir(path, 0o700) == 0 || errno == EEXIST { return true }
    guard errno == ENOENT, let slash = path.lastIndex(of: "/"), slash > path.startIndex else {
      return false
    }
    guard makeFolder(String(path[..<slash])) else { return false }
    return unsafe mkdir(path, 0o700) == 0 || errno == EEXIST
  }

  /// The names in a folder, sorted; empty where it cannot be read.
  package static func names(in folder: String) -> [String] {
    guard let stream = unsafe opendir(folder) else { return [] }
    defer { unsafe closedir(stream) }
    var names: [String] = []
    while let entry = unsafe readdir(stream) {
      // SAFETY: the entry's name ends with a zero within its field.
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
        unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// Whether a file may be run.
  package static func isExecutable(_ path: String) -> Bool { unsafe access(path, X_OK) == 0 }

  /// Whether there is something under a name.
  package static func exists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }
}
