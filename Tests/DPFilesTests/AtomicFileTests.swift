import DPFiles
import Foundation
import TestSupport
import Testing

/// Both ways of making a file: nameless, and under a hidden name.
struct AtomicFileTests {
  let folder: ScratchFolder

  init() throws { folder = try ScratchFolder() }

  @Test(arguments: [true, false], [true, false])
  func fileAppearsWholeAndOnlyAtCommit(nameless: Bool, overwrite: Bool) throws {
    let path = folder.file("out")
    var file = try AtomicFile(path: path, overwrite: overwrite, namelessFiles: nameless)
    try file.write("hello ")
    try file.write([UInt8](repeating: 33, count: 1 << 20))
    #expect(!FileManager.default.fileExists(atPath: path))
    #expect(try folder.names.allSatisfy { $0.hasPrefix(".") && !nameless })
    try file.commit()
    #expect(try folder.names == ["out"])
    #expect(FileManager.default.contents(atPath: path)?.count == 6 + 1 << 20)
  }

  @Test(arguments: [true, false])
  func fileIsItsOwnersOnly(nameless: Bool) throws {
    let path = folder.file("out")
    let file = try AtomicFile(path: path, overwrite: false, namelessFiles: nameless)
    try file.commit()
    let attributes = try FileManager.default.attributesOfItem(atPath: path)
    #expect(attributes[.posixPermissions] as? Int == 0o600)
  }

  @Test(arguments: [true, false])
  func uncommittedFileLeavesNothing(nameless: Bool) throws {
    do {
      var file = try AtomicFile(
        path: folder.file("out"), overwrite: false, namelessFiles: nameless)
      try file.write("half")
    }
    #expect(try folder.names.isEmpty)
  }

  @Test(arguments: [true, false])
  func existingFileIsReplacedOnlyWhereAskedFor(nameless: Bool) throws {
    let path = try folder.write(Array("old".utf8), to: "out")
    expectFileError(.alreadyExists) {
      _ = try AtomicFile(path: path, overwrite: false, namelessFiles: nameless)
    }
    var file = try AtomicFile(path: path, overwrite: true, namelessFiles: nameless)
    try file.write("new")
    #expect(FileManager.default.contents(atPath: path) == Data("old".utf8))
    try file.commit()
    #expect(FileManager.default.contents(atPath: path) == Data("new".utf8))
    #expect(try folder.names == ["out"])
  }

  @Test(arguments: [true, false])
  func nameTakenMeanwhileIsRefusedAndKept(nameless: Bool) throws {
    let path = folder.file("out")
    var file = try AtomicFile(path: path, overwrite: false, namelessFiles: nameless)
    try file.write("late")
    _ = try folder.write(Array("first".utf8), to: "out")
    do {
      try file.commit()
      Issue.record("the taken name was not refused")
    } catch {
      #expect(error.code == .alreadyExists)
    }
    #expect(FileManager.default.contents(atPath: path) == Data("first".utf8))
    #expect(try folder.names == ["out"])
  }

  @Test(arguments: ["missing/out", "", ".", "..", "sub/"])
  func placesThatCannotHoldAFileAreRefused(name: String) throws {
    expectFileError(.cannotCreate) {
      _ = try AtomicFile(path: folder.file(name), overwrite: true)
    }
  }

  @Test func devicesAndFoldersAreNotReplaced() throws {
    for path in ["/dev/null", folder.path] {
      expectFileError(.cannotCreate) { _ = try AtomicFile(path: path, overwrite: true) }
    }
  }

  @Test(.enabled(if: getuid() != 0, "the superuser may write to any folder"))
  func readOnlyFolderIsRefused() throws {
    try FileManager.default.setAttributes([.posixPermissions: 0o500], ofItemAtPath: folder.path)
    expectFileError(.cannotCreate) {
      _ = try AtomicFile(path: folder.file("out"), overwrite: false)
    }
  }

  @Test(
    .enabled(if: TinyDisk.isAvailable, "only the superuser can mount a small disk"),
    arguments: [true, false])
  func fullDiskIsSaidAndLeavesNothing(nameless: Bool) throws {
    let disk = try #require(try TinyDisk(kilobytes: 64))
    let path = disk.path + "/out"
    let error = #expect(throws: FileError.self) {
      var file = try AtomicFile(path: path, overwrite: false, namelessFiles: nameless)
      for _ in 0..<64 { try file.write([UInt8](repeating: 1, count: 1 << 14)) }
      try file.commit()
    }
    #expect(error?.code == .inputOutput)
    #expect(
      error?.message
        == "\(path): no space left to write it; free some space or choose another folder")
    #expect(try FileManager.default.contentsOfDirectory(atPath: disk.path).isEmpty)
  }

  /// Bytes written at places come back from there, a gap holds zeros, and a name comes at commit only.
  @Test(arguments: [true, false])
  func placesAreWrittenAndReadBack(nameless: Bool) throws {
    let path = folder.file("out")
    let file = try AtomicFile(path: path, overwrite: false, namelessFiles: nameless)
    unsafe try [UInt8]([7, 8, 9]).withUnsafeBytes { unsafe try file.write($0, at: 100_000) }
    unsafe try [UInt8]([1, 2]).withUnsafeBytes { unsafe try file.write($0, at: 0) }
    var back = [UInt8](repeating: 5, count: 4)
    unsafe try back.withUnsafeMutableBytes { unsafe try file.read(into: $0, at: 99_999) }
    #expect(back == [0, 7, 8, 9])
    let error = #expect(throws: FileError.self) {
      unsafe try back.withUnsafeMutableBytes { unsafe try file.read(into: $0, at: 100_000) }
    }
    #expect(error?.code == .inputOutput)
    try file.commit()
    #expect(try folder.names == ["out"])
    let bytes = try #require(FileManager.default.contents(atPath: path))
    #expect(bytes.count == 100_003 && Array(bytes.prefix(3)) == [1, 2, 0])
  }
}
