internal import Crypto

#if canImport(FoundationEssentials)
internal import FoundationEssentials
#else
internal import Foundation
#endif

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// What one end of a control connection says to the other.
enum ControlMessage {
  /// A sign of life, and how far its sender has come.
  case heartbeat(GroupProgress)
  /// The group has ended, or shall end, for a reason.
  case fault(CollectiveError, GroupProgress)
  /// Part of an exchange between all ranks.
  case exchange([UInt8])
  /// The sender has done its work and closes the connection.
  case farewell

  /// The message as it travels.
  var bytes: [UInt8] {
    var writer = ByteWriter()
    switch self {
    case .heartbeat(let progress):
      writer.number(UInt8(0))
      writer.number(progress.word)
    case .fault(let error, let progress):
      writer.number(UInt8(1))
      writer.number(progress.word)
      writer.number(error.code.number)
      writer.number(Int32(error.peer ?? -1))
      writer.text(error.message)
    case .exchange(let content):
      writer.number(UInt8(2))
      writer.raw(content)
    case .farewell: writer.number(UInt8(3))
    }
    return writer.bytes
  }

  /// Reads a message; nil for bytes that are none.
  init?(_ bytes: [UInt8]) {
    var reader = ByteReader(bytes)
    switch reader.number(UInt8.self) {
    case 0?:
      guard let word = reader.number(UInt64.self) else { return nil }
      self = .heartbeat(GroupProgress(word: word))
    case 1?:
      guard let word = reader.number(UInt64.self), let code = reader.number(UInt8.self),
        let peer = reader.number(Int32.self), let text = reader.text()
      else { return nil }
      self = .fault(
        CollectiveError(.init(number: code), text, peer: peer < 0 ? nil : Int(peer)),
        GroupProgress(word: word))
    case 2?: self = .exchange(Array(bytes.dropFirst()))
    case 3?: self = .farewell
    default: return nil
    }
  }
}

/// One end of a control connection: records that are sealed on their way.
///
/// A record is its length in four bytes, then as many bytes of cipher and tag.
struct ControlLink {
  /// The longest message, in bytes.
  static let limit = 1 << 26

  /// The rank at the other end.
  let peer: Int
  /// The connected socket, which never blocks.
  let socket: Int32
  /// Whether the peer has said farewell.
  var hasLeft = false
  /// Whether the connection is no longer read.
  var isClosed = false
  /// When something came last, in nanoseconds.
  var heard = Deadline.now
  /// How far the peer has come, as it said last.
  var progress = GroupProgress(word: 0)
  /// Parts of exchanges that nobody has asked for yet.
  var inbox: [[UInt8]] = []
  /// Whether bytes wait to be sent.
  var isPending: Bool { sent < outgoing.count }

  private var sealer: RecordSealer
  private var opener: RecordOpener
  private var outgoing: [UInt8] = []
  private var sent = 0
  private var incoming: [UInt8] = []

  /// The end of a connection that was authenticated.
  init(peer: Int, socket: Int32, keys: ConnectionKeys) {
    self.peer = peer
    self.socket = socket
    sealer = RecordSealer(keys.sending)
    opener = RecordOpener(keys.receiving)
  }

  /// The end of a connection whose handshake has used the keys already.
  init(peer: Int, socket: Int32, sealer: RecordSealer, opener: RecordOpener) {
    self.peer = peer
    self.socket = socket
    self.sealer = sealer
    self.opener = opener
  }

  /// Puts a message behind those that wait to be sent.
  mutating func post(_ message: ControlMessage) {
    var content = message.bytes
    defer { content.erase() }
    guard let box = try? sealer.seal(content) else {
      isClosed = true
      return
    }
    var length = ByteWriter()
    length.number(UInt32(content.count + RecordSealer.overhead))
    outgoing += length.bytes
    outgoing += box.ciphertext
    outgoing += box.tag
  }

  /// Sends what the socket takes now.
  mutating func flush() {
    while !isClosed, isPending {
      let count = unsafe outgoing.withUnsafeBytes { bytes in
        guard let base = bytes.baseAddress else { return 0 }
        // SAFETY: the bytes from `sent` on are the array's.
        return unsafe SocketCalls.send(socket, base + sent, bytes.count - sent)
      }
      if count < 0 {
        isClosed = !SocketCalls.isTemporary(errno)
        return
      }
      sent += count
    }
    outgoing.removeAll(keepingCapacity: outgoing.count < 1 << 16)
    sent = 0
  }

  /// Takes what has come; nil where the bytes are not what the peer has sealed.
  mutating func receive() -> [ControlMessage]? {
    var messages: [ControlMessage] = []
    while !isClosed {
      let count = fill()
      if count <= 0 {
        if count == 0 || !SocketCalls.isTemporary(errno) { isClosed = true }
        return messages
      }
      heard = Deadline.now
      while let length = recordLength {
        guard length >= RecordSealer.overhead, length <= ControlLink.limit else { return nil }
        guard incoming.count >= 4 + length else { break }
        guard let message = open(length) else { return nil }
        messages.append(message)
      }
    }
    return messages
  }

  private var recordLength: Int? {
    guard incoming.count >= 4 else { return nil }
    return (0..<4).reduce(0) { $0 | Int(incoming[$1]) << (8 * $1) }
  }

  private mutating func open(_ length: Int) -> ControlMessage? {
    guard var content = opener.open(incoming[4..<4 + length]) else { return nil }
    incoming.removeFirst(4 + length)
    var bytes = [UInt8](content)
    // It may be a key, of which the message has the only copy then.
    defer { bytes.erase() }
    content.resetBytes(in: content.startIndex..<content.endIndex)
    return ControlMessage(bytes)
  }

  private mutating func fill() -> Int {
    let room = 1 << 16
    let before = incoming.count
    incoming.append(contentsOf: repeatElement(0, count: room))
    let count = unsafe incoming.withUnsafeMutableBytes { bytes in
      guard let base = bytes.baseAddress else { return 0 }
      // SAFETY: `room` bytes from `before` on are the array's.
      return unsafe recv(socket, base + before, room, 0)
    }
    let reason = errno
    incoming.removeLast(room - max(0, count))
    errno = reason
    return count
  }
}

extension CollectiveError {
  /// What came on a control connection is not what its other end has sealed.
  static func notSealed(_ name: String, peer: Int) -> CollectiveError {
    CollectiveError(
      .malformedFrame,
      "\(name) sent a record that is not sealed as agreed; its connection was tampered with, or its "
        + "memory is damaged", peer: peer)
  }
}
