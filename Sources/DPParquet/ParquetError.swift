public import DPFiles

/// A Parquet file or folder that cannot be read or written as asked.
///
/// `description` is one line: where (file, column, row group, page), what, and what to do. It names
/// columns and pages, and never the value of a cell.
public struct ParquetError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What kind of problem this is: a struct, so that kinds can be added later.
  public struct Code: Hashable, Sendable, CustomStringConvertible {
    private enum Storage {
      case file
      case notParquet
      case malformed
      case unsupported
      case missingLibrary
      case tooLarge
      case incompleteFolder
      case schemaMismatch
      case missingColumn
    }
    private let storage: Storage

    /// The file could not be opened, read or made; ``ParquetError/cause`` says why.
    public static let file = Code(storage: .file)
    /// The file is no Parquet file.
    public static let notParquet = Code(storage: .notParquet)
    /// The file is damaged.
    public static let malformed = Code(storage: .malformed)
    /// The file has something that is not read: nesting, encryption, Brotli.
    public static let unsupported = Code(storage: .unsupported)
    /// A library that the file's compression needs is not installed.
    public static let missingLibrary = Code(storage: .missingLibrary)
    /// What was asked for needs more memory than the file's size allows.
    public static let tooLarge = Code(storage: .tooLarge)
    /// A folder that its writer has not finished, or that holds no table.
    public static let incompleteFolder = Code(storage: .incompleteFolder)
    /// The files of one table, or the values to write, differ in their columns.
    public static let schemaMismatch = Code(storage: .schemaMismatch)
    /// A column is not there, or is there twice.
    public static let missingColumn = Code(storage: .missingColumn)

    /// The name of the kind, as in the source.
    public var description: String { "\(storage)" }
  }

  /// A place in a file.
  public struct Place: Hashable, Sendable, CustomStringConvertible {
    /// The path, as the caller gave it.
    public let file: String
    /// The column's name.
    public let column: String?
    /// From 0.
    public let rowGroup: Int?
    /// From 0, in the order of the file, dictionaries counted.
    public let page: Int?

    init(file: String, column: String? = nil, rowGroup: Int? = nil, page: Int? = nil) {
      self.file = file
      self.column = column
      self.rowGroup = rowGroup
      self.page = page
    }

    /// `file: column "name", row group 0, page 1`, as far as they are known.
    public var description: String {
      let parts = [
        column.map { "column \"\($0)\"" }, rowGroup.map { "row group \($0)" },
        page.map { "page \($0)" },
      ].compactMap(\.self)
      return parts.isEmpty ? file : "\(file): " + parts.joined(separator: ", ")
    }
  }

  /// The kind, to match on.
  public let code: Code
  /// For people: what is wrong, then a semicolon and what to do; without the place.
  public let message: String
  /// Where.
  public let place: Place
  /// The failed call, for ``Code/file``.
  public let cause: FileError?

  init(_ code: Code, _ message: String, at place: Place) {
    self.code = code
    self.message = message
    self.place = place
    cause = nil
  }

  init(_ fault: Fault, at place: Place) {
    self.init(fault.code, fault.message, at: place)
  }

  init(_ cause: FileError, at place: Place) {
    code = .file
    message = cause.message
    self.place = place
    self.cause = cause
  }

  /// The one line to show.
  public var description: String {
    // A failed call names its path itself.
    let line = cause == nil ? "\(place): \(message)" : message
    return String(line.map { $0.isNewline ? " " : $0 })
  }
}

/// A problem whose place the caller knows.
struct Fault: Error {
  let code: ParquetError.Code
  let message: String

  init(_ code: ParquetError.Code, _ message: String) {
    self.code = code
    self.message = message
  }

  /// The file is damaged.
  static func damaged(_ what: String) -> Fault {
    Fault(.malformed, "\(what); the file is damaged: have it written again")
  }
}
