/// A Spark that is not there, refuses, or fails.
public struct SparkError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The exit status that says of what kind it is, after sysexits.h: 64 to 74, or 130.
  public let status: Int32
  /// Spark's name of the problem (`PATH_NOT_FOUND`), where it has one.
  public let condition: String?
  /// For people: what is wrong, then a semicolon and what to do, in one line.
  public let message: String

  /// An error.
  ///
  /// - Parameters:
  ///   - status: The exit status.
  ///   - condition: Spark's name of the problem.
  ///   - message: What is wrong; what to do.
  public init(_ status: Int32, condition: String? = nil, _ message: String) {
    self.status = status
    self.condition = condition
    self.message = String(message.map { $0.isNewline ? " " : $0 })
  }

  /// The one line to show.
  public var description: String { message }
}

/// A value of a small result.
public enum SparkValue: Equatable, Sendable, Decodable {
  /// No value.
  case null
  /// A truth value.
  case bool(Bool)
  /// An integer.
  case integer(Int)
  /// A number.
  case number(Double)
  /// A text, or whatever else comes as one.
  case text(String)

  /// Reads a value of JSON.
  ///
  /// - Parameter decoder: At a scalar.
  /// - Throws: Where it is an object or array.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if container.decodeNil() {
      self = .null
    } else if let value = try? container.decode(Bool.self) {
      self = .bool(value)
    } else if let value = try? container.decode(Int.self) {
      self = .integer(value)
    } else if let value = try? container.decode(Double.self) {
      self = .number(value)
    } else {
      self = .text(try container.decode(String.self))
    }
  }
}

/// A row of a small result, whose values are read by their place.
struct SparkRow {
  let values: [SparkValue]

  func integer(_ index: Int) throws(SparkError) -> Int {
    if index < values.count, case .integer(let value) = values[index] { return value }
    throw unexpected
  }

  func text(_ index: Int) throws(SparkError) -> String {
    if index < values.count, case .text(let value) = values[index] { return value }
    throw unexpected
  }

  func bool(_ index: Int) throws(SparkError) -> Bool {
    if index < values.count, case .bool(let value) = values[index] { return value }
    throw unexpected
  }

  /// A number of any kind; nil for none.
  func number(_ index: Int) -> Double? {
    guard index < values.count else { return nil }
    return switch values[index] {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }

  private var unexpected: SparkError {
    SparkError(70, "Spark answered with other columns than were asked for; please report it")
  }
}

/// What runs SQL on a Spark.
public protocol SparkExecutor: AnyObject {
  /// Runs a query and takes its rows, of which there are few.
  ///
  /// - Parameters:
  ///   - sql: One statement.
  ///   - title: What it is for, in a few words.
  /// - Returns: The rows.
  /// - Throws: ``SparkError``.
  func query(_ sql: String, title: String) throws(SparkError) -> [[SparkValue]]

  /// Runs a statement that writes or sets something.
  ///
  /// - Parameters:
  ///   - sql: One statement.
  ///   - title: What it is for, in a few words.
  /// - Throws: ``SparkError``.
  func command(_ sql: String, title: String) throws(SparkError)
}

extension SparkExecutor {
  /// Runs a query over files that may not be there.
  ///
  /// - Parameters:
  ///   - sql: One statement.
  ///   - title: What it is for.
  /// - Returns: The rows, or nil where the path does not exist.
  /// - Throws: ``SparkError`` for any other reason.
  func rows(_ sql: String, title: String) throws(SparkError) -> [[SparkValue]]? {
    do throws(SparkError) {
      return try query(sql, title: title)
    } catch {
      guard error.condition == "PATH_NOT_FOUND" else { throw error }
      return nil
    }
  }
}
