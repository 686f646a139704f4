import Foundation

/// A folder for one test's files, which goes away with it.
package final class ScratchFolder {
  /// The folder.
  package let path: String

  /// Makes an empty folder.
  ///
  /// - Throws: What Foundation throws.
  package init() throws {
    path = NSTemporaryDirectory() + "fastdp-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// The path of a file in the folder.
  ///
  /// - Parameter name: Its name.
  /// - Returns: The path; the file need not exist.
  package func file(_ name: String) -> String { "\(path)/\(name)" }

  /// Writes a file.
  ///
  /// - Parameters:
  ///   - contents: Its bytes.
  ///   - name: Its name in the folder.
  /// - Returns: Its path.
  /// - Throws: What Foundation throws.
  package func write(_ contents: [UInt8], to name: String) throws -> String {
    try Data(contents).write(to: URL(fileURLWithPath: file(name)))
    return file(name)
  }

  /// Every name in the folder, hidden ones too.
  package var names: [String] {
    get throws { try FileManager.default.contentsOfDirectory(atPath: path).sorted() }
  }
}

/// A disk of a few kilobytes, in memory; only the superuser can make one.
package final class TinyDisk {
  /// Where it is mounted.
  package let path: String
  private let folder: ScratchFolder

  /// Mounts a disk, or nil where this process may not.
  ///
  /// - Parameter kilobytes: Its size.
  /// - Throws: What Foundation throws.
  package init?(kilobytes: Int) throws {
    folder = try ScratchFolder()
    path = folder.path
    guard Self.run("mount", "-t", "tmpfs", "-o", "size=\(kilobytes)k", "tmpfs", path) else {
      return nil
    }
  }

  deinit { _ = Self.run("umount", path) }

  /// Whether this process may make one.
  package static var isAvailable: Bool { (try? TinyDisk(kilobytes: 16)) != nil }

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
