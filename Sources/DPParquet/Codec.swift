internal import CDPParquet

/// How the bytes of pages are compressed.
enum Codec {
  case none
  case snappy
  case gzip
  case lz4Hadoop
  case lz4
  case zstd

  /// The codec with the format's number.
  init(number: Int) throws(Fault) {
    switch number {
    case 0: self = .none
    case 1: self = .snappy
    case 2: self = .gzip
    case 5: self = .lz4Hadoop
    case 6: self = .zstd
    case 7: self = .lz4
    case 3: throw Self.refused("LZO")
    case 4: throw Self.refused("Brotli")
    default: throw .damaged("its compression has the unknown number \(number)")
    }
  }

  private static func refused(_ name: String) -> Fault {
    Fault(
      .unsupported,
      "is compressed with \(name), which is not read; have it written with snappy, zstd, gzip, lz4 or none"
    )
  }

  /// Fills all of `target`.
  ///
  /// - Throws: ``Fault`` `malformed` where the bytes make more or less or are wrong, `missingLibrary`.
  @unsafe func uncompress(
    _ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer
  ) throws(Fault) {
    guard target.count > 0 else { return }
    guard let from = source.baseAddress, let to = target.baseAddress else {
      throw .damaged("a compressed page is empty")
    }
    let bytes = unsafe from.assumingMemoryBound(to: UInt8.self)
    let into = unsafe to.assumingMemoryBound(to: UInt8.self)
    let status: Int32
    switch self {
    case .none:
      guard source.count == target.count else {
        throw .damaged("a page has \(source.count) bytes and declares \(target.count)")
      }
      unsafe to.copyMemory(from: from, byteCount: source.count)
      return
    case .snappy: status = unsafe cdp_snappy_uncompress(bytes, source.count, into, target.count)
    case .lz4: status = unsafe cdp_lz4_uncompress(bytes, source.count, into, target.count)
    case .lz4Hadoop:
      // Older files of other writers have this number and no frames.
      let framed = unsafe cdp_lz4_hadoop_uncompress(bytes, source.count, into, target.count)
      status =
        framed == 0 ? 0 : unsafe cdp_lz4_uncompress(bytes, source.count, into, target.count)
    case .zstd: status = unsafe try Zstandard.shared.get().uncompress(source, into: target)
    case .gzip: status = unsafe try Zlib.shared.get().uncompress(source, into: target)
    }
    guard status == 0 else { throw .damaged("a page's compressed bytes are wrong") }
  }
}
