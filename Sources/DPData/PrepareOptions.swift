/// How a table is read, split and checked.
public struct PrepareOptions: Sendable {
  /// The byte between fields: ASCII, not a quote or a line end.
  ///
  /// Unless set a comma, or a tabulator where a table's name ends in `.tsv` or `.tab` (before `.gz` or
  /// `.zst`).
  public var delimiter: UInt8?
  /// The names of the columns of tables that have no header, or nil where each has one.
  ///
  /// A first record that says the same is passed over: of the pieces that a cluster cuts a table into,
  /// one begins with the header.
  public var columns: [String]?
  /// How many threads work at most, at least 1; nil for as many as there are processors.
  ///
  /// Nothing that is made depends on it.
  public var threads: Int?
  /// The fraction of raw rows that go to the test split, in [0, 1).
  ///
  /// 0.2 unless set.
  public var testFraction = 0.2
  /// Another key gives another split; public, not a secret.
  ///
  /// 0 unless set.
  public var splitKey = 0
  /// How many rejected rows are tolerated.
  ///
  /// 0 unless set.
  public var maxRejected = 0
  /// A CSV file (`file,line,column,reason`) for the rejected rows, or nil.
  ///
  /// It holds no values, and only its owner can read it. It is written also when the preparation
  /// fails for them: then it is what was asked for, and lists all of them.
  public var rejects: String?
  /// Whether an existing ``rejects`` file may be replaced.
  public var overwrite = false
  /// The name of the source of the data, or nil for the first table's base name without extensions.
  public var source: String?
  /// What the schema's values for missing ones were estimated by, to be recorded; nil where they
  /// were declared.
  public var imputation: Provenance.Imputation?
  /// The size of the blocks that a cluster's tasks read, or nil for one that fits the tables; tests
  /// lower it.
  package var blockSize: Int?
  /// Bytes that are asked of a table at a time; tests lower it.
  package var chunkSize = 1 << 17
  /// Rows of a Parquet table that are read at a time at most; tests lower it.
  package var batchRows = 1 << 13
  /// Bytes of encoded rows that a thread may have ready before their turn; tests lower it.
  package var waitingBytes = 32 << 20
  /// Whether common rows are encoded by the loop in C, or column by column in a
  /// Parquet table; tests switch it off.
  package var usesRowPlan = true
  /// The variant of the scan, or nil for the processor's best; tests choose.
  package var scanVariant: Int?

  /// Whether the processor has a variant of the scan.
  package static func hasScanVariant(_ index: Int) -> Bool { TableScanLoop(variant: index) != nil }

  /// The options' usual values.
  public init() {}

  /// Checks the options that have a range.
  ///
  /// - Throws: ``DataError`` `invalidOption`.
  package func check() throws(DataError) {
    guard testFraction >= 0, testFraction < 1 else {
      throw DataError(
        .invalidOption, "the test fraction is \(testFraction); it must be at least 0 and below 1")
    }
    guard threads ?? 1 >= 1 else {
      throw DataError(.invalidOption, "threads is \(threads ?? 0); it must be at least 1")
    }
    guard maxRejected >= 0 else {
      throw DataError(
        .invalidOption,
        "the number of tolerated rejected rows is \(maxRejected); it must be 0 or more")
    }
  }
}

/// How far a preparation is.
public struct PrepareProgress: Sendable {
  /// Bytes read so far, over all tables.
  public let bytesRead: Int
  /// Bytes of all tables, or nil where one has no length (a pipe).
  public let totalBytes: Int?
  /// Raw rows read so far.
  public let rowsRead: Int
}
