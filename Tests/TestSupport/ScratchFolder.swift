package import Foundation

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
  package func write(_ contents: some Sequence<UInt8>, to name: String) throws -> String {
    try Data(contents).write(to: URL(fileURLWithPath: file(name)))
    return file(name)
  }

  /// Writes a text file.
  ///
  /// - Parameters:
  ///   - text: Its text.
  ///   - name: Its name in the folder.
  /// - Returns: Its path.
  /// - Throws: What Foundation throws.
  package func write(_ text: String, to name: String) throws -> String {
    try write(text.utf8, to: name)
  }

  /// A file's bytes.
  ///
  /// - Parameter name: Its name in the folder.
  /// - Returns: All of them.
  /// - Throws: What Foundation throws.
  package func data(_ name: String) throws -> Data {
    try Data(contentsOf: URL(fileURLWithPath: file(name)))
  }

  /// A file's text.
  ///
  /// - Parameter name: Its name in the folder.
  /// - Returns: All of it.
  /// - Throws: What Foundation throws.
  package func text(_ name: String) throws -> String {
    String(decoding: try data(name), as: UTF8.self)
  }

  /// Whether there is a file or folder of that name.
  ///
  /// - Parameter name: Its name in the folder.
  /// - Returns: Whether there is.
  package func holds(_ name: String) -> Bool {
    FileManager.default.fileExists(atPath: file(name))
  }

  /// Everything in the folder.
  ///
  /// - Returns: Relative paths, hidden ones too, and the bytes of files.
  /// - Throws: What Foundation throws.
  package func contents() throws -> [String: Data] {
    try ScratchFolder.contents(of: path)
  }

  /// Everything in a folder.
  ///
  /// - Parameter path: The folder.
  /// - Returns: Relative paths, hidden ones too, and the bytes of files.
  /// - Throws: What Foundation throws.
  package static func contents(of path: String) throws -> [String: Data] {
    var result: [String: Data] = [:]
    for name in try FileManager.default.subpathsOfDirectory(atPath: path) {
      // A folder has no bytes; a file that has just gone is no part of the contents.
      result[name] = FileManager.default.contents(atPath: "\(path)/\(name)") ?? Data()
    }
    return result
  }

  /// The permission bits of a file or folder.
  ///
  /// - Parameter name: Its name in the folder.
  /// - Returns: The bits, or -1 where the system does not tell.
  /// - Throws: What Foundation throws.
  package func mode(_ name: String) throws -> Int {
    let attributes = try FileManager.default.attributesOfItem(atPath: file(name))
    return attributes[.posixPermissions] as? Int ?? -1
  }

  /// Every name in the folder, hidden ones too.
  package var names: [String] {
    get throws { try FileManager.default.contentsOfDirectory(atPath: path).sorted() }
  }
}
