/// A durable record of the steps that a run may take, written before they are taken.
///
/// A trainer asks for a range of steps, waits until the answer is on disk, and only then draws the
/// noise of the first of them. A step that was reserved and may have run stays charged, whatever
/// became of the process.
///
/// | call | promise |
/// |---|---|
/// | `reserve` returns | the range is durable and within the budget; it may run |
/// | `reserve` throws | nothing of the range is charged; none of it may run |
/// | process ends after `reserve` | the whole range stays charged |
/// | `release` returns | the range is no longer charged; it must never run |
/// | `checkRoom` returns | nothing is charged; a range of that length would have been within the budget |
public protocol PrivacyLedger: AnyObject {
  /// Charges a range of steps, durably, before any of them runs.
  ///
  /// - Parameters:
  ///   - steps: Indices of the steps in their run; never reserved before, in ascending order of
  ///     calls.
  ///   - mechanism: What each of the steps releases.
  /// - Throws: ``PrivacyError`` with `budgetExceeded` when the range does not fit the budget, or
  ///   the error of the file behind the ledger.
  func reserve(_ steps: Range<Int>, of mechanism: PoissonSubsampledGaussian) throws

  /// Takes back the end of the last reserved range: steps that did not run and never will.
  ///
  /// - Parameter steps: The unused tail of the last reserved range.
  /// - Throws: The error of the file behind the ledger; the range then stays charged.
  func release(_ steps: Range<Int>) throws

  /// Refuses a number of steps that the budget has no room for at this moment; charges nothing.
  ///
  /// A trainer asks before it begins, so that a run that cannot be finished spends nothing.
  ///
  /// - Parameters:
  ///   - count: How many steps are to be reserved, at least 1.
  ///   - mechanism: What each of the steps releases.
  /// - Throws: What ``reserve(_:of:)`` would throw.
  func checkRoom(for count: Int, of mechanism: PoissonSubsampledGaussian) throws

  /// What identifies the ledger's state after the last call: a run keeps it in its record, where it
  /// witnesses against a ledger that was rewritten. Nil for a ledger without such a thing.
  var head: String? { get }

  /// Whether the ledger is one that once had a head.
  ///
  /// - Parameter head: A ``head`` of earlier.
  /// - Returns: False where the ledger is another one, or was rewritten since.
  /// - Throws: The error of the file behind the ledger.
  func holds(head: String) throws -> Bool
}

extension PrivacyLedger {
  /// Does nothing: whether there is room is known when steps are reserved.
  ///
  /// - Parameters:
  ///   - count: Any number.
  ///   - mechanism: Any mechanism.
  public func checkRoom(for count: Int, of mechanism: PoissonSubsampledGaussian) {}

  /// Nil: the ledger has no heads.
  public var head: String? { nil }

  /// True: a ledger without heads denies none.
  ///
  /// - Parameter head: Any text.
  /// - Returns: True.
  public func holds(head: String) -> Bool { true }
}
