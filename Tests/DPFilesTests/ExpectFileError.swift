import DPFiles
import Testing

/// Expects a body to fail with a ``FileError`` of a kind, whose message is one line.
func expectFileError(
  _ code: FileError.Code, sourceLocation: SourceLocation = #_sourceLocation,
  _ body: () throws -> Void
) {
  let error = #expect(throws: FileError.self, sourceLocation: sourceLocation) { try body() }
  #expect(error?.code == code, sourceLocation: sourceLocation)
  #expect(error?.message.contains("\n") == false, sourceLocation: sourceLocation)
}
