public import DPFiles

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// Patterns of file names, as a shell has them, for where no shell has looked at them.
public enum TablePattern {
  /// The files that names and patterns stand for.
  ///
  /// - Parameter names: A name that has a file, or holds none of `*?[`, stands for itself; any other
  ///   stands for the files that it fits, in the order of their names' bytes.
  /// - Returns: The files, in order.
  /// - Throws: ``FileError`` `missing` for a pattern that fits nothing.
  public static func files(_ names: [String]) throws(FileError) -> [String] {
    var files: [String] = []
    for name in names {
      let isPattern = name.utf8.contains { [0x2A, 0x3F, 0x5B].contains($0) }
      if unsafe !isPattern || access(name, F_OK) == 0 {
        files.append(name)
      } else {
        files += try fitting(name)
      }
    }
    return files
  }

  private static func fitting(_ pattern: String) throws(FileError) -> [String] {
    var found = unsafe glob_t()
    defer { unsafe globfree(&found) }
    // SAFETY: glob fills the structure, whose texts live until globfree.
    guard unsafe glob(pattern, GLOB_NOSORT, nil, &found) == 0 else {
      throw FileError(.missing, "\(pattern): no file fits this pattern; check it")
    }
    var names: [String] = []
    for index in 0..<Int(unsafe found.gl_pathc) {
      if let path = unsafe found.gl_pathv[index] { names.append(unsafe String(cString: path)) }
    }
    return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }
}
