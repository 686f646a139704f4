import DPCollectives
import Foundation
import TestSupport
import Testing

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Secrets: where they are read from, and what is left of them.
struct SecretTests {
  #if os(Linux)
  /// A key that ranks were sent is nowhere in memory once they have erased what they were given.
  @Test func sentSecretsLeaveNoCopy() throws {
    // The secret itself is kept nowhere, or the search would find what it looks for.
    let mask = (0..<4096).map { _ in UInt8.random(in: 0...255) }
    let group = try InProcessGroup(ranks: 3)
    let arrived = try RankThreads.run(3) { rank in
      let member = try group.join(rank)
      var secret = rank == 0 ? mask.map { $0 ^ OwnMemory.key } : []
      try member.broadcastSecret(&secret)
      let isRight = secret.elementsEqual(mask.lazy.map { $0 ^ OwnMemory.key })
      for index in secret.indices { secret[index] = 0 }
      _ = try member.gather([])
      member.close()
      return isRight
    }
    #expect(arrived == [true, true, true])
    // Freed memory keeps all but its first bytes.
    #expect(try OwnMemory.copies(ofMasked: Array(mask[4000..<4032])) == 0)
  }

  /// What the search finds: it must not be blind.
  @Test func theSearchFindsCopies() throws {
    let mask = (0..<4096).map { _ in UInt8.random(in: 0...255) }
    let copy = mask.map { $0 ^ OwnMemory.key }
    #expect(try OwnMemory.copies(ofMasked: Array(mask[4000..<4032])) > 0)
    #expect(zip(copy, mask).allSatisfy { $0 ^ $1 == OwnMemory.key })
  }
  #endif

  /// What is no file is refused, and not waited for.
  @Test func pipesAreNoSecretFiles() throws {
    let path =
      FileManager.default.temporaryDirectory.path + "/fastdp-pipe-\(UInt64.random(in: 0 ... .max))"
    try #require(unsafe mkfifo(path, 0o600) == 0)
    defer { unsafe unlink(path) }
    expect(
      failure(Result { try GroupSecret(contentsOf: path) }), [.invalidOption],
      naming: [path, "no regular file"])
  }
}

#if os(Linux)
/// This process's memory.
private enum OwnMemory {
  /// What masks are made with.
  static let key: UInt8 = 0xa5

  /// How often bytes are in memory that this process may write to: at least 8, each masked by the key.
  static func copies(ofMasked mask: [UInt8]) throws -> Int {
    let memory = unsafe open("/proc/self/mem", O_RDONLY | O_CLOEXEC)
    defer { close(memory) }
    try #require(memory >= 0)
    var start: UInt64 = 0
    for byte in mask[..<8].reversed() { start = start << 8 | UInt64(byte ^ key) }
    let regions = try String(contentsOfFile: "/proc/self/maps", encoding: .utf8)
      .split(separator: "\n").filter { $0.contains(" rw-p ") }
    return regions.reduce(0) { count, region in
      let ends = region.prefix { $0 != " " }.split(separator: "-").compactMap { Int($0, radix: 16) }
      // Sanitizers reserve terabytes for themselves.
      guard ends[1] - ends[0] <= 1 << 30 else { return count }
      return count + copies(in: ends[0]..<ends[1], of: mask, start, memory)
    }
  }

  private static func copies(
    in region: Range<Int>, of mask: [UInt8], _ start: UInt64, _ memory: Int32
  ) -> Int {
    var bytes = [UInt8](repeating: 0, count: 1 << 20)
    var found = 0
    var place = region.lowerBound
    while place < region.upperBound {
      let wanted = min(bytes.count, region.upperBound - place)
      // SAFETY: pread fills the array it is lent, of at least the length that it is told.
      let count = unsafe pread(memory, &bytes, wanted, off_t(place))
      guard count >= mask.count else { break }
      unsafe bytes.withUnsafeBytes { buffer in
        for offset in 0...count - mask.count
        where unsafe buffer.loadUnaligned(fromByteOffset: offset, as: UInt64.self) == start {
          let isWhole = mask.indices.allSatisfy { unsafe buffer[offset + $0] == mask[$0] ^ key }
          found += isWhole ? 1 : 0
        }
      }
      place += count - mask.count + 1
    }
    return found
  }
}
#endif
