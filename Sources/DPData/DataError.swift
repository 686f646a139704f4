/// Input data, or a description of it, that cannot be used.
///
/// `description` is one line, `file:line:column: message; remedy` (`file: row 17: ...` for a row of a
/// Parquet file). It names columns and rows, and
/// never the value of a cell.
public struct DataError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What kind of problem this is: a struct, so that kinds can be added later.
  public struct Code: Hashable, Sendable, CustomStringConvertible {
    private enum Storage {
      case emptyFile
      case noRows
      case malformedTable
      case unclosedQuote
      case invalidText
      case raggedRow
      case missingColumn
      case missingLabel
      case duplicateColumn
      case missingIdentifier
      case notANumber
      case notFinite
      case undeclaredValue
      case degenerateLabel
      case malformedSchema
      case malformedDataset
      case invalidOption
    }
    private let storage: Storage

    /// The table has no bytes, or no header.
    public static let emptyFile = Code(storage: .emptyFile)
    /// The table has a header and no rows.
    public static let noRows = Code(storage: .noRows)
    /// The table is larger in some part than a reader can hold.
    public static let malformedTable = Code(storage: .malformedTable)
    /// A quoted field has no closing quote.
    public static let unclosedQuote = Code(storage: .unclosedQuote)
    /// Bytes are not UTF-8.
    public static let invalidText = Code(storage: .invalidText)
    /// A row has another number of fields than the header.
    public static let raggedRow = Code(storage: .raggedRow)
    /// Columns of the schema are not in the header.
    public static let missingColumn = Code(storage: .missingColumn)
    /// The label column is not in the header.
    public static let missingLabel = Code(storage: .missingLabel)
    /// A column that is used is in the header twice.
    public static let duplicateColumn = Code(storage: .duplicateColumn)
    /// A row has no value in the id or unit column.
    public static let missingIdentifier = Code(storage: .missingIdentifier)
    /// Text in a numeric column.
    public static let notANumber = Code(storage: .notANumber)
    /// NaN or infinity in a numeric column.
    public static let notFinite = Code(storage: .notFinite)
    /// A value that a binary or categorical column does not declare.
    public static let undeclaredValue = Code(storage: .undeclaredValue)
    /// The training rows have one class only, or none.
    public static let degenerateLabel = Code(storage: .degenerateLabel)
    /// The schema's text or its facts are wrong.
    public static let malformedSchema = Code(storage: .malformedSchema)
    /// The file is no dataset file, or a damaged one.
    public static let malformedDataset = Code(storage: .malformedDataset)
    /// An option is outside its range.
    public static let invalidOption = Code(storage: .invalidOption)

    /// The name of the kind, as in the source.
    public var description: String { "\(storage)" }
  }

  /// A place in a file: a text's line, or a Parquet table's row.
  public struct Location: Hashable, Sendable, CustomStringConvertible {
    /// The path, as the caller gave it.
    public let file: String
    /// Physical line from 1: each LF, CRLF or lone CR ends one, also between quotes.
    ///
    /// Nil for the file as a whole.
    public let line: Int?
    /// Position in the line from 1: bytes in a table (a byte-order mark is not counted),
    /// characters in a schema.
    public let column: Int?
    /// The row of a Parquet file, from 1, in the order of the file; nil for a text.
    public let row: Int?

    /// A place, or a file as a whole.
    ///
    /// - Parameters:
    ///   - file: The path, as the caller gave it.
    ///   - line: From 1, or nil.
    ///   - column: From 1, or nil.
    public init(file: String, line: Int? = nil, column: Int? = nil) {
      self.file = file
      self.line = line
      self.column = column
      row = nil
    }

    /// A row of a Parquet file.
    ///
    /// - Parameters:
    ///   - file: The path, as the caller gave it, or of the part file in the folder that was given.
    ///   - row: From 1.
    public init(file: String, row: Int) {
      self.file = file
      self.row = row
      line = nil
      column = nil
    }

    /// `file:line:column`, as far as they are known; `file: row 17` for a row.
    public var description: String {
      if let row { return "\(file): row \(row)" }
      return ([file] + [line, column].compactMap(\.self).map(String.init)).joined(separator: ":")
    }
  }

  /// The kind, to match on.
  public let code: Code
  /// For people: what is wrong, then a semicolon and what to do; without the place.
  public let message: String
  /// Where, if the problem has a place.
  public let location: Location?

  /// An error of the given kind.
  ///
  /// - Parameters:
  ///   - code: The kind, to match on.
  ///   - message: What is wrong; what to do. Line ends in it (a column's name may hold some) become
  ///     spaces.
  ///   - location: Where, if the problem has a place.
  package init(_ code: Code, _ message: String, at location: Location? = nil) {
    self.code = code
    self.message = String(message.map { $0.isNewline ? " " : $0 })
    self.location = location
  }

  /// The one line to show.
  public var description: String {
    let place = location.map { "\($0): " } ?? ""
    return String((place + message).map { $0.isNewline ? " " : $0 })
  }
}
