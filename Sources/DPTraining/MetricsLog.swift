internal import DPFiles

/// The operator's measurements of a run, one JSON object for each line; exact facts about the data.
struct MetricsLog {
  private let file: LineFile

  /// Opens a log, or begins one with a line that says what it is.
  ///
  /// - Parameter path: The file; lines are appended.
  /// - Throws: ``FileError`` when it cannot be written.
  init(path: String) throws(FileError) {
    file = try LineFile(path: path, creating: true)
    guard file.count == 0 else { return }
    try append(.object([("note", .string(exactFactsNote))]))
  }

  /// Appends a line.
  ///
  /// - Parameter line: A JSON object.
  /// - Throws: ``FileError`` when there is no space.
  func append(_ line: JSONValue) throws(FileError) {
    try file.append(line.text(), durably: false)
  }
}
