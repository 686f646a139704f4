internal import DPFiles
internal import Foundation

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// The operator's measurements of a run, one JSON object for each line; exact facts about the data.
final class MetricsLog {
  private let path: String
  private let descriptor: Int32

  /// Opens a log, or begins one with a line that says what it is.
  ///
  /// - Parameter path: The file; lines are appended.
  /// - Throws: ``FileError`` when it cannot be written.
  init(path: String) throws {
    self.path = path
    descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else {
      throw FileError(.cannotCreate, "\(path): cannot be written; check the run's folder")
    }
    if lseek(descriptor, 0, SEEK_END) == 0 {
      let note = "exact facts about the data, without any noise: for the operator, not for release"
      try append(.object([("note", .string(note))]))
    }
  }

  deinit { close(descriptor) }

  /// Appends a line, by one system call, so that a line is there whole or not at all.
  ///
  /// - Parameter line: A JSON object.
  /// - Throws: ``FileError`` when there is no space.
  func append(_ line: JSONValue) throws {
    let bytes = Array((line.text() + "\n").utf8)
    let end = lseek(descriptor, 0, SEEK_END)
    // SAFETY: the bytes live through the call.
    guard unsafe write(descriptor, bytes, bytes.count) == bytes.count else {
      ftruncate(descriptor, end)
      throw FileError(
        .inputOutput, "\(path): a line could not be written; free some space, then resume")
    }
  }
}
