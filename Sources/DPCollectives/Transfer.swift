internal import DPKernels

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// A message on its way: a header, then one slice or two.
@safe struct Transfer {
  /// The other rank.
  var peer = 0
  /// Bytes of the frame that have moved.
  var done = 0
  /// Whether the elements are added to what is there.
  var adds = false
  /// What the header has to say.
  var expected = FrameHeader(
    generation: 0, sequence: 0, fingerprint: 0, message: 0, sender: 0, payload: 0)
  private var payload = 0
  // SAFETY: the slices lie in the vector or in scratch memory, which outlive the round; the header's
  // memory and the staging memory belong to the list that holds this transfer, and outlive it.
  private var first: UnsafeMutableRawBufferPointer
  private var second: UnsafeMutableRawBufferPointer
  private let headerBytes: UnsafeMutableRawPointer
  private var staging: UnsafeMutableRawBufferPointer
  private var added = 0

  /// Bytes that move at once, at most: both directions go on, and buffers stay in the cache.
  static let pieceBytes = 1 << 19
  /// Bytes that are staged before they are added: small enough for the second cache.
  static let stagingBytes = 1 << 18

  init(headerBytes: UnsafeMutableRawPointer) {
    unsafe self.headerBytes = unsafe headerBytes
    unsafe first = .init(start: nil, count: 0)
    unsafe second = .init(start: nil, count: 0)
    unsafe staging = .init(start: nil, count: 0)
  }

  /// Becomes a new message.
  mutating func start(
    peer: Int, _ header: FrameHeader, _ first: UnsafeMutableRawBufferPointer,
    _ second: UnsafeMutableRawBufferPointer, adds: Bool
  ) {
    self.peer = peer
    self.adds = adds
    expected = header
    unsafe self.first = first
    unsafe self.second = second
    payload = first.count + second.count
    done = 0
    added = 0
    unsafe header.write(to: headerBytes)
    if unsafe adds && staging.baseAddress == nil {
      unsafe staging = .allocate(byteCount: Transfer.stagingBytes, alignment: 64)
    }
  }

  /// Frees what the transfer has for itself.
  func deallocate() {
    unsafe headerBytes.deallocate()
    unsafe staging.deallocate()
  }

  /// Whether all bytes have moved.
  var isDone: Bool { done == FrameHeader.byteCount + payload }

  /// The header that came; nil where the bytes are none.
  var header: FrameHeader? {
    // SAFETY: the header's memory has room for one and is filled when this is asked.
    unsafe FrameHeader.parse(
      RawSpan(_unsafeStart: headerBytes, byteCount: FrameHeader.byteCount))
  }

  /// The parts of the frame that have not moved; returns how many there are.
  func remaining(_ parts: UnsafeMutableBufferPointer<iovec>) -> Int {
    var list = unsafe PartList(parts: parts, skip: done)
    unsafe list.append(.init(start: headerBytes, count: FrameHeader.byteCount))
    unsafe list.append(first)
    unsafe list.append(second)
    return list.count
  }

  /// The memory for the bytes that are to come next; returns how many parts there are.
  func wanted(_ parts: UnsafeMutableBufferPointer<iovec>) -> Int {
    guard adds else { return unsafe remaining(parts) }
    let headerDone = min(done, FrameHeader.byteCount)
    let staged = done - headerDone - added
    var list = unsafe PartList(parts: parts, skip: headerDone)
    unsafe list.append(.init(start: headerBytes, count: FrameHeader.byteCount))
    let end = unsafe min(staging.count, payload - added)
    unsafe list.append(.init(rebasing: staging[staged..<end]))
    return list.count
  }

  /// Adds the whole elements that are staged.
  mutating func addStaged(_ sum: VectorSum) {
    let staged = done - min(done, FrameHeader.byteCount) - added
    let whole = staged - staged % sum.element.byteCount
    guard whole > 0, let source = unsafe staging.baseAddress else { return }
    let inFirst = unsafe max(0, min(whole, first.count - added))
    unsafe add(source, to: first, from: added, inFirst, sum)
    unsafe add(
      source + inFirst, to: second, from: added + inFirst - first.count, whole - inFirst, sum)
    unsafe source.copyMemory(from: source + whole, byteCount: staged - whole)
    added += whole
  }

  private func add(
    _ source: UnsafeMutableRawPointer, to target: UnsafeMutableRawBufferPointer, from start: Int,
    _ byteCount: Int, _ sum: VectorSum
  ) {
    guard byteCount > 0, let base = target.baseAddress else { return }
    unsafe sum.add(source, into: base + start, count: byteCount / sum.element.byteCount)
  }
}

/// Parts of a frame, without the bytes that have moved.
@safe private struct PartList {
  // SAFETY: has room for the three parts of a frame.
  private let parts: UnsafeMutableBufferPointer<iovec>
  private var skip: Int
  private var room = Transfer.pieceBytes
  private(set) var count = 0

  init(parts: UnsafeMutableBufferPointer<iovec>, skip: Int) {
    unsafe self.parts = unsafe parts
    self.skip = skip
  }

  mutating func append(_ bytes: UnsafeMutableRawBufferPointer) {
    let left = min(bytes.count - skip, room)
    guard left > 0, let base = bytes.baseAddress else {
      skip = max(0, skip - bytes.count)
      return
    }
    unsafe parts[count] = iovec(iov_base: base + skip, iov_len: left)
    skip = 0
    room -= left
    count += 1
  }
}

/// The messages of a round, in memory that stays.
final class TransferList {
  private var transfers: [Transfer] = []
  /// How many there are.
  private(set) var count = 0

  deinit { for transfer in transfers { transfer.deallocate() } }

  /// Whether all bytes of all have moved.
  var isDone: Bool {
    for index in 0..<count where !transfers[index].isDone { return false }
    return true
  }

  subscript(index: Int) -> Transfer {
    _read { yield transfers[index] }
    _modify { yield &transfers[index] }
  }

  /// Forgets the messages, not their memory.
  func removeAll() { count = 0 }

  /// Adds a message.
  func append(
    peer: Int, _ header: FrameHeader, _ first: UnsafeMutableRawBufferPointer,
    _ second: UnsafeMutableRawBufferPointer, adds: Bool
  ) {
    if count == transfers.count {
      let headerBytes = UnsafeMutableRawPointer.allocate(
        byteCount: FrameHeader.byteCount, alignment: 8)
      unsafe transfers.append(Transfer(headerBytes: headerBytes))
    }
    unsafe transfers[count].start(peer: peer, header, first, second, adds: adds)
    count += 1
  }
}
