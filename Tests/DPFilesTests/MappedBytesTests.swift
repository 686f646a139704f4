import DPFiles
import Foundation
import TestSupport
import Testing

struct MappedBytesTests {
  let folder: ScratchFolder

  init() throws { folder = try ScratchFolder() }

  @Test(arguments: [0, 1, 7, 4095, 4096, 4097])
  func fileAndMemoryHoldTheSameBytes(count: Int) throws {
    let contents = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 37) }
    let mapped = try MappedBytes(contentsOf: folder.write(contents, to: "bytes"))
    let memory = MappedBytes(contents)
    #expect(unsafe Array(mapped.buffer) == contents)
    #expect(unsafe Array(memory.buffer) == contents)
  }

  @Test func whatIsNoFileIsRefused() throws {
    expectFileError(.missing) { _ = try MappedBytes(contentsOf: folder.file("nothing")) }
    expectFileError(.cannotRead) { _ = try MappedBytes(contentsOf: folder.path) }
    expectFileError(.cannotRead) { _ = try MappedBytes(contentsOf: "/dev/null") }
    expectFileError(.missing) { _ = try InputFile.size(ofFileAt: folder.file("nothing")) }
  }

  @Test(.enabled(if: getuid() != 0, "the superuser may read any file"))
  func fileOfAnotherIsRefused() throws {
    let path = try folder.write([1], to: "secret")
    try FileManager.default.setAttributes([.posixPermissions: 0], ofItemAtPath: path)
    expectFileError(.cannotRead) { _ = try MappedBytes(contentsOf: path) }
  }
}
