internal import DPData

/// Why a row is rejected, as the job that prepares the rows writes it down.
///
/// A row's status is 0 where it is kept, 1 where a value is missing, 2 where the schema's condition leaves
/// it out, 3 where its unit has its share; a rejected row has 8 and more: 16 for each place of the column
/// at fault among those that are read (from 1; 0 for the row as a whole), 8, and the reason.
enum RejectReason: Int {
  case ragged
  case invalidText
  case missingIdentifier
  case notANumber
  case notFinite
  case notBinary
  case undeclaredCategory

  /// The statuses below those of rejected rows.
  enum Status {
    static let kept = 0
    static let missing = 1
    static let filtered = 2
    static let bounded = 3
    static let rejected = 8
  }

  /// The status of a row that is rejected for a field, or as a whole.
  func status(_ field: FieldSQL?) -> Int {
    16 * (field.map { $0.index + 1 } ?? 0) + Status.rejected + rawValue
  }

  /// What is wrong, in words without values, and what to do.
  ///
  /// - Parameter column: The name of the column at fault.
  /// - Returns: The words.
  func problem(_ column: String?) -> (problem: String, remedy: String) {
    let place = column.map { "column \"\($0)\"" } ?? "the row"
    return switch self {
    case .ragged: ("the row has another number of fields than the header", "correct the row")
    case .invalidText: ("\(place) is not UTF-8", "correct the row")
    case .missingIdentifier: ("\(place) is missing, but tells rows apart", "correct the row")
    case .notANumber: ("\(place) is not a number", "correct it")
    case .notFinite: ("\(place) is NaN or infinite", "correct it")
    case .notBinary: ("\(place) is neither of its two values", "correct it")
    case .undeclaredCategory:
      ("\(place) is not one of its declared categories", "declare it, declare other: true")
    }
  }

  /// The kind of error.
  var code: DataError.Code {
    switch self {
    case .ragged: .raggedRow
    case .invalidText: .invalidText
    case .missingIdentifier: .missingIdentifier
    case .notANumber: .notANumber
    case .notFinite: .notFinite
    case .notBinary, .undeclaredCategory: .undeclaredValue
    }
  }
}
