internal import DPFiles

/// Bytes that come one after another and are copied elsewhere at the end: in memory, and beyond a
/// limit in a file without a name.
@safe final class RowSpool {
  /// Bytes that are taken from the system at a time.
  static let blockSize = 1 << 20
  /// How many bytes there are.
  private(set) var byteCount = 0
  private var blocks: [UnsafeMutableRawBufferPointer] = unsafe []
  /// Bytes that lie in the file, in front of those in the blocks.
  private var storedBytes = 0
  private let limit: Int
  private let overflowPath: String?
  private var overflow: AtomicFile?

  /// An empty spool.
  ///
  /// - Parameters:
  ///   - overflowPath: A path whose folder gets the file; nil keeps everything in memory.
  ///   - limit: Bytes that are kept in memory where there is a path; at least ``blockSize``.
  init(overflowPath: String?, limit: Int = 4 << 20) {
    self.overflowPath = overflowPath
    self.limit = max(limit, Self.blockSize)
  }

  deinit { for index in unsafe blocks.indices { unsafe blocks[index].deallocate() } }

  /// Adds bytes.
  ///
  /// - Parameter bytes: Copied within the call.
  /// - Throws: ``FileError`` where the file cannot be made or written.
  /// - Complexity: O(count).
  @unsafe func append(_ bytes: UnsafeRawBufferPointer) throws(FileError) {
    var done = 0
    while done < bytes.count {
      let used = (byteCount - storedBytes) % Self.blockSize
      if used == 0, byteCount - storedBytes == blockBytes { try addBlock() }
      let place = (byteCount - storedBytes) % Self.blockSize
      let count = min(bytes.count - done, Self.blockSize - place)
      let target = unsafe UnsafeMutableRawBufferPointer(
        rebasing: blocks[(byteCount - storedBytes) / Self.blockSize][place..<place + count])
      unsafe target.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[done..<done + count]))
      done += count
      byteCount += count
    }
  }

  /// Lends a range of the bytes, piece by piece in order.
  ///
  /// - Parameters:
  ///   - range: Within the bytes.
  ///   - body: Gets a piece, valid within the call.
  /// - Throws: ``FileError`` where the file cannot be read; what `body` throws.
  func forEachPiece(
    of range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws -> Void
  ) throws {
    precondition(range.upperBound <= byteCount, "\(range) of \(byteCount) bytes")
    var next = range.lowerBound
    if next < min(storedBytes, range.upperBound) {
      let memory = UnsafeMutableRawBufferPointer.allocate(
        byteCount: Self.blockSize, alignment: 64)
      defer { unsafe memory.deallocate() }
      while next < min(storedBytes, range.upperBound) {
        let count = min(Self.blockSize, min(storedBytes, range.upperBound) - next)
        let piece = unsafe UnsafeMutableRawBufferPointer(rebasing: memory[..<count])
        unsafe try overflow?.read(into: piece, at: next)
        unsafe try body(UnsafeRawBufferPointer(piece))
        next += count
      }
    }
    while next < range.upperBound {
      let place = (next - storedBytes) % Self.blockSize
      let count = min(Self.blockSize - place, range.upperBound - next)
      let block = unsafe blocks[(next - storedBytes) / Self.blockSize]
      unsafe try body(UnsafeRawBufferPointer(rebasing: block[place..<place + count]))
      next += count
    }
  }

  private var blockBytes: Int { unsafe blocks.count * Self.blockSize }

  /// Makes room for more bytes: a new block, or the old ones, stored in the file.
  private func addBlock() throws(FileError) {
    guard let overflowPath, blockBytes >= limit else {
      unsafe blocks.append(.allocate(byteCount: Self.blockSize, alignment: 64))
      return
    }
    // Never committed, so it never has a name.
    if overflow == nil { overflow = try AtomicFile(path: overflowPath, overwrite: true) }
    for index in unsafe blocks.indices {
      unsafe try overflow?.write(UnsafeRawBufferPointer(blocks[index]), at: storedBytes)
      storedBytes += Self.blockSize
    }
  }
}
