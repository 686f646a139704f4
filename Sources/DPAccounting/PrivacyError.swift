/// A request that no privacy guarantee can answer.
public struct PrivacyError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What kind of request was refused: a struct, so that kinds can be added later.
  public struct Code: Hashable, Sendable {
    private enum Storage { case parameterOutOfRange, unreachableTarget, budgetExceeded }
    private let storage: Storage

    /// A parameter lies outside the domain on which the mathematics holds.
    public static let parameterOutOfRange = Code(storage: .parameterOutOfRange)
    /// No noise multiplier in the supported range reaches the target.
    public static let unreachableTarget = Code(storage: .unreachableTarget)
    /// The next step would spend more than the budget.
    public static let budgetExceeded = Code(storage: .budgetExceeded)
  }

  /// The kind, to match on.
  public let code: Code
  /// For people: "order is 0.5; it must be finite and > 1".
  public let message: String

  /// Makes an error of a kind with a message that names the value, the bound and the remedy.
  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  /// The message.
  public var description: String { message }
}
