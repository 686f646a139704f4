#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// A file that could not be read or written as asked.
///
/// `description` is one line: what happened, to which path, and what to do about it.
public struct FileError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What kind of failure this is: a struct, so that kinds can be added later.
  public struct Code: Hashable, Sendable, CustomStringConvertible {
    private enum Storage {
      case missing
      case cannotRead
      case cannotCreate
      case alreadyExists
      case inputOutput
      case malformed
    }
    private let storage: Storage

    /// Nothing is there under the path that should be read.
    public static let missing = Code(storage: .missing)
    /// Something is there, but it may not be read, or is not a file that can be.
    public static let cannotRead = Code(storage: .cannotRead)
    /// The new file may not be made there: no such folder, no permission, not a regular file.
    public static let cannotCreate = Code(storage: .cannotCreate)
    /// The new file's name is taken and overwriting was not asked for.
    public static let alreadyExists = Code(storage: .alreadyExists)
    /// The device failed or is full.
    public static let inputOutput = Code(storage: .inputOutput)
    /// The file's contents are not what its kind of file requires.
    public static let malformed = Code(storage: .malformed)

    /// The name of the kind, as in the source.
    public var description: String { "\(storage)" }
  }

  /// The kind, to match on.
  public let code: Code
  /// For people, in one line: what, where, and what to do.
  public let message: String

  /// The message.
  public var description: String { message }

  /// An error of the given kind.
  ///
  /// - Parameters:
  ///   - code: The kind, to match on.
  ///   - message: One line: what happened, where, and what to do. Line ends in it (a path may hold
  ///     some) become spaces.
  package init(_ code: Code, _ message: String) {
    self.code = code
    self.message = String(message.map { $0.isNewline ? " " : $0 })
  }
}

extension FileError {
  /// The error for a failed call that should have opened `path` for reading.
  ///
  /// - Parameters:
  ///   - path: As the caller gave it.
  ///   - number: The call's `errno`.
  /// - Returns: ``Code/missing`` where nothing is there, else ``Code/cannotRead``.
  static func opening(_ path: String, number: Int32) -> FileError {
    switch number {
    case ENOENT, ENOTDIR:
      FileError(.missing, "\(path): no such file; check the path")
    case EACCES, EPERM:
      FileError(.cannotRead, "\(path): permission to read it is denied; ask its owner")
    default:
      FileError(.cannotRead, "\(path): cannot be opened: \(text(ofError: number)); check the path")
    }
  }

  /// The error for a failed call that should have made `path`.
  ///
  /// - Parameters:
  ///   - path: As the caller gave it.
  ///   - number: The call's `errno`.
  /// - Returns: ``Code/alreadyExists`` for a taken name, ``Code/inputOutput`` for a full device,
  ///   else ``Code/cannotCreate``.
  static func creating(_ path: String, number: Int32) -> FileError {
    switch number {
    case EEXIST:
      FileError(.alreadyExists, "\(path): already exists; choose another name or overwrite it")
    case ENOSPC, EDQUOT, EIO:
      writing(path, number: number)
    case ENOENT, ENOTDIR:
      FileError(.cannotCreate, "\(path): its folder does not exist; make the folder first")
    case EACCES, EPERM, EROFS:
      FileError(.cannotCreate, "\(path): its folder may not be written to; choose another folder")
    default:
      FileError(
        .cannotCreate, "\(path): cannot be made: \(text(ofError: number)); choose another path")
    }
  }

  /// The error for a failed write or sync of the new file `path`.
  ///
  /// - Parameters:
  ///   - path: As the caller gave it.
  ///   - number: The call's `errno`.
  /// - Returns: ``Code/inputOutput``.
  static func writing(_ path: String, number: Int32) -> FileError {
    switch number {
    case ENOSPC, EDQUOT:
      FileError(
        .inputOutput, "\(path): no space left to write it; free some space or choose another folder"
      )
    default:
      FileError(
        .inputOutput, "\(path): cannot be written: \(text(ofError: number)); check the device")
    }
  }

  /// The error for a failed read of `path`, which was open already.
  ///
  /// - Parameters:
  ///   - path: As the caller gave it.
  ///   - number: The call's `errno`.
  /// - Returns: ``Code/inputOutput``.
  static func reading(_ path: String, number: Int32) -> FileError {
    FileError(.inputOutput, "\(path): cannot be read: \(text(ofError: number)); check the device")
  }

  /// The operating system's words for an `errno`.
  private static func text(ofError number: Int32) -> String {
    // SAFETY: strerror returns a terminated string that is copied before another call can reuse it.
    unsafe strerror(number).map { unsafe String(cString: $0) } ?? "error \(number)"
  }
}
