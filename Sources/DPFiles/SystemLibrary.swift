#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// A library of the system that is opened when a file first needs it, and never closed.
@safe package struct SystemLibrary: @unchecked Sendable {
  /// Why there is no such library.
  package struct Missing: Error, Sendable {
    /// What is missing and what to install: `libz.so.1 is not installed; install it (...)`.
    package let message: String

    /// A library that cannot be used.
    ///
    /// - Parameter message: What is missing and what to install.
    package init(message: String) { self.message = message }
  }

  private let handle: UnsafeMutableRawPointer
  private let name: String

  /// zlib, which undoes gzip.
  ///
  /// - Returns: The library.
  /// - Throws: ``Missing``.
  package static func zlib() throws(Missing) -> SystemLibrary {
    try SystemLibrary(["libz.so.1", "libz.1.dylib"], package: "zlib1g")
  }

  /// Zstandard's library.
  ///
  /// - Returns: The library.
  /// - Throws: ``Missing``.
  package static func zstandard() throws(Missing) -> SystemLibrary {
    try SystemLibrary(["libzstd.so.1", "libzstd.1.dylib"], package: "libzstd1")
  }

  /// Opens the first that is there.
  private init(_ names: [String], package: String) throws(Missing) {
    for name in names {
      if let handle = unsafe dlopen(name, RTLD_NOW | RTLD_LOCAL) {
        unsafe self.handle = unsafe handle
        self.name = name
        return
      }
    }
    throw Missing(
      message: "\(names[0]) is not installed; install it"
        + " (Debian and Ubuntu: apt install \(package))")
  }

  /// The address of a function.
  ///
  /// - Parameters:
  ///   - symbol: Its name.
  ///   - type: As the library's header declares it.
  /// - Returns: The function.
  /// - Throws: ``Missing`` where the library is too old to have it.
  @unsafe package func function<Function>(
    _ symbol: String, as type: Function.Type
  ) throws(Missing) -> Function {
    guard let address = unsafe dlsym(handle, symbol) else {
      throw Missing(message: "\(name) lacks \(symbol); install a newer one")
    }
    // SAFETY: the caller gives the type that the library's header declares.
    return unsafe unsafeBitCast(address, to: type)
  }
}
