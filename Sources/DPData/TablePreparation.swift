internal import DPFiles
internal import Foundation

extension Dataset {
  /// Reads tables into a dataset in memory.
  ///
  /// Rows are encoded by the schema alone. The training split keeps a slot for every raw row that
  /// falls into it, also for rows that are missing or rejected, so making a row invalid changes
  /// neither n nor the place, split or encoding of any other row. Nothing is written, except the
  /// rejects file where one is asked for.
  ///
  /// | row | counted as | in the training split | in the test split |
  /// |---|---|---|---|
  /// | every value allowed or imputed | kept | an example | an example |
  /// | no label, or a missing value under policy drop | missing | a slot of zeros, no label | nothing |
  /// | the schema's condition on rows does not hold | filtered | a slot of zeros, no label | nothing |
  /// | as many examples of its unit before it as the schema allows | bounded | a slot of zeros, no label | an example |
  /// | another number of fields, invalid UTF-8, a value not allowed, no id or unit | rejected | a slot of zeros, no label | nothing |
  ///
  /// - Parameters:
  ///   - tables: CSV files, each with a header; rows are counted on from one to the next.
  ///   - schema: The declared facts.
  ///   - options: How to read, split and check.
  ///   - onMessage: Gets lines for the operator.
  ///   - onProgress: Called about once per MiB; what it throws ends the preparation.
  /// - Returns: The dataset, and what was found, which is for the operator only.
  /// - Throws: ``FileError`` where a table cannot be read or the rejects file not be written.
  ///   ``DataError`` at the first rejected row where there are more than
  ///   ``PrepareOptions/maxRejected``; `unclosedQuote`, `emptyFile`, `noRows`, `missingLabel`,
  ///   `missingColumn`, `duplicateColumn` for a table; `degenerateLabel` where the training examples
  ///   have one class only; `invalidOption`.
  /// - Complexity: O(bytes) time; memory for the encoded rows twice.
  public static func prepare(
    tables: [String], schema: Schema, options: PrepareOptions = .init(),
    onMessage: (String) -> Void = { _ in },
    onProgress: (PrepareProgress) throws -> Void = { _ in }
  ) throws -> (dataset: Dataset, report: PrepareReport) {
    try options.check()
    guard schema.estimatedColumns.isEmpty else { throw PaidImputation.unresolved(schema) }
    return try withoutActuallyEscaping(onMessage) { onMessage in
      try withoutActuallyEscaping(onProgress) { onProgress in
        let context = PreparationContext(
          tables: tables, schema: schema, options: options, onMessage: onMessage,
          onProgress: onProgress)
        return switch DatasetFormat.featureType(of: schema) {
        case .u8: try TablePreparation<UInt8>(context).run()
        default: try TablePreparation<Float>(context).run()
        }
      }
    }
  }
}

/// What a preparation is asked to do.
struct PreparationContext {
  let tables: [String]
  let schema: Schema
  let options: PrepareOptions
  let onMessage: (String) -> Void
  let onProgress: (PrepareProgress) throws -> Void
}

/// One run over the tables, with features stored as `Element`.
private final class TablePreparation<Element: FeatureElement> {
  private let context: PreparationContext
  private let trainFeatures: RowStore<Element>
  private let testFeatures: RowStore<Element>
  private var trainLabels: LabelStore
  private var testLabels: LabelStore
  private var split: RowSplit
  private var rejects: RejectsFile?
  private var totalBytes: Int?
  private var inputs: [Provenance.Input] = []
  private var bytesRead = 0
  private var rowsRead = 0
  private var rowsMissing = 0
  private var rowsRejected = 0
  private var rowsFiltered = 0
  private var rowsBounded = 0
  private var unitBound: UnitBound?
  private var trainExamples = 0
  private var firstFault: DataError?
  private var classes = ClassWatch()

  init(_ context: PreparationContext) {
    self.context = context
    let features = context.schema.features
    trainFeatures = RowStore(features: features)
    testFeatures = RowStore(features: features)
    let labelType = DatasetFormat.labelType(of: context.schema)
    trainLabels = LabelStore(labelType)
    testLabels = LabelStore(labelType)
    split = RowSplit(key: context.options.splitKey, testFraction: context.options.testFraction)
    unitBound = context.schema.maxRowsPerUnit.map(UnitBound.init)
  }

  func run() throws -> (dataset: Dataset, report: PrepareReport) {
    let start = ContinuousClock.now
    try checkInputs()
    for table in context.tables { try read(table) }
    if let rejects = rejects.take() { try rejects.commit() }
    if rowsRejected > context.options.maxRejected, let firstFault { throw firstFault }
    try checkClasses()
    let dataset = try makeDataset()
    return (dataset, report(seconds: (ContinuousClock.now - start) / .seconds(1)))
  }

  private func checkInputs() throws {
    guard !context.tables.isEmpty else {
      throw DataError(.invalidOption, "no table is named; name at least one")
    }
    var total: Int? = 0
    for table in context.tables {
      let size = try InputFile.size(ofFileAt: table)
      total = total.flatMap { sum in size.map { sum + $0 } }
    }
    totalBytes = total
    if let path = context.options.rejects {
      rejects = try RejectsFile(path: path, overwrite: context.options.overwrite)
    }
  }

  private func read(_ table: String) throws {
    let reader = try CSVReader(
      path: table, delimiter: context.options.delimiter, chunkSize: context.options.chunkSize)
    let header = try TableHeader(
      reader, schema: context.schema, purpose: .preparation, onMessage: context.onMessage)
    let encoder = RowEncoder(schema: context.schema, header: header, withLabel: true)
    let splitField = context.schema.splitColumn.flatMap(header.field)
    let unitField = context.schema.unit.flatMap(header.field)
    let identifiers = [context.schema.unit, context.schema.id].compactMap { $0 }
      .compactMap(header.field)
    let firstRow = rowsRead
    var reported = 0
    while try reader.next() {
      if reader.bytesRead != reported {
        reported = reader.bytesRead
        try context.onProgress(
          .init(bytesRead: bytesRead + reported, totalBytes: totalBytes, rowsRead: rowsRead))
      }
      let record = reader.record
      let isTest = isTest(record, encoder, splitField)
      rowsRead += 1
      if let fault = add(record, encoder, identifiers, unitField, isTest: isTest) {
        try reject(RejectedRow(fault, in: record), header)
      }
    }
    guard rowsRead > firstRow else {
      throw DataError(
        .noRows, "the table has a header and no rows; add rows",
        at: .init(file: table, line: 1, column: 1))
    }
    bytesRead += reader.bytesRead
    inputs.append(.init(name: table.baseName, bytes: reader.bytesRead))
    try context.onProgress(
      .init(bytesRead: bytesRead, totalBytes: totalBytes, rowsRead: rowsRead))
  }

  /// The split of the current row: by its unit where that can be read, else by its ordinal.
  private func isTest(_ record: RecordView, _ encoder: RowEncoder, _ field: Int?) -> Bool {
    if let field, field < record.fieldCount {
      let bytes = unsafe record.trimmedField(field)
      if unsafe !encoder.isMissing(bytes), unsafe bytes.isValidUTF8 {
        return unsafe split.isTest(unit: bytes)
      }
    }
    return split.isTest(ordinal: rowsRead)
  }

  /// Encodes the current row into its split.
  ///
  /// Returns why it is rejected, or nil.
  private func add(
    _ record: RecordView, _ encoder: RowEncoder, _ identifiers: [Int], _ unitField: Int?,
    isTest: Bool
  ) -> RowFault? {
    let store = isTest ? testFeatures : trainFeatures
    let row = unsafe store.appendZeros()
    var label = 0.0
    var encoding: RowEncoding
    if let fault = encoder.wholeRowFault(record) {
      encoding = .rejected(fault)
    } else if let field = missingIdentifier(record, encoder, identifiers) {
      encoding = .rejected(RowFault(reason: .missingIdentifier, field: field))
    } else {
      encoding = unsafe encoder.encode(record, into: row, label: &label)
    }
    switch encoding {
    case .kept where isTest || isWithinBound(record, unitField):
      keep(label, isTest: isTest)
      return nil
    case .kept:
      rowsBounded += 1
      leaveOut(store, isTest: isTest)
      return nil
    case .filtered:
      rowsFiltered += 1
      leaveOut(store, isTest: isTest)
      return nil
    case .missing:
      rowsMissing += 1
      leaveOut(store, isTest: isTest)
      return nil
    case .rejected(let fault):
      leaveOut(store, isTest: isTest)
      return fault
    }
  }

  /// Whether the unit of a training row, which could be an example, has room for it.
  private func isWithinBound(_ record: RecordView, _ unitField: Int?) -> Bool {
    guard let unitField else { return true }
    return unsafe unitBound?.admits(record.trimmedField(unitField)) ?? true
  }

  private func missingIdentifier(
    _ record: RecordView, _ encoder: RowEncoder, _ identifiers: [Int]
  ) -> Int? {
    identifiers.first { unsafe encoder.isMissing(record.trimmedField($0)) }
  }

  private func keep(_ label: Double, isTest: Bool) {
    if isTest {
      testLabels.append(label)
    } else {
      trainLabels.append(label)
      trainExamples += 1
      classes.see(label)
    }
  }

  /// The row contributes nothing; in the training split its slot stays.
  private func leaveOut(_ store: RowStore<Element>, isTest: Bool) {
    if isTest {
      store.removeLast()
    } else {
      store.clearLast()
      trainLabels.append(nil)
    }
  }

  private func reject(_ row: RejectedRow, _ header: TableHeader) throws {
    rowsRejected += 1
    let error = firstFault ?? row.error(header)
    firstFault = error
    try rejects?.write(row, header)
    // With a rejects file the reading goes on, so that it lists every such row.
    if rowsRejected > context.options.maxRejected, context.options.rejects == nil { throw error }
  }

  private func checkClasses() throws(DataError) {
    let schema = context.schema
    let place = context.tables.first.map { DataError.Location(file: $0) }
    guard trainExamples > 0 else {
      throw DataError(
        .degenerateLabel,
        "no training row has every value it needs; impute missing values or lower the test fraction",
        at: place)
    }
    if case .numeric = schema.labelKind { return }
    guard classes.areSeveral else {
      throw DataError(
        .degenerateLabel,
        "the label \"\(schema.label)\" has one class only in the training rows;"
          + " add rows of another class or choose another label",
        at: place)
    }
  }

  private func makeDataset() throws -> Dataset {
    let layout = try DatasetFormat.layout(
      schema: context.schema, provenance: provenance, trainRows: trainFeatures.count,
      testRows: testFeatures.count)
    let bytes = unsafe MappedBytes(count: layout.byteCount) { memory in
      unsafe memory.copyBytes(from: layout.header)
      for tensor in layout.tensors {
        let target = unsafe UnsafeMutableRawBufferPointer(rebasing: memory[tensor.range])
        switch tensor.name {
        case "x_train": unsafe trainFeatures.copy(to: target)
        case "x_test": unsafe testFeatures.copy(to: target)
        case "y_train": unsafe trainLabels.copy(to: target)
        default: unsafe testLabels.copy(to: target)
        }
      }
    }
    return try Dataset(bytes, name: provenance.source)
  }

  private var provenance: Provenance {
    Provenance(
      source: context.options.sourceName(of: context.tables),
      inputs: inputs, rowsRead: rowsRead, splitKey: context.options.splitKey,
      testFraction: context.options.testFraction, trainRows: trainFeatures.count,
      featureNames: context.schema.featureNames, fastdpVersion: Version.current,
      imputation: context.options.imputation)
  }

  private func report(seconds: Double) -> PrepareReport {
    PrepareReport(
      rowsRead: rowsRead,
      rowsKept: rowsRead - rowsMissing - rowsRejected - rowsFiltered - rowsBounded,
      rowsMissing: rowsMissing, rowsRejected: rowsRejected, rowsFiltered: rowsFiltered,
      rowsBounded: rowsBounded, trainRows: trainFeatures.count,
      trainExamples: trainExamples, testExamples: testFeatures.count,
      features: context.schema.features, bytesRead: bytesRead, seconds: seconds)
  }
}

/// Whether labels of more than one class were seen.
private struct ClassWatch {
  private var first: Double?
  private(set) var areSeveral = false

  mutating func see(_ label: Double) {
    if let first {
      areSeveral = areSeveral || label != first
    } else {
      first = label
    }
  }
}

extension PrepareOptions {
  /// The name of the source of tables: the one that is set, or the first table's.
  ///
  /// - Parameter tables: Paths.
  /// - Returns: The name that privacy charges are accounted under.
  public func sourceName(of tables: [String]) -> String {
    source ?? tables.first?.sourceName ?? ""
  }
}

extension String {
  /// The last part of a path.
  fileprivate var baseName: String {
    lastIndex(of: "/").map { String(self[index(after: $0)...]) } ?? self
  }

  /// The last part of a path, up to its first point that does not begin it.
  fileprivate var sourceName: String {
    let name = baseName
    guard let start = name.firstIndex(where: { $0 != "." }),
      let point = name[start...].firstIndex(of: ".")
    else { return name }
    return String(name[..<point])
  }
}
