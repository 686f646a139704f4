/// A collective operation that could not be done.
///
/// After any error but `invalidOption` the group of ranks is dead: its links are closed and every
/// later call throws again.
public struct CollectiveError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What kind of failure it is: a struct, so that kinds can be added later.
  public struct Code: Hashable, Sendable {
    private enum Storage: UInt8 {
      case invalidOption, timeout, peerLost, mismatch, malformedFrame, system, unavailable, broken
      case refused, aborted
    }
    private let storage: Storage
    /// As the kind travels.
    var number: UInt8 { storage.rawValue }

    private init(storage: Storage) { self.storage = storage }

    /// The kind that has a number; `aborted` for numbers of later versions.
    init(number: UInt8) { storage = Storage(rawValue: number) ?? .aborted }

    /// An option is outside its range or contradicts another.
    public static let invalidOption = Code(storage: .invalidOption)
    /// A peer did not come in time.
    public static let timeout = Code(storage: .timeout)
    /// A peer's process has ended or its connection is closed.
    public static let peerLost = Code(storage: .peerLost)
    /// A peer is in another operation than this rank.
    public static let mismatch = Code(storage: .mismatch)
    /// A peer sent bytes that are no frame.
    public static let malformedFrame = Code(storage: .malformedFrame)
    /// The operating system refused something.
    public static let system = Code(storage: .system)
    /// Something optional, such as MPI, is not on this machine.
    public static let unavailable = Code(storage: .unavailable)
    /// An earlier operation of the group failed.
    public static let broken = Code(storage: .broken)
    /// A peer does not know the group's secret, or is not one that is waited for.
    public static let refused = Code(storage: .refused)
    /// A peer has ended the group for a reason of its own.
    public static let aborted = Code(storage: .aborted)
  }

  /// The kind, to match on.
  public let code: Code
  /// What, where, and what to do, in one line.
  public let message: String
  /// The rank that caused it, where one did.
  public let peer: Int?

  /// Makes an error of a kind.
  ///
  /// - Parameters:
  ///   - code: The kind.
  ///   - message: What, where, and what to do, in one line.
  ///   - peer: The rank that caused it.
  public init(_ code: Code, _ message: String, peer: Int? = nil) {
    self.code = code
    self.message = message
    self.peer = peer
  }

  /// The message.
  public var description: String { message }
}
