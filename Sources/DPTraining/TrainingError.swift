/// A training run that cannot be planned, started or continued.
public struct TrainingError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What kind of request was refused: a struct, so that kinds can be added later.
  public struct Code: Hashable, Sendable {
    private enum Storage {
      case invalidOption, runExists, notARun, changedPlan, otherSchema, runInUse
      case ranksDiffer, ranksDiverged
    }
    private let storage: Storage

    /// An option is outside its range or contradicts another.
    public static let invalidOption = Code(storage: .invalidOption)
    /// The folder holds something already.
    public static let runExists = Code(storage: .runExists)
    /// The folder is no run, or one without what is asked of it.
    public static let notARun = Code(storage: .notARun)
    /// A resumed run was asked for something else than it was started with.
    public static let changedPlan = Code(storage: .changedPlan)
    /// A model and data that were encoded by different schemas.
    public static let otherSchema = Code(storage: .otherSchema)
    /// Another process is training into the folder.
    public static let runInUse = Code(storage: .runInUse)
    /// Ranks were started with different programs, data or options.
    public static let ranksDiffer = Code(storage: .ranksDiffer)
    /// Ranks that did the same have come to different parameters.
    public static let ranksDiverged = Code(storage: .ranksDiverged)
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
