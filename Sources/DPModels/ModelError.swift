/// A model that cannot be made, read or applied.
public struct ModelError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What went wrong: a struct, so that kinds can be added later.
  public struct Code: Hashable, Sendable {
    private enum Storage { case shape, malformedFile }
    private let storage: Storage

    /// A width, a number of classes or of parameters is out of range, or two of them differ.
    public static let shape = Code(storage: .shape)
    /// A model file does not say what it must.
    public static let malformedFile = Code(storage: .malformedFile)
  }

  /// The kind, to match on.
  public let code: Code
  /// What, where, and what to do, in one line.
  public let message: String

  /// Makes an error of a kind.
  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  /// The message.
  public var description: String { message }
}
