#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// Which host a rank is on: two ranks of the same can share memory.
enum HostIdentity {
  /// The host's name, for people.
  static var name: String {
    var text = [CChar](repeating: 0, count: 256)
    // SAFETY: gethostname fills the array it is lent, of the length that it is told.
    guard unsafe gethostname(&text, text.count - 1) == 0 else { return "unknown host" }
    let bytes = text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:))
    return bytes.isEmpty ? "unknown host" : String(decoding: bytes, as: UTF8.self)
  }

  /// Something that is the same for two processes if they run on one started system, in one network
  /// namespace and as one user, so that they reach each other without a network.
  static var key: String {
    let boot = contents("/proc/sys/kernel/random/boot_id") ?? name
    return "\(boot) \(link("/proc/self/ns/net") ?? "") \(geteuid())"
  }

  private static func contents(_ path: String) -> String? {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { SocketCalls.close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 64)
    // SAFETY: read fills the array it is lent, of the length that it is told.
    let count = unsafe read(descriptor, &bytes, bytes.count)
    guard count > 0 else { return nil }
    return String(decoding: bytes.prefix(count).prefix { $0 > 32 }, as: UTF8.self)
  }

  private static func link(_ path: String) -> String? {
    var bytes = [CChar](repeating: 0, count: 128)
    // SAFETY: readlink fills the array it is lent, of the length that it is told.
    let count = unsafe readlink(path, &bytes, bytes.count)
    guard count > 0 else { return nil }
    return String(decoding: bytes.prefix(count).map(UInt8.init(bitPattern:)), as: UTF8.self)
  }
}
