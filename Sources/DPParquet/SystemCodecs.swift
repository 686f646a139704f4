internal import CDPParquet
internal import DPFiles

extension Fault {
  /// A library that a file's compression needs is not there.
  fileprivate init(_ missing: SystemLibrary.Missing, for codec: String) {
    self.init(.missingLibrary, "is compressed with \(codec), and \(missing.message)")
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
    do throws(SystemLibrary.Missing) {
      unsafe uncompress = try SystemLibrary.zstandard()
        .function("ZSTD_decompress", as: Uncompress.self)
    } catch {
      throw Fault(error, for: "zstd")
    }
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
    do throws(SystemLibrary.Missing) {
      let library = try SystemLibrary.zlib()
      unsafe begin = try library.function("inflateInit2_", as: Begin.self)
      unsafe inflate = try library.function("inflate", as: Inflate.self)
      unsafe again = try library.function("inflateReset", as: Step.self)
      unsafe end = try library.function("inflateEnd", as: Step.self)
    } catch {
      throw Fault(error, for: "gzip")
    }
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
