import Foundation

/// A disk of a few kilobytes, in memory; only the superuser can make one.
package final class TinyDisk {
  /// Where it is mounted.
  package var path: String { folder.path }
  /// The folder that it is mounted on.
  package let folder: ScratchFolder
  private var filler: String { folder.file("filler") }

  /// Mounts a disk, or nil where this process may not.
  ///
  /// - Parameter kilobytes: Its size.
  /// - Throws: What Foundation throws.
  package init?(kilobytes: Int) throws {
    folder = try ScratchFolder()
    let options = "size=\(kilobytes)k,mode=700"
    guard TinyDisk.run("mount", "-t", "tmpfs", "-o", options, "tmpfs", folder.path) else {
      return nil
    }
  }

  deinit { _ = TinyDisk.run("umount", "-l", path) }

  /// Whether this process may make one.
  package static let isAvailable = (try? TinyDisk(kilobytes: 16)) != nil

  /// Takes all the space that is left, beside what it took before.
  ///
  /// - Throws: What Foundation throws, other than that there is no space.
  package func fill() throws {
    if !FileManager.default.fileExists(atPath: filler) {
      _ = FileManager.default.createFile(atPath: filler, contents: nil)
    }
    let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: filler))
    defer { try? handle.close() }
    try handle.seekToEnd()
    let block = Data(count: 4096)
    while (try? handle.write(contentsOf: block)) != nil {}
  }

  /// Gives the space back that ``fill()`` took.
  package func free() { try? FileManager.default.removeItem(atPath: filler) }

  private static func run(_ arguments: String...) -> Bool {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = arguments
    process.standardError = FileHandle.nullDevice
    guard (try? process.run()) != nil else { return false }
    process.waitUntilExit()
    return process.terminationStatus == 0
  }
}
