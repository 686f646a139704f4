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

  /// The fault as an error, at its place.
  ///
  /// - Parameters:
  ///   - header: Names the column.
  ///   - reader: At the row.
  /// - Returns: The error.
  func error(_ header: TableHeader, _ reader: CSVReader) -> DataError {
    let problem = problem(header, fieldCount: reader.fieldCount)
    return DataError(code, "\(problem); \(remedy)", at: reader.location(ofField: field))
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
