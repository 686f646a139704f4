internal import DPFiles

/// Undoes gzip or zstd by the system's libraries, which are opened when they are needed.
@safe final class Decompressor {
  /// How data are compressed.
  enum Format {
    case gzip
    case zstandard

    /// The format whose files begin so, or nil.
    init?(front: [UInt8]) {
      if front.starts(with: [0x1F, 0x8B]) {
        self = .gzip
      } else if front.starts(with: [0x28, 0xB5, 0x2F, 0xFD]) {
        self = .zstandard
      } else {
        return nil
      }
    }
  }

  /// Whether the data may end here: a whole gzip member or zstd frame was undone.
  private(set) var isBetweenParts = true
  private let format: Format
  private let table: String
  private let functions: Functions
  /// zlib's `z_stream` or zstd's stream.
  private let stream: UnsafeMutableRawPointer

  private typealias Pointer = UnsafeMutableRawPointer
  private typealias Unary = @convention(c) (Pointer) -> Int
  private typealias Initialize =
    @convention(c) (Pointer, Int32, UnsafePointer<CChar>, Int32) -> Int32
  private typealias Inflate = @convention(c) (Pointer, Int32) -> Int32
  private typealias Reset = @convention(c) (Pointer) -> Int32
  private typealias Decompress = @convention(c) (Pointer, Pointer, Pointer) -> Int
  private typealias IsError = @convention(c) (Int) -> UInt32
  private typealias Create = @convention(c) () -> Pointer?

  // SAFETY: C functions as zlib.h and zstd.h declare them, which have not changed in decades.
  @safe private enum Functions {
    case zlib(inflate: Inflate, reset: Reset, end: Reset)
    case zstd(decompress: Decompress, isError: IsError, free: Unary)
  }

  /// zlib's `z_stream`, up to the members that are used.
  @unsafe private struct ZlibStream {
    var nextIn: UnsafeRawPointer?
    var availableIn: UInt32
    var totalIn: UInt
    var nextOut: UnsafeMutableRawPointer?
    var availableOut: UInt32

    /// The size of the whole structure on 64-bit systems.
    static let byteCount = 112
  }

  /// Opens the library.
  ///
  /// - Parameters:
  ///   - format: How the data are compressed.
  ///   - table: What messages call the table.
  /// - Throws: ``DataError`` `malformedTable` where the library is not installed.
  init(_ format: Format, table: String) throws(DataError) {
    self.format = format
    self.table = table
    do throws(SystemLibrary.Missing) {
      unsafe (functions, stream) =
        switch format {
        case .gzip: try unsafe Self.openZlib()
        case .zstandard: try unsafe Self.openZstandard()
        }
    } catch {
      throw DataError(
        .malformedTable,
        "is compressed, and \(error.message), or decompress the table first",
        at: .init(file: table))
    }
  }

  deinit {
    switch functions {
    case .zlib(_, _, let end):
      _ = unsafe end(stream)
      unsafe stream.deallocate()
    case .zstd(_, _, let free): _ = unsafe free(stream)
    }
  }

  @unsafe private static func openZlib() throws(SystemLibrary.Missing) -> (
    Functions, UnsafeMutableRawPointer
  ) {
    let library = try SystemLibrary.zlib()
    let initialize = unsafe try library.function("inflateInit2_", as: Initialize.self)
    let functions = unsafe Functions.zlib(
      inflate: try library.function("inflate", as: Inflate.self),
      reset: try library.function("inflateReset", as: Reset.self),
      end: try library.function("inflateEnd", as: Reset.self))
    let stream = UnsafeMutableRawPointer.allocate(
      byteCount: unsafe ZlibStream.byteCount, alignment: 16)
    unsafe stream.initializeMemory(as: UInt8.self, repeating: 0, count: ZlibStream.byteCount)
    // 15 bits of window, and gzip's header rather than zlib's.
    let status = unsafe initialize(stream, 15 + 16, "1.2.11", Int32(ZlibStream.byteCount))
    guard status == 0 else {
      unsafe stream.deallocate()
      throw SystemLibrary.Missing(message: "zlib does not start; install a newer one")
    }
    return unsafe (functions, stream)
  }

  @unsafe private static func openZstandard() throws(SystemLibrary.Missing) -> (
    Functions, UnsafeMutableRawPointer
  ) {
    let library = try SystemLibrary.zstandard()
    let create = unsafe try library.function("ZSTD_createDStream", as: Create.self)
    let functions = unsafe Functions.zstd(
      decompress: try library.function("ZSTD_decompressStream", as: Decompress.self),
      isError: try library.function("ZSTD_isError", as: IsError.self),
      free: try library.function("ZSTD_freeDStream", as: Unary.self))
    guard let stream = unsafe create() else {
      throw SystemLibrary.Missing(message: "zstd does not start; install a newer one")
    }
    return unsafe (functions, stream)
  }

  /// Undoes some of the data.
  ///
  /// - Parameters:
  ///   - input: Compressed bytes; may be empty.
  ///   - output: Not empty.
  /// - Returns: How many bytes of each were used; neither where more input is needed.
  /// - Throws: ``DataError`` `malformedTable` for damaged data.
  @unsafe func decompress(
    _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
  ) throws(DataError) -> (consumed: Int, produced: Int) {
    switch functions {
    case .zlib(let inflate, let reset, _):
      return unsafe try decompress(input, output, inflate, reset)
    case .zstd(let decompress, let isError, _):
      return unsafe try self.decompress(input, output, decompress, isError)
    }
  }

  @unsafe private func decompress(
    _ input: UnsafeRawBufferPointer, _ output: UnsafeMutableRawBufferPointer, _ inflate: Inflate,
    _ reset: Reset
  ) throws(DataError) -> (consumed: Int, produced: Int) {
    let room = min(output.count, 1 << 30)
    let zlib = unsafe stream.assumingMemoryBound(to: ZlibStream.self)
    unsafe zlib.pointee.nextIn = input.baseAddress
    unsafe zlib.pointee.availableIn = UInt32(input.count)
    unsafe zlib.pointee.nextOut = output.baseAddress
    unsafe zlib.pointee.availableOut = UInt32(room)
    if input.count > 0 { isBetweenParts = false }
    let status = unsafe inflate(stream, 0)
    let consumed = unsafe input.count - Int(zlib.pointee.availableIn)
    let produced = unsafe room - Int(zlib.pointee.availableOut)
    switch status {
    case 1:  // Z_STREAM_END: a member ends; another one may follow
      guard unsafe reset(stream) == 0 else { throw damaged }
      isBetweenParts = true
    case 0, -5: break  // Z_OK; Z_BUF_ERROR: nothing to do without more input
    default: throw damaged
    }
    return (consumed, produced)
  }

  @unsafe private func decompress(
    _ input: UnsafeRawBufferPointer, _ output: UnsafeMutableRawBufferPointer,
    _ decompress: Decompress, _ isError: IsError
  ) throws(DataError) -> (consumed: Int, produced: Int) {
    /// zstd's `ZSTD_inBuffer` and `ZSTD_outBuffer`.
    @unsafe struct Buffer {
      var start: UnsafeRawPointer?
      var size: Int
      var position = 0
    }
    var from = unsafe Buffer(start: input.baseAddress, size: input.count)
    var to = unsafe Buffer(start: UnsafeRawPointer(output.baseAddress), size: output.count)
    let status = unsafe decompress(stream, &to, &from)
    guard isError(status) == 0 else { throw damaged }
    let (consumed, produced) = unsafe (from.position, to.position)
    if consumed > 0 || produced > 0 { isBetweenParts = status == 0 }
    return (consumed, produced)
  }

  private var damaged: DataError {
    DataError(
      .malformedTable, "its compressed data are damaged; copy or make the file again",
      at: .init(file: table))
  }
}
