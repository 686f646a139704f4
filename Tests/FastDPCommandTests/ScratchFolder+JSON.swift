import TestSupport

extension ScratchFolder {
  /// A file that holds one JSON object.
  func json(_ name: String) throws -> [String: Any] { try jsonObject(data(name)) }
}
