/// Why a row is rejected.
struct RowFault {
  /// The kinds of fault, in the order in which they are looked for.
  enum Reason {
    case ragged
    case invalidText
    case missingIdentifier
    case notANumber
    case notFinite
    case notBinary
    case undeclaredCategory
  }

  let reason: Reason
  /// The field at fault, or nil for the whole row.
  let field: Int?

  /// Whether the row has its fields, and one of their values is at fault.
  var isAboutValue: Bool {
    switch reason {
    case .ragged, .invalidText, .missingIdentifier: false
    case .notANumber, .notFinite, .notBinary, .undeclaredCategory: true
    }
  }

  /// The one of two faults that comes first in the order of the file; this one where both do.
  func first(before other: RowFault?) -> RowFault {
    guard let other, other.field ?? .max < field ?? .max else { return self }
    return other
  }

  /// What is wrong, in words without values.
  ///
  /// - Parameters:
  ///   - header: Names the column.
  ///   - fieldCount: How many fields the row has.
  /// - Returns: The words, without a remedy.
  func problem(_ header: TableHeader, fieldCount: Int) -> String {
    let column = field.map { "column \"\(columnName($0, header))\"" } ?? "the row"
    return switch reason {
    case .ragged: "the row has \(fieldCount) fields, the header \(header.names.count)"
    case .invalidText: "\(column) is not UTF-8"
    case .missingIdentifier: "\(column) is missing, but tells rows apart"
    case .notANumber: "\(column) is not a number"
    case .notFinite: "\(column) is NaN or infinite"
    case .notBinary: "\(column) is neither of its two values"
    case .undeclaredCategory: "\(column) is not one of its declared categories"
    }
  }

  /// The fault as an error.
  ///
  /// - Parameters:
  ///   - header: Names the column and the table.
  ///   - fieldCount: How many fields the row has.
  ///   - place: Where the field, or the row, begins.
  /// - Returns: The error.
  func error(
    _ header: TableHeader, fieldCount: Int, at place: DataError.Location
  ) -> DataError {
    let problem = problem(header, fieldCount: fieldCount)
    return DataError(code, "\(problem); \(remedy)", at: place)
  }

  private func columnName(_ field: Int, _ header: TableHeader) -> String {
    field < header.names.count ? header.names[field] : "number \(field + 1)"
  }

  private var code: DataError.Code {
    switch reason {
    case .ragged: .raggedRow
    case .invalidText: .invalidText
    case .missingIdentifier: .missingIdentifier
    case .notANumber: .notANumber
    case .notFinite: .notFinite
    case .notBinary, .undeclaredCategory: .undeclaredValue
    }
  }

  private var remedy: String {
    switch reason {
    case .ragged, .invalidText, .missingIdentifier:
      "correct the row"
    case .notANumber, .notFinite, .notBinary:
      "correct it"
    case .undeclaredCategory:
      "declare it, declare other: true"
    }
  }
}

/// A rejected row: why, and where.
struct RejectedRow {
  let fault: RowFault
  /// How many fields the row has.
  let fieldCount: Int
  /// The physical line in which the field at fault begins, or the row; counted as its reader does.
  ///
  /// In a Parquet file the row's number, from 1.
  var line: Int
  /// Where in that line, from 1.
  let column: Int

  /// The place of a fault in a record.
  init(_ fault: RowFault, in record: RecordView) {
    self.fault = fault
    fieldCount = record.fieldCount
    (line, column) = record.place(ofField: fault.field)
  }

  /// The row as an error.
  ///
  /// - Parameter header: Names the column and the table.
  /// - Returns: The error.
  func error(_ header: TableHeader) -> DataError {
    fault.error(header, fieldCount: fieldCount, at: place(header))
  }

  /// Where the row is.
  ///
  /// - Parameter header: Names the table.
  /// - Returns: Its line and the place in it, or its number in a Parquet file.
  func place(_ header: TableHeader) -> DataError.Location {
    header.hasLines
      ? .init(file: header.table, line: line, column: column)
      : .init(file: header.table, row: line)
  }
}
