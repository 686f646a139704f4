import Foundation
import TestSupport

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Ports of the loopback interface.
enum FreePort {
  /// A port that nobody listened at a moment ago.
  static func find() throws -> UInt16 {
    let taken = try Taken()
    return taken.port
  }

  /// A port at which somebody listens.
  final class Taken {
    let port: UInt16
    let socket: Int32

    init() throws {
      socket = Strangers.makeSocket()
      var address = Strangers.address(0)
      let status = unsafe Strangers.named(&address) { [socket] in unsafe bind(socket, $0, $1) }
      guard status == 0, listen(socket, 1) == 0 else { throw POSIXError(.EADDRINUSE) }
      var length = socklen_t(MemoryLayout<sockaddr_in>.size)
      _ = unsafe withUnsafeMutablePointer(to: &address) { [socket] pointer in
        unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          unsafe getsockname(socket, $0, &length)
        }
      }
      port = UInt16(bigEndian: address.sin_port)
    }

    deinit { close(socket) }
  }
}

/// Callers that do not belong to any group.
enum Strangers {
  static func makeSocket() -> Int32 {
    #if canImport(Glibc)
    socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    #else
    socket(AF_INET, SOCK_STREAM, 0)
    #endif
  }

  static func address(_ port: UInt16) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    address.sin_port = port.bigEndian
    return address
  }

  static func named(
    _ address: inout sockaddr_in, _ call: (UnsafePointer<sockaddr>, socklen_t) -> Int32
  ) -> Int32 {
    // SAFETY: every address may be seen as the general one, with its own length.
    unsafe withUnsafePointer(to: &address) {
      unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe call($0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
  }

  /// Calls a port again and again, with silence, noise, or the start of a real message and noise.
  ///
  /// - Returns: How many calls were taken.
  static func call(port: UInt16, count: Int) -> Int {
    var random = SeededGenerator(seed: 5)
    var open: [Int32] = []
    for index in 0..<count {
      let caller = makeSocket()
      var address = address(port)
      guard unsafe named(&address, { unsafe connect(caller, $0, $1) }) == 0 else {
        close(caller)
        usleep(1000)
        continue
      }
      open.append(caller)
      guard index % 3 > 0 else { continue }
      let noise = (0..<Int.random(in: 1...6000, using: &random)).map { _ in
        UInt8.random(in: 0...255, using: &random)
      }
      let start = index % 3 == 2 ? Array("fDPh".utf8) + [1, 0, 1, 0] : []
      let bytes = start + noise
      // A caller that was sent away is one more case.
      signal(SIGPIPE, SIG_IGN)
      // SAFETY: write reads the array it is lent.
      _ = unsafe write(caller, bytes, bytes.count)
    }
    for caller in open { close(caller) }
    return open.count
  }
}

/// Somebody between callers and who is called, who sees, delays and changes what they say.
final class Middleman: Sendable {
  /// Some bytes of a call: whose words they are, where they begin in these, and what is passed on.
  struct Words {
    let call: Int
    let isCaller: Bool
    let first: Int
    var bytes: [UInt8]
  }

  /// Where to call.
  let port: UInt16
  private let door: Int32
  private let handle: @Sendable (inout Words) -> Void

  /// Passes calls on to who listens at a port, when `handle` has seen what is said in them.
  init(to target: UInt16, handle: @escaping @Sendable (inout Words) -> Void) throws {
    let taken = try FreePort.Taken()
    (port, door) = (taken.port, dup(taken.socket))
    self.handle = handle
    signal(SIGPIPE, SIG_IGN)
    Thread.detachNewThread { [door] in
      var calls = 0
      while true {
        let near = accept(door, nil, nil)
        guard near >= 0 else { return }
        let far = Strangers.call(target)
        for (from, to, isCaller) in [(near, far, true), (far, near, false)] {
          Thread.detachNewThread { [calls] in
            Middleman.copy(from: from, to: to, Words(call: calls, isCaller: isCaller), handle)
          }
        }
        calls += 1
      }
    }
  }

  deinit {
    shutdown(door, Int32(SHUT_RDWR))
    close(door)
  }

  /// Passes one side's words on to the end.
  private static func copy(
    from source: Int32, to target: Int32, _ start: Words,
    _ handle: @Sendable (inout Words) -> Void
  ) {
    var room = [UInt8](repeating: 0, count: 1 << 16)
    var first = 0
    while true {
      // SAFETY: read fills the array it is lent, and write reads it, up to the length they are told.
      let count = unsafe read(source, &room, room.count)
      guard count > 0 else { break }
      var words = Words(
        call: start.call, isCaller: start.isCaller, first: first, bytes: Array(room[..<count]))
      handle(&words)
      first += count
      guard unsafe write(target, words.bytes, count) == count else { break }
    }
    shutdown(source, Int32(SHUT_RDWR))
    shutdown(target, Int32(SHUT_RDWR))
  }
}

extension Middleman.Words {
  fileprivate init(call: Int, isCaller: Bool) {
    self.init(call: call, isCaller: isCaller, first: 0, bytes: [])
  }
}

extension Strangers {
  /// Calls until somebody listens.
  static func call(_ port: UInt16) -> Int32 {
    var address = address(port)
    while true {
      let caller = makeSocket()
      if unsafe named(&address, { unsafe connect(caller, $0, $1) }) == 0 { return caller }
      close(caller)
      usleep(5000)
    }
  }

  /// Has strangers call that begin as a rank does, and waits until the last of them was answered.
  static func crowd(port: UInt16, count: Int) {
    let hello = Array("fDPh".utf8) + [1, 0, 1, 0] + [UInt8](repeating: 0, count: 80)
    let callers = (0..<count).map { _ in call(port) }
    // SAFETY: write reads the array it is lent, and read fills one byte.
    for caller in callers { _ = unsafe write(caller, hello, hello.count) }
    var byte: UInt8 = 0
    if let last = callers.last { _ = unsafe read(last, &byte, 1) }
    for caller in callers { close(caller) }
  }
}
