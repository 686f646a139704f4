#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// System calls on sockets.
enum SocketCalls {
  /// Whether a call may succeed when it is repeated later.
  static func isTemporary(_ reason: Int32) -> Bool {
    reason == EAGAIN || reason == EWOULDBLOCK || reason == EINTR
  }

  /// Sends bytes without a signal where the other end is gone.
  static func send(_ socket: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int {
    #if canImport(Glibc)
    let flags = Int32(MSG_NOSIGNAL)
    #else
    let flags: Int32 = 0
    #endif
    // SAFETY: the caller lends `count` bytes.
    return unsafe sendto(socket, bytes, count, flags, nil, 0)
  }

  /// Closes a descriptor.
  static func close(_ descriptor: Int32) {
    #if canImport(Glibc)
    _ = Glibc.close(descriptor)
    #else
    _ = Darwin.close(descriptor)
    #endif
  }

  /// Makes a socket answer at once, and keeps it from programs that this process starts.
  static func prepare(_ socket: Int32) {
    _ = fcntl(socket, F_SETFL, fcntl(socket, F_GETFL) | O_NONBLOCK)
    _ = fcntl(socket, F_SETFD, FD_CLOEXEC)
    #if !canImport(Glibc)
    set(socket, SOL_SOCKET, SO_NOSIGPIPE, 1)
    #endif
  }

  /// Sets an option that is a number; a refusal costs speed alone.
  static func set(_ socket: Int32, _ level: Int32, _ option: Int32, _ value: Int32) {
    var value = value
    // SAFETY: setsockopt reads the integer it is lent.
    _ = unsafe setsockopt(
      socket, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
  }

  /// Waits until one of some descriptors is ready; at most so long.
  static func wait(for polled: inout [pollfd], _ nanoseconds: Int64) {
    let milliseconds = Int32(clamping: (max(0, nanoseconds) + 999_999) / 1_000_000)
    // SAFETY: poll fills the array it is lent, of the length that it is told.
    _ = unsafe poll(&polled, nfds_t(polled.count), milliseconds)
  }
}
