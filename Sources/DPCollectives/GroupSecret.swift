internal import CDPSystem
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

/// What the ranks of a group know and nobody else does: 32 random bytes.
///
/// Ranks prove to each other that they know it, and keys are derived from it; it never travels on a
/// network and is erased with the last copy of this value.
public struct GroupSecret: Sendable {
  /// Bytes of a secret.
  public static let byteCount = 32

  let key: SymmetricKey

  /// A new secret, from the system's generator.
  public init() { key = SymmetricKey(size: .bits256) }

  init(bytes: [UInt8]) { key = SymmetricKey(data: bytes) }

  /// The bytes, for who erases them.
  var bytes: [UInt8] { unsafe key.withUnsafeBytes { unsafe [UInt8]($0) } }

  /// As it stands in a file: 64 hexadecimal digits and a line's end; for who erases them.
  package var line: [UInt8] {
    var bytes = self.bytes
    defer { bytes.erase() }
    let digits = Array("0123456789abcdef".utf8)
    var line: [UInt8] = []
    // An array that grows leaves its first bytes behind.
    line.reserveCapacity(2 * GroupSecret.byteCount + 1)
    for byte in bytes { line += [digits[Int(byte >> 4)], digits[Int(byte & 15)]] }
    line.append(UInt8(ascii: "\n"))
    return line
  }

  /// Reads a secret from a file that only its owner can read.
  ///
  /// - Parameter path: A file of 64 hexadecimal digits, or of 32 bytes.
  /// - Throws: ``CollectiveError`` of code `invalidOption` for a file that is missing, can be read
  ///   by others, or is no secret.
  public init(contentsOf path: String) throws(CollectiveError) {
    // A named pipe would be waited for without end.
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else {
      throw GroupSecret.error(
        path,
        "\(unsafe String(cString: strerror(errno))); make one with 'fastdp launch secret "
          + "--out FILE' and give all ranks a copy")
    }
    defer { SocketCalls.close(descriptor) }
    switch cdp_private_file(descriptor) {
    case 0: break
    case 2:
      throw GroupSecret.error(
        path, "others than its owner can read or write it; run chmod 600 \(path)")
    case 3: throw GroupSecret.error(path, "it belongs to another user")
    default: throw GroupSecret.error(path, "it is no regular file")
    }
    try self.init(descriptor: descriptor, named: path)
  }

  /// Reads a secret from an open descriptor, which stays open.
  ///
  /// - Parameter descriptor: Of a file, which is read from its start, or of a pipe.
  /// - Throws: ``CollectiveError`` of code `invalidOption` where there is no secret.
  public init(descriptor: Int32) throws(CollectiveError) {
    try self.init(descriptor: descriptor, named: "descriptor \(descriptor)")
  }

  private init(descriptor: Int32, named name: String) throws(CollectiveError) {
    var bytes = [UInt8](repeating: 0, count: 128)
    defer { bytes.erase() }
    var count = 0
    while count < bytes.count {
      let more = unsafe bytes.withUnsafeMutableBytes { buffer in
        guard let base = buffer.baseAddress else { return 0 }
        // SAFETY: what is read ends at the buffer's end.
        let here = unsafe pread(descriptor, base + count, buffer.count - count, off_t(count))
        guard here < 0, errno == ESPIPE else { return here }
        return unsafe read(descriptor, base + count, buffer.count - count)
      }
      if more <= 0 { break }
      count += more
    }
    guard var secret = GroupSecret.decode(bytes.prefix(count)) else {
      throw GroupSecret.error(
        name,
        "it holds \(count) bytes that are no secret: 64 hexadecimal digits or 32 bytes; make "
          + "one with 'fastdp launch secret --out FILE'")
    }
    self.init(bytes: secret)
    secret.erase()
  }

  private static func decode(_ bytes: ArraySlice<UInt8>) -> [UInt8]? {
    if bytes.count == byteCount { return Array(bytes) }
    let digits = bytes.last == UInt8(ascii: "\n") ? bytes.dropLast() : bytes
    guard digits.count == 2 * byteCount else { return nil }
    var secret = [UInt8](repeating: 0, count: byteCount)
    for (place, digit) in digits.enumerated() {
      guard let value = Character(UnicodeScalar(digit)).hexDigitValue else {
        secret.erase()
        return nil
      }
      secret[place / 2] = secret[place / 2] << 4 | UInt8(value)
    }
    return secret
  }

  private static func error(_ name: String, _ why: String) -> CollectiveError {
    CollectiveError(.invalidOption, "the group's secret cannot be read from \(name): \(why)")
  }
}

extension GroupSecret {
  /// Writes a new secret to a new file that only its owner can read.
  ///
  /// - Parameter path: The file, which must not exist.
  /// - Throws: ``CollectiveError`` of code `invalidOption` where it exists or cannot be made.
  package static func create(at path: String) throws(CollectiveError) {
    let made = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard made >= 0 else {
      let why = unsafe String(cString: strerror(errno))
      throw CollectiveError(
        .invalidOption, "a secret cannot be written to \(path): \(why); give the name of a new file"
      )
    }
    defer { SocketCalls.close(made) }
    var line = GroupSecret().line
    defer { line.erase() }
    // SAFETY: write reads the array it is lent, of the length that it is told.
    guard fchmod(made, 0o600) == 0, unsafe write(made, line, line.count) == line.count,
      fsync(made) == 0
    else {
      unsafe unlink(path)
      throw CollectiveError.ofSystem("a secret cannot be written to \(path)")
    }
  }
}
