import DPCollectives
import Foundation
import TestSupport
import Testing

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Secrets: where they are read from.
struct SecretTests {
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
