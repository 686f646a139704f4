internal import GRDB

/// A request that a privacy ledger cannot fulfil.
///
/// A budget that does not suffice is another kind of error: ``PrivacyError`` with `budgetExceeded`.
package struct LedgerError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What kind of failure this is: a struct, so that kinds can be added later.
  package struct Code: Hashable, Sendable, CustomStringConvertible {
    private enum Storage {
      case missing
      case notALedger
      case alreadyExists
      case cannotCreate
      case unknownName
      case invalidRequest
      case changed
      case inputOutput
    }
    private let storage: Storage

    /// Nothing is there under the path.
    package static let missing = Code(storage: .missing)
    /// The file is no ledger, or one of a later version.
    package static let notALedger = Code(storage: .notALedger)
    /// The new file's name is taken.
    package static let alreadyExists = Code(storage: .alreadyExists)
    /// The new file may not be made there.
    package static let cannotCreate = Code(storage: .cannotCreate)
    /// No source or plan of that name is registered.
    package static let unknownName = Code(storage: .unknownName)
    /// The request contradicts what is registered.
    package static let invalidRequest = Code(storage: .invalidRequest)
    /// What the ledger holds is not what was written to it.
    package static let changed = Code(storage: .changed)
    /// The device failed or is full, or another process holds the file for too long.
    package static let inputOutput = Code(storage: .inputOutput)

    /// The name of the kind, as in the source.
    package var description: String { "\(storage)" }
  }

  /// The kind, to match on.
  package let code: Code
  /// What, where, and what to do, in one line.
  package let message: String

  /// The message.
  package var description: String { message }

  /// Makes an error of a kind; line ends in the message become spaces.
  init(_ code: Code, _ message: String) {
    self.code = code
    self.message = String(message.map { $0.isNewline ? " " : $0 })
  }
}

extension LedgerError {
  /// Runs `body`, with errors of the database told as errors of the ledger.
  ///
  /// - Parameters:
  ///   - path: The ledger's file.
  ///   - body: What is to be done.
  /// - Returns: What `body` returns.
  /// - Throws: ``LedgerError`` for each error of the database, any other as it is.
  static func translating<T>(_ path: String, _ body: () throws -> T) throws -> T {
    do {
      return try body()
    } catch let error as DatabaseError {
      throw LedgerError(error, path: path)
    }
  }

  private init(_ error: DatabaseError, path: String) {
    let words = error.message ?? "no reason given"
    switch error.resultCode {
    case .SQLITE_NOTADB:
      self.init(.notALedger, "\(path): is not a ledger; make one with 'fastdp ledger init'")
    case .SQLITE_CORRUPT:
      self.init(.changed, "\(path): is damaged (\(words)); restore it from a backup")
    case .SQLITE_BUSY, .SQLITE_LOCKED:
      self.init(
        .inputOutput, "\(path): another process has held the ledger for too long; try again")
    case .SQLITE_FULL:
      self.init(.inputOutput, "\(path): no space left to write it; free some space")
    case .SQLITE_CANTOPEN, .SQLITE_READONLY, .SQLITE_PERM, .SQLITE_AUTH:
      self.init(
        .inputOutput, "\(path): cannot be opened for writing (\(words)); check its permissions")
    case .SQLITE_CONSTRAINT, .SQLITE_ERROR, .SQLITE_MISMATCH:
      self.init(
        .changed, "\(path): holds what no ledger holds (\(words)); run 'fastdp ledger verify'")
    default:
      self.init(.inputOutput, "\(path): cannot be read or written (\(words)); check the device")
    }
  }
}
