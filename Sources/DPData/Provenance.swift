internal import Foundation

/// Where a dataset came from: what may be told about it without telling about any row.
///
/// It holds no count of kept, missing or rejected rows: those depend on the cells.
public struct Provenance: Codable, Hashable, Sendable {
  /// A table that was read.
  public struct Input: Codable, Hashable, Sendable {
    /// The file's base name, without folders.
    public let name: String
    /// Its size in bytes.
    public let bytes: Int

    /// A table.
    ///
    /// - Parameters:
    ///   - name: The file's base name.
    ///   - bytes: Its size in bytes.
    public init(name: String, bytes: Int) {
      self.name = name
      self.bytes = bytes
    }
  }

  /// The name of the source of the data, which privacy charges are accounted under.
  public let source: String
  /// The tables, in the order in which their rows were counted.
  public let inputs: [Input]
  /// Raw rows in all tables.
  public let rowsRead: Int
  /// What the split was made with.
  public let splitKey: Int
  /// The fraction of rows that the test split was to have.
  public let testFraction: Double
  /// Raw rows in the training split: n.
  public let trainRows: Int
  /// The features' names, in order.
  public let featureNames: [String]
  /// The version of fastDP that made the dataset.
  public let fastdpVersion: String
  /// What was released of the rows to replace missing values; nil where nothing was.
  public var imputation: Imputation?

  /// Values that were estimated from the rows by ``PaidImputation``: released, so no secret.
  public struct Imputation: Codable, Hashable, Sendable {
    /// The value of one column.
    public struct Value: Codable, Hashable, Sendable {
      /// The column's name.
      public let column: String
      /// What it is an estimate of.
      public let estimate: Schema.Estimate
      /// The value, as a table would have it.
      public let value: String
    }

    /// σ of the one release that all values were computed from.
    public let noiseMultiplier: Double
    /// The values, in the order of the columns.
    public let values: [Value]
  }

  /// Where a dataset came from.
  ///
  /// - Parameters:
  ///   - source: The name of the source of the data.
  ///   - inputs: The tables, in the order in which their rows were counted.
  ///   - rowsRead: Raw rows in all tables.
  ///   - splitKey: What the split was made with.
  ///   - testFraction: The fraction of rows that the test split was to have.
  ///   - trainRows: Raw rows in the training split.
  ///   - featureNames: The features' names, in order.
  ///   - fastdpVersion: The version of fastDP that made the dataset.
  ///   - imputation: What was released of the rows to replace missing values.
  package init(
    source: String, inputs: [Input], rowsRead: Int, splitKey: Int, testFraction: Double,
    trainRows: Int, featureNames: [String], fastdpVersion: String, imputation: Imputation? = nil
  ) {
    self.source = source
    self.inputs = inputs
    self.rowsRead = rowsRead
    self.splitKey = splitKey
    self.testFraction = testFraction
    self.trainRows = trainRows
    self.featureNames = featureNames
    self.fastdpVersion = fastdpVersion
    self.imputation = imputation
  }

  /// The same with zeros for what is known only after the tables were read.
  var withoutNumbers: Provenance {
    Provenance(
      source: source, inputs: inputs.map { .init(name: $0.name, bytes: 0) }, rowsRead: 0,
      splitKey: splitKey, testFraction: testFraction, trainRows: 0, featureNames: featureNames,
      fastdpVersion: fastdpVersion, imputation: imputation)
  }
}

/// What preparing a table found: for the operator, since most of it depends on the cells.
public struct PrepareReport: Codable, Hashable, Sendable {
  /// Raw rows in all tables.
  public let rowsRead: Int
  /// Rows that became examples.
  public let rowsKept: Int
  /// Rows without a label, or with a missing value in a column that drops them.
  public let rowsMissing: Int
  /// Rows with a value or a form that the schema does not allow.
  public let rowsRejected: Int
  /// Rows for which the schema's condition on rows does not hold.
  public let rowsFiltered: Int
  /// Training rows beyond what the schema allows of their unit.
  public let rowsBounded: Int
  /// Raw rows in the training split: n.
  public let trainRows: Int
  /// Kept rows in the training split.
  public let trainExamples: Int
  /// Kept rows in the test split, which are all of its rows.
  public let testExamples: Int
  /// Features per row.
  public let features: Int
  /// Bytes of all tables.
  public let bytesRead: Int
  /// Wall-clock time.
  public let seconds: Double

  /// What preparing a table found.
  ///
  /// - Parameters:
  ///   - rowsRead: Raw rows in all tables.
  ///   - rowsKept: Rows that became examples.
  ///   - rowsMissing: Rows that lack a value they need.
  ///   - rowsRejected: Rows with a value or a form that the schema does not allow.
  ///   - rowsFiltered: Rows for which the schema's condition on rows does not hold.
  ///   - rowsBounded: Training rows beyond what the schema allows of their unit.
  ///   - trainRows: Raw rows in the training split.
  ///   - trainExamples: Kept rows in the training split.
  ///   - testExamples: Kept rows in the test split.
  ///   - features: Features per row.
  ///   - bytesRead: Bytes of all tables.
  ///   - seconds: Wall-clock time.
  package init(
    rowsRead: Int, rowsKept: Int, rowsMissing: Int, rowsRejected: Int, rowsFiltered: Int,
    rowsBounded: Int, trainRows: Int, trainExamples: Int, testExamples: Int, features: Int,
    bytesRead: Int, seconds: Double
  ) {
    self.rowsRead = rowsRead
    self.rowsKept = rowsKept
    self.rowsMissing = rowsMissing
    self.rowsRejected = rowsRejected
    self.rowsFiltered = rowsFiltered
    self.rowsBounded = rowsBounded
    self.trainRows = trainRows
    self.trainExamples = trainExamples
    self.testExamples = testExamples
    self.features = features
    self.bytesRead = bytesRead
    self.seconds = seconds
  }
}
