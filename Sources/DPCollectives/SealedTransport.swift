internal import CDPSystem
internal import Crypto

#if canImport(FoundationEssentials)
internal import FoundationEssentials
#else
internal import Foundation
#endif

#if canImport(Glibc)
package import Glibc
#else
package import Darwin
#endif

/// Messages over connected sockets that others can read: every byte is encrypted and authenticated.
///
/// Bytes travel in records: their length in four bytes, then AES-256-GCM's cipher and tag. Each
/// direction of each connection has its own key, and counts its records, so that none can be read,
/// changed, repeated, left out or put elsewhere. Who can write to the network can end the group, no
/// more.
@safe package final class SealedTransport: Transport {
  /// The longest content of a record, in bytes.
  static let recordBytes = 1 << 16
  fileprivate static let lengthBytes = 4
  fileprivate static let wireBytes = lengthBytes + recordBytes + RecordSealer.overhead

  private let wire: TCPTransport
  private var outgoing: [Outgoing?]
  private var incoming: [Incoming?]
  // SAFETY: allocated by this object; used within single calls.
  private let part: UnsafeMutableBufferPointer<iovec>
  private let staging: UnsafeMutableRawBufferPointer

  /// A record on its way to a peer.
  @safe private struct Outgoing {
    var sealer: RecordSealer
    /// The record, of which `sent` bytes of `count` are gone.
    let bytes: UnsafeMutableRawBufferPointer
    var count = 0
    var sent = 0
    /// Bytes of content; those who gave them are told when all of it is gone.
    var content = 0

    init(_ sealer: RecordSealer) {
      self.sealer = sealer
      unsafe bytes = .allocate(byteCount: SealedTransport.wireBytes, alignment: 64)
    }
  }

  /// What has come from a peer.
  @safe private struct Incoming {
    var opener: RecordOpener
    /// The start of the next record.
    let bytes: UnsafeMutableRawBufferPointer
    var count = 0
    /// Content that was not asked for yet, from `given` on.
    var content = Data()
    var given = 0

    init(_ opener: RecordOpener) {
      self.opener = opener
      unsafe bytes = .allocate(byteCount: SealedTransport.wireBytes, alignment: 64)
    }
  }

  /// Joins peers by sockets, which this object closes at its end, and their keys.
  ///
  /// - Parameters:
  ///   - rank: This rank.
  ///   - sockets: The socket to each rank.
  ///   - keys: The keys of each connection; nil at this rank's own place.
  ///   - names: The hosts of the ranks, for errors.
  ///   - absent: Peers that are reached in another way: they have no socket.
  ///   - policy: How to wait; nil for what suits this machine.
  /// - Throws: ``CollectiveError`` for a descriptor that is no socket.
  init(
    rank: Int, sockets: [Int32], keys: [ConnectionKeys?], names: [String]? = nil,
    absent: Set<Int> = [], policy: WaitPolicy? = nil
  ) throws(CollectiveError) {
    wire = try TCPTransport(
      rank: rank, sockets: sockets, names: names, absent: absent, policy: policy)
    outgoing = keys.map { keys in keys.map { Outgoing(RecordSealer($0.sending)) } }
    incoming = keys.map { keys in keys.map { Incoming(RecordOpener($0.receiving)) } }
    unsafe part = .allocate(capacity: 1)
    unsafe staging = .allocate(byteCount: SealedTransport.recordBytes, alignment: 64)
  }

  deinit {
    // SAFETY: all was allocated by this object.
    unsafe cdp_erase(staging.baseAddress, staging.count)
    unsafe staging.deallocate()
    unsafe part.deallocate()
    for peer in outgoing { unsafe peer?.bytes.deallocate() }
    for peer in incoming { unsafe peer?.bytes.deallocate() }
  }

  package var rank: Int { wire.rank }
  package var ranks: Int { wire.ranks }
  package var policy: WaitPolicy { wire.policy }
  package var watch: GroupWatch? {
    get { wire.watch }
    set { wire.watch = newValue }
  }
  package var ticket: UInt32 { 0 }
  package func name(of peer: Int) -> String { wire.name(of: peer) }

  /// Takes a record's worth of bytes, and says so when all of them are with the system: who sends
  /// offers the same bytes again until then.
  package func send(
    _ parts: UnsafeMutableBufferPointer<iovec>, to peer: Int
  ) throws(CollectiveError) -> Int {
    if outgoing[peer]?.count == 0 { try unsafe seal(parts, for: peer) }
    guard let record = outgoing[peer] else { return 0 }
    unsafe part[0] = unsafe iovec(
      iov_base: record.bytes.baseAddress.map { unsafe $0 + record.sent },
      iov_len: record.count - record.sent)
    outgoing[peer]?.sent += try unsafe wire.send(part, to: peer)
    guard let record = outgoing[peer], record.sent == record.count else { return 0 }
    outgoing[peer]?.count = 0
    return record.content
  }

  private func seal(
    _ parts: UnsafeMutableBufferPointer<iovec>, for peer: Int
  ) throws(CollectiveError) {
    var count = 0
    for index in parts.indices {
      guard let from = unsafe parts[index].iov_base, let base = unsafe staging.baseAddress else {
        continue
      }
      let size = unsafe min(parts[index].iov_len, staging.count - count)
      unsafe (base + count).copyMemory(from: from, byteCount: size)
      count += size
    }
    let content = unsafe UnsafeRawBufferPointer(rebasing: staging[..<count])
    guard let box = try unsafe outgoing[peer]?.sealer.seal(content),
      let record = unsafe outgoing[peer]?.bytes
    else { return }
    let length = UInt32(count + RecordSealer.overhead)
    unsafe record.storeBytes(of: length.littleEndian, as: UInt32.self)
    unsafe UnsafeMutableRawBufferPointer(rebasing: record[SealedTransport.lengthBytes...])
      .copyBytes(from: box.ciphertext)
    unsafe UnsafeMutableRawBufferPointer(
      rebasing: record[(SealedTransport.lengthBytes + count)...]
    ).copyBytes(from: box.tag)
    outgoing[peer]?.count = SealedTransport.lengthBytes + Int(length)
    outgoing[peer]?.sent = 0
    outgoing[peer]?.content = count
  }

  package func receive(
    _ parts: UnsafeMutableBufferPointer<iovec>, from peer: Int
  ) throws(CollectiveError) -> Int {
    if let had = incoming[peer], had.given == had.content.count {
      if try !open(peer) {
        guard try fill(peer) > 0, try open(peer) else { return 0 }
      }
    }
    return unsafe hand(parts, peer)
  }

  /// Reads what is there; returns how many bytes that was.
  private func fill(_ peer: Int) throws(CollectiveError) -> Int {
    guard let had = incoming[peer] else { return 0 }
    unsafe part[0] = unsafe iovec(
      iov_base: had.bytes.baseAddress.map { unsafe $0 + had.count },
      iov_len: had.bytes.count - had.count)
    let count = try unsafe wire.receive(part, from: peer)
    incoming[peer]?.count += count
    return count
  }

  /// Opens the next record, if all of it is there.
  private func open(_ peer: Int) throws(CollectiveError) -> Bool {
    guard let had = incoming[peer], had.count >= SealedTransport.lengthBytes,
      let base = unsafe had.bytes.baseAddress
    else { return false }
    let length = unsafe Int(UInt32(littleEndian: base.load(as: UInt32.self)))
    guard length > RecordSealer.overhead,
      length <= SealedTransport.recordBytes + RecordSealer.overhead
    else { throw forged(peer) }
    let end = SealedTransport.lengthBytes + length
    guard had.count >= end else { return false }
    let record = unsafe UnsafeRawBufferPointer(
      start: base + SealedTransport.lengthBytes, count: length)
    guard let content = unsafe incoming[peer]?.opener.open(record) else { throw forged(peer) }
    incoming[peer]?.content = content
    incoming[peer]?.given = 0
    unsafe base.copyMemory(from: base + end, byteCount: had.count - end)
    incoming[peer]?.count = had.count - end
    return true
  }

  private func forged(_ peer: Int) -> CollectiveError {
    CollectiveError(
      .malformedFrame,
      "rank \(peer) (\(name(of: peer))) sent a record that is not sealed as agreed: somebody on "
        + "the network has changed it", peer: peer)
  }

  /// Gives away content that is there.
  private func hand(_ parts: UnsafeMutableBufferPointer<iovec>, _ peer: Int) -> Int {
    guard let had = incoming[peer] else { return 0 }
    var place = had.given
    for index in parts.indices {
      guard let into = unsafe parts[index].iov_base else { continue }
      let size = unsafe min(parts[index].iov_len, had.content.count - place)
      guard size > 0 else { continue }
      unsafe had.content.copyBytes(
        to: UnsafeMutableRawBufferPointer(start: into, count: size),
        from: had.content.startIndex + place..<had.content.startIndex + place + size)
      place += size
    }
    incoming[peer]?.given = place
    return place - had.given
  }

  package func park(
    _ ticket: UInt32, sending: [Int], receiving: [Int], for nanoseconds: Int64
  ) throws(CollectiveError) {
    try wire.park(ticket, sending: sending, receiving: receiving, for: nanoseconds)
  }

  package func fault(of peer: Int, in operation: OperationMark) -> CollectiveError? {
    wire.fault(of: peer, in: operation)
  }

  package func abort() { wire.abort() }
}

/// The keys of all connections of a group in one process: for tests and measurements.
package struct SealedKeys: Sendable {
  fileprivate let table: [[ConnectionKeys?]]

  /// Fresh keys for each pair of ranks.
  package init(ranks: Int) {
    var table = [[ConnectionKeys?]](
      repeating: [ConnectionKeys?](repeating: nil, count: ranks), count: ranks)
    for low in 0..<ranks {
      for high in low + 1..<max(ranks, low + 1) {
        let keys = ConnectionKeys.random
        table[low][high] = keys
        table[high][low] = keys.reversed
      }
    }
    self.table = table
  }
}

extension SealedTransport {
  /// Joins ranks of one process, for tests and measurements.
  ///
  /// - Parameters:
  ///   - rank: This rank.
  ///   - sockets: The socket to each rank.
  ///   - keys: The group's keys.
  /// - Returns: The transport.
  /// - Throws: ``CollectiveError`` for a descriptor that is no socket.
  package static func forTests(
    rank: Int, sockets: [Int32], keys: SealedKeys
  ) throws(CollectiveError) -> SealedTransport {
    try SealedTransport(rank: rank, sockets: sockets, keys: keys.table[rank])
  }
}
