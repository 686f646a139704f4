import Foundation

/// Files that lie beside a checkout, not in it: real tables, other programs' values.
package enum SharedFile {
  /// The path of a file beside the checkout; nil, with a printed message, where it is absent.
  ///
  /// - Parameter name: Its path in the folder `shared` beside the checkout.
  /// - Returns: The path, or nil: the test that asks has nothing to compare with.
  package static func path(_ name: String) -> String? {
    var root = URL(fileURLWithPath: #filePath)
    for _ in 0..<3 { root.deleteLastPathComponent() }
    let path = root.appendingPathComponent("../shared/\(name)").standardizedFileURL.path
    guard FileManager.default.fileExists(atPath: path) else {
      print("skipped: shared/\(name) is not beside this checkout")
      return nil
    }
    return path
  }
}
