internal import CDPParquet

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// A library of the system that is opened when a file first needs it.
@safe private struct SystemLibrary {
  private let handle: UnsafeMutableRawPointer
  private let name: String

  /// Opens the first that is there.
  ///
  /// - Parameters:
  ///   - names: The files it may be.
  ///   - codec: What it is needed for.
  ///   - package: What to install, on Debian.
  /// - Throws: ``Fault`` `missingLibrary`.
  init(_ names: [String], codec: String, package: String) throws(Fault) {
    for name in names {
      if let handle = unsafe dlopen(name, RTLD_NOW | RTLD_LOCAL) {
        unsafe self.handle = unsafe handle
        self.name = name
        return
      }
    }
    throw Fault(
      .missingLibrary,
      "is compressed with \(codec), and \(names[0]) is not installed; install it "
        + "(Debian and Ubuntu: apt install \(package))")
  }

  /// The address of a function.
  @unsafe func function<Function>(_ symbol: String, as type: Function.Type) throws(Fault)
    -> Function
  {
    guard let address = unsafe dlsym(handle, symbol) else {
      throw Fault(.missingLibrary, "\(name) lacks \(symbol); install a newer one")
    }
    // SAFETY: the caller gives the type that the library's header declares.
    return unsafe unsafeBitCast(address, to: type)
  }
}

/// Zstandard, by the system's library.
@safe struct Zstandard: @unchecked Sendable {
  private typealias Uncompress =
    @convention(c) (
      UnsafeMutableRawPointer?, Int, UnsafeRawPointer?, Int
    ) -> Int

  static let shared = Result { () throws(Fault) in try Zstandard() }

  private let uncompress: Uncompress

  private init() throws(Fault) {
    let library = try SystemLibrary(
      ["libzstd.so.1", "libzstd.1.dylib"], codec: "zstd", package: "libzstd1")
    unsafe uncompress = try library.function("ZSTD_decompress", as: Uncompress.self)
  }

  /// Fills all of `target`; gives 0, or -1.
  ///
  /// An error's number is no length that `target` could have.
  @unsafe func uncompress(
    _ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer
  ) -> Int32 {
    let made = unsafe uncompress(
      target.baseAddress, target.count, source.baseAddress, source.count)
    return made == target.count ? 0 : -1
  }
}

/// Gzip and zlib, by the system's library.
@safe struct Zlib: @unchecked Sendable {
  private typealias Stream = UnsafeMutablePointer<cdp_zlib_stream>
  private typealias Begin = @convention(c) (Stream, Int32, UnsafePointer<CChar>, Int32) -> Int32
  private typealias Inflate = @convention(c) (Stream, Int32) -> Int32
  private typealias Step = @convention(c) (Stream) -> Int32

  static let shared = Result { () throws(Fault) in try Zlib() }

  private let begin: Begin
  private let inflate: Inflate
  private let again: Step
  private let end: Step

  private init() throws(Fault) {
    let library = try SystemLibrary(
      ["libz.so.1", "libz.1.dylib"], codec: "gzip", package: "zlib1g")
    unsafe begin = try library.function("inflateInit2_", as: Begin.self)
    unsafe inflate = try library.function("inflate", as: Inflate.self)
    unsafe again = try library.function("inflateReset", as: Step.self)
    unsafe end = try library.function("inflateEnd", as: Step.self)
  }

  /// Fills all of `target`, from one member or several: 0, or -1.
  @unsafe func uncompress(
    _ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer
  ) -> Int32 {
    guard let inputs = UInt32(exactly: source.count), let outputs = UInt32(exactly: target.count)
    else { return -1 }
    var stream = unsafe cdp_zlib_stream()
    unsafe stream.next_in = source.baseAddress?.assumingMemoryBound(to: UInt8.self)
    unsafe stream.avail_in = inputs
    unsafe stream.next_out = target.baseAddress?.assumingMemoryBound(to: UInt8.self)
    unsafe stream.avail_out = outputs
    // 15 bits of window, and 32 to tell gzip's header from zlib's.
    let size = unsafe Int32(MemoryLayout<cdp_zlib_stream>.size)
    guard unsafe begin(&stream, 47, "1.2.11", size) == 0 else { return -1 }
    defer { _ = unsafe end(&stream) }
    while true {
      let status = unsafe inflate(&stream, 0)
      guard unsafe stream.avail_out > 0 else { return status == 0 || status == 1 ? 0 : -1 }
      // 1: a member's end; others may follow.
      guard status == 1, unsafe stream.avail_in > 0, unsafe again(&stream) == 0 else { return -1 }
    }
  }
}
