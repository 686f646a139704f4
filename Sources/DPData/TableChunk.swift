internal import CDPKernels
internal import DPFiles
internal import DPKernels

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// What the rows of one table are read with; the same for all its chunks.
final class TableContext: Sendable {
  /// The file's place among all files, and whether it is its table's last.
  let index: Int
  let part: TablePart
  let header: TableHeader
  let encoder: RowEncoder
  /// The fast way to encode common rows, where there is one.
  let plan: RowPlan?
  let tokenizer: CSVTokenizer
  /// The field whose value decides a row's split, or nil for its ordinal.
  let splitField: Int?
  /// Fields without which a row is rejected.
  let identifiers: [Int]
  /// The field of the unit, where units are bounded.
  let boundField: Int?
  /// The physical line that the first chunk begins in.
  let firstLine: Int

  init(
    index: Int, part: TablePart, header: TableHeader, schema: Schema, shape: RowShape,
    delimiter: UInt8,
    firstLine: Int, usesPlan: Bool
  ) {
    self.index = index
    self.part = part
    self.header = header
    self.firstLine = firstLine
    encoder = RowEncoder(schema: schema, header: header, withLabel: true)
    tokenizer = CSVTokenizer(delimiter: delimiter)
    splitField = schema.splitColumn.flatMap(header.field)
    boundField = schema.maxRowsPerUnit == nil ? nil : schema.unit.flatMap(header.field)
    identifiers = [schema.unit, schema.id].compactMap { $0 }.compactMap(header.field)
    plan =
      usesPlan && header.hasLines
      ? RowPlan(
        encoder, identifiers: identifiers, types: (shape.featureType, shape.labelType),
        delimiter: delimiter) : nil
  }
}

/// The types and sizes of encoded rows.
struct RowShape: Sendable {
  let features: Int
  let featureType: TensorType
  let labelType: TensorType

  init(_ schema: Schema) {
    features = schema.features
    featureType = DatasetFormat.featureType(of: schema)
    labelType = DatasetFormat.labelType(of: schema)
  }

  /// Bytes of a row's features.
  var rowBytes: Int { features * featureType.byteCount }
}

/// A piece of a table, and what became of its rows: of a text, from the beginning of a record to the end
/// of one, or a batch of a Parquet file.
///
/// One thread has it at a time: it is filled in the order of the tables, scanned and encoded by any
/// thread, and committed in order again.
@safe final class TableChunk {
  /// Bytes before and behind the text that the loops may touch.
  static let padding = Int(CDP_SCAN_PADDING)

  /// Its number, in the order of the tables.
  var ticket = 0
  var table: TableContext?
  /// The row group that is to be read, where the table is a Parquet file.
  var group: RowGroupPart?
  /// The rows' columns, where the table is a Parquet file; valid until they go on.
  var columns: ParquetEncoder?
  /// Whether it is the last one of its table.
  var isLast = false
  /// Bytes of the table's file that were read so far.
  var rawBytesRead = 0
  /// Where its rows go in the file that is being made.
  var placement = 0
  /// What was found behind it that ends the preparation.
  var failure: ChunkFailure?
  /// How many bytes of text it has.
  private(set) var count = 0
  /// How many rows it has.
  var recordCount = 0
  /// How many physical line ends it has.
  private(set) var lineCount = 0
  /// Rows that are rejected, their lines counted from the chunk's first, which is 0.
  private(set) var rejected: [RejectedRow] = []
  /// The rows that were kept, as text, where that was asked for.
  private(set) var cleaned: [UInt8] = []
  private(set) var cleanedRows = 0
  /// Rows for which the schema's condition does not hold.
  var filteredRows = 0
  /// Training rows beyond what the schema allows of their unit.
  private(set) var boundedRows = 0
  /// Training rows that could be examples, where units are bounded: record, slot and label.
  var candidates: [(record: Int, slot: Int, label: Double)] = []
  /// The units of the candidates, where the table is a Parquet file.
  var units: [[UInt8]] = []

  let shape: RowShape
  private var split: RowSplit
  private let scan: TableScanLoop
  private let fields = CSVFields()
  private let text = Scratch<UInt8>(capacity: 2 * padding)
  private let marks = Scratch<UInt32>()
  private let records = Scratch<cdp_record>()
  let splits = Scratch<UInt8>()
  let features = (train: Scratch<UInt64>(), test: Scratch<UInt64>())
  let labels = (train: Scratch<UInt32>(), test: Scratch<UInt32>())
  var work = unsafe cdp_row_work()
  private var hasQuotes = false
  /// How far line ends were counted for rejected rows.
  private var counted = (offset: 0, lines: 0)

  init(shape: RowShape, split: RowSplit, scan: TableScanLoop) {
    self.shape = shape
    self.split = split
    self.scan = scan
  }

  /// The text; valid until it grows.
  @unsafe private var bytes: UnsafeMutablePointer<UInt8> { unsafe text.base + Self.padding }

  // MARK: Filling

  /// Empties the chunk.
  func clear() {
    count = 0
    group = nil
    columns = nil
    isLast = false
    failure = nil
    recordCount = 0
    lineCount = 0
    rejected.removeAll()
    cleaned.removeAll(keepingCapacity: true)
    cleanedRows = 0
    filteredRows = 0
    boundedRows = 0
    candidates.removeAll(keepingCapacity: true)
    units.removeAll(keepingCapacity: true)
    unsafe work = unsafe cdp_row_work()
  }

  /// Adds bytes at the end.
  ///
  /// - Parameters:
  ///   - limit: How many at most.
  ///   - read: Writes some bytes and returns how many.
  /// - Returns: What `read` does.
  func append(
    upTo limit: Int, _ read: (UnsafeMutableRawBufferPointer) throws -> Int
  ) rethrows -> Int {
    text.reserve(count + limit + 2 * Self.padding, keeping: count + Self.padding)
    let added = unsafe try read(
      UnsafeMutableRawBufferPointer(start: bytes + count, count: limit))
    count += added
    return added
  }

  /// Takes bytes away from the end.
  ///
  /// - Parameters:
  ///   - cut: Where the text is to end.
  ///   - rest: Gets what lies behind.
  func cut(at cut: Int, _ rest: inout [UInt8]) {
    rest.removeAll(keepingCapacity: true)
    unsafe rest.append(contentsOf: UnsafeBufferPointer(start: bytes + cut, count: count - cut))
    count = cut
  }

  /// Where the last record ends of which it is certain, 0 where none does.
  ///
  /// - Parameter isWhole: Whether nothing follows; then a quote that is still open is an error.
  /// - Returns: The end, and the place of an open quote at the end of a whole text.
  func lastRecordEnd(isWhole: Bool) -> (cut: Int, openQuote: Int?) {
    let delimiter = table?.tokenizer.delimiter ?? 0
    let found = unsafe scan.lastRecordEnd(bytes, count, delimiter, isWhole: isWhole)
    return isWhole && found.openQuote == nil ? (count, nil) : found
  }

  /// The place of a byte, its line counted from the chunk's first, which is 0.
  func place(of offset: Int) -> (line: Int, column: Int) {
    let before = unsafe UnsafeBufferPointer(start: UnsafePointer(bytes), count: offset)[...]
    let start = unsafe LineEnds.lastStart(in: before) ?? 0
    return unsafe (LineEnds.count(in: before), offset - start + 1)
  }

  // MARK: Scanning and encoding

  /// Finds the records and their fields.
  func scanText() {
    marks.reserve(count + 64)
    records.reserve(count / 2 + 1)
    var result = cdp_scan_result()
    let delimiter = table?.tokenizer.delimiter ?? 0
    unsafe scan.run(bytes, count, delimiter, marks.base, records.base, &result)
    recordCount = result.records
    lineCount = result.lines
    hasQuotes = result.has_quotes != 0
    unsafe work.is_ascii = result.is_ascii
    counted = (0, 0)
  }

  /// Decides the split of every row and encodes all of them.
  ///
  /// - Parameter firstRow: The ordinal of the first row.
  func encode(firstRow: Int) {
    guard let table else { return }
    decideSplits(table, firstRow)
    makeRoom()
    if let columns, columns.isUsed { return encode(columns, table) }
    unsafe work.bytes = UnsafePointer(bytes)
    unsafe work.marks = UnsafePointer(marks.base)
    unsafe work.records = UnsafePointer(records.base)
    unsafe work.record_count = recordCount
    var row = 0
    while row < recordCount {
      if let plan = table.plan {
        row = unsafe plan.encode(&work, from: row)
        if row == recordCount { break }
      }
      switch shape.featureType {
      case .u8: encodeRow(row, table, as: UInt8.self)
      default: encodeRow(row, table, as: Float.self)
      }
      row += 1
    }
  }

  /// Makes room for the rows, all of which may be of one split.
  private func makeRoom() {
    let words = (recordCount * shape.rowBytes + 7) / 8 + 1
    features.train.reserve(words)
    features.test.reserve(words)
    labels.train.reserve(recordCount + 1)
    labels.test.reserve(recordCount + 1)
    unsafe work.splits = UnsafePointer(splits.base)
    unsafe work.rows.0 = cdp_rows(
      features: features.train.base, labels: labels.train.base, count: 0)
    unsafe work.rows.1 = cdp_rows(features: features.test.base, labels: labels.test.base, count: 0)
    unsafe work.least_label = .infinity
    unsafe work.largest_label = -.infinity
  }

  /// Writes the rows that are kept as text.
  ///
  /// - Parameter columns: The fields to write, and what stands for a missing value.
  func clean(_ columns: [CleanedColumn]) {
    guard let table else { return }
    features.train.reserve((shape.rowBytes + 7) / 8 + 1)
    for row in 0..<recordCount {
      let record = record(row)
      let encoding =
        switch shape.featureType {
        case .u8: encode(record, row, table, as: UInt8.self).encoding
        default: encode(record, row, table, as: Float.self).encoding
        }
      switch encoding {
      case .kept:
        cleanedRows += 1
        for (place, column) in columns.enumerated() {
          if place > 0 { cleaned.append(table.tokenizer.delimiter) }
          let bytes = unsafe record.trimmedField(column.field)
          unsafe CleanedColumn.append(
            bytes, missing: table.encoder.isMissing(bytes) ? column.imputed : nil,
            table.tokenizer.delimiter, to: &cleaned)
        }
        cleaned.append(0x0A)
      case .missing: unsafe work.missing += 1
      case .filtered: filteredRows += 1
      case .rejected(let fault): reject(fault, record, row)
      }
    }
  }

  /// Takes examples back whose unit has as many before them as it may have.
  ///
  /// - Parameter bound: Counts the units' rows; chunks are bounded in the order of the tables.
  func bound(by bound: inout UnitBound?) {
    guard let field = table?.boundField else { return }
    for (place, (record, slot, label)) in candidates.enumerated() {
      let isAdmitted =
        units.isEmpty
        ? unsafe bound?.admits(self.record(record).trimmedField(field)) ?? true
          // SAFETY: the buffer is read within the closure only.
        : unsafe units[place].withUnsafeBytes { unsafe bound?.admits($0) ?? true }
      if isAdmitted {
        countExample(label)
      } else {
        boundedRows += 1
        clearFeatures(ofSlot: slot)
        writeLabel(nil, isTest: false, row: slot)
      }
    }
  }

  /// Rows that have a missing value.
  var missingRows: Int { unsafe work.missing }
  /// Examples in the training split.
  var trainExamples: Int { unsafe work.train_examples }
  /// The least and largest label of the training examples, where there are any.
  var labelRange: (least: Double, largest: Double)? {
    trainExamples > 0 ? unsafe (work.least_label, work.largest_label) : nil
  }
  /// Slots of the training split, and rows of the test split.
  var rowCounts: (train: Int, test: Int) { unsafe (work.rows.0.count, work.rows.1.count) }

  /// Lends what was encoded; valid until the chunk is used again.
  @unsafe func encoded(_ part: DatasetPart) -> UnsafeRawBufferPointer {
    let rows = rowCounts
    return switch part {
    case .trainFeatures:
      unsafe UnsafeRawBufferPointer(start: features.train.base, count: rows.train * shape.rowBytes)
    case .testFeatures:
      unsafe UnsafeRawBufferPointer(start: features.test.base, count: rows.test * shape.rowBytes)
    case .trainLabels:
      unsafe UnsafeRawBufferPointer(
        start: labels.train.base, count: rows.train * shape.labelType.byteCount)
    case .testLabels:
      unsafe UnsafeRawBufferPointer(
        start: labels.test.base, count: rows.test * shape.labelType.byteCount)
    }
  }

  private func decideSplits(_ table: TableContext, _ firstRow: Int) {
    splits.reserve(recordCount + 1)
    let target = unsafe UnsafeMutableBufferPointer(start: splits.base, count: recordCount)
    guard let field = table.splitField else {
      unsafe split.decide(from: firstRow, into: target)
      return
    }
    for row in 0..<recordCount {
      let record = columns?.splitRecord(row) ?? record(row)
      unsafe target[row] = isTest(record, field, table, firstRow + row) ? 1 : 0
    }
  }

  /// The split of a row: by its unit where that can be read, else by its ordinal.
  private func isTest(
    _ record: RecordView, _ field: Int, _ table: TableContext, _ ordinal: Int
  ) -> Bool {
    if field < record.fieldCount {
      let bytes = unsafe record.trimmedField(field)
      if unsafe !table.encoder.isMissing(bytes), unsafe bytes.isValidUTF8 {
        return unsafe split.isTest(unit: bytes)
      }
    }
    return split.isTest(ordinal: ordinal)
  }

  /// A record by the dialect's own rules, its line counted from itself, which is 0.
  private func record(_ row: Int) -> RecordView {
    if let columns { return columns.rows.record(row) }
    let place = unsafe records.base[row]
    let start = Int(place.start)
    var end = unsafe Int(marks.base[Int(place.end) - 1])
    if end < count {
      let isPair = unsafe bytes[end] == 0x0D && end + 1 < count && bytes[end + 1] == 0x0A
      end += isPair ? 2 : 1
    }
    let whole = unsafe UnsafeBufferPointer(start: UnsafePointer(bytes), count: end)
    if hasQuotes {
      guard let table,
        case .record(let next) = unsafe table.tokenizer.scan(
          whole, from: start, isLast: true, into: fields), next == end
      else { preconditionFailure("the scan found another record than the dialect") }
    } else {
      split(place)
    }
    return unsafe fields.record(in: UnsafePointer(bytes), start..<end, line: 0)
  }

  /// Finds the fields of a record without quotes by its marks.
  private func split(_ place: cdp_record) {
    fields.removeAll()
    let skipsSpaces = table?.tokenizer.delimiter != 0x20
    var start = Int(place.start)
    for mark in Int(place.first)..<Int(place.end) {
      let end = unsafe Int(marks.base[mark])
      while skipsSpaces, start < end, unsafe bytes[start] == 0x20 { start += 1 }
      fields.append(
        CSVField(lower: start, upper: end, origin: start, end: end, isInBuffer: true))
      start = end + 1
    }
  }

  /// Encodes a row by the encoder's rules, into its split.
  func encodeRow<Element: FeatureElement>(
    _ row: Int, _ table: TableContext, as type: Element.Type
  ) {
    let record = record(row)
    let isTest = unsafe splits.base[row] == 1
    let (encoding, label) = encode(record, row, table, as: type)
    switch encoding {
    case .kept:
      if !isTest, table.boundField != nil {
        addCandidate(row, label)
      } else if !isTest {
        countExample(label)
      }
      finishRow(isTest: isTest, label: label)
    case .filtered:
      filteredRows += 1
      leaveOut(isTest: isTest)
    case .missing:
      unsafe work.missing += 1
      leaveOut(isTest: isTest)
    case .rejected(let fault):
      reject(fault, record, row)
      leaveOut(isTest: isTest)
    }
  }

  /// Encodes a record into the next row of its split (the first row where there are no splits).
  private func encode<Element: FeatureElement>(
    _ record: RecordView, _ row: Int, _ table: TableContext, as type: Element.Type
  ) -> (encoding: RowEncoding, label: Double) {
    let target = unsafe clearedRow(row, as: type)
    let encoder = table.encoder
    if let fault = encoder.wholeRowFault(record) { return (.rejected(fault), 0) }
    if let field = table.identifiers.first(where: {
      unsafe encoder.isMissing(record.trimmedField($0))
    }) {
      return (.rejected(RowFault(reason: .missingIdentifier, field: field)), 0)
    }
    var label = 0.0
    let encoding = unsafe encoder.encode(record, into: target, label: &label)
    return (encoding, label)
  }

  @unsafe func clearedRow<Element: FeatureElement>(
    _ row: Int, as type: Element.Type
  ) -> UnsafeMutablePointer<Element> {
    let isTest = unsafe work.splits != nil && splits.base[row] == 1
    let base = unsafe UnsafeMutableRawPointer(isTest ? features.test.base : features.train.base)
    let count = unsafe isTest ? work.rows.1.count : work.rows.0.count
    let target = unsafe (base + count * shape.rowBytes).assumingMemoryBound(to: type)
    // SAFETY: there is room for as many rows as the chunk has records; all bits zero are zero.
    unsafe UnsafeMutableRawPointer(target).initializeMemory(
      as: UInt8.self, repeating: 0, count: shape.rowBytes)
    return unsafe target
  }

  /// Notes a training row that its unit may have too many before it for.
  func addCandidate(_ row: Int, _ label: Double) {
    candidates.append((row, rowCounts.train, label))
    if let columns { units.append(columns.unit(row)) }
  }

  func countExample(_ label: Double) {
    unsafe work.train_examples += 1
    unsafe work.least_label = min(work.least_label, label)
    unsafe work.largest_label = max(work.largest_label, label)
  }

  /// The row contributes nothing; in the training split its slot stays.
  func leaveOut(isTest: Bool) {
    guard !isTest else { return }
    clearFeatures(ofSlot: rowCounts.train)
    finishRow(isTest: false, label: nil)
  }

  private func clearFeatures(ofSlot slot: Int) {
    let base = unsafe UnsafeMutableRawPointer(features.train.base)
    unsafe (base + slot * shape.rowBytes).initializeMemory(
      as: UInt8.self, repeating: 0, count: shape.rowBytes)
  }

  func finishRow(isTest: Bool, label: Double?) {
    writeLabel(label, isTest: isTest, row: isTest ? rowCounts.test : rowCounts.train)
    if isTest { unsafe work.rows.1.count += 1 } else { unsafe work.rows.0.count += 1 }
  }

  private func writeLabel(_ label: Double?, isTest: Bool, row: Int) {
    let base = unsafe UnsafeMutableRawPointer(isTest ? labels.test.base : labels.train.base)
    switch shape.labelType {
    case .u8:
      unsafe base.storeBytes(
        of: label.map { UInt8($0) } ?? ExampleTable.noByte, toByteOffset: row, as: UInt8.self)
    case .i32:
      unsafe base.storeBytes(
        of: label.map { Int32($0) } ?? ExampleTable.noInteger, toByteOffset: 4 * row,
        as: Int32.self)
    default:
      unsafe base.storeBytes(
        of: label.map { Float($0) } ?? ExampleTable.noFloat, toByteOffset: 4 * row,
        as: Float.self)
    }
  }

  /// Notes a rejected row; rows come in order.
  private func reject(_ fault: RowFault, _ record: RecordView, _ row: Int) {
    guard columns == nil else {
      rejected.append(RejectedRow(fault, in: record))
      return
    }
    let start = unsafe Int(records.base[row].start)
    let between = unsafe UnsafeBufferPointer(start: UnsafePointer(bytes), count: start)[
      counted.offset...]
    counted = unsafe (start, counted.lines + LineEnds.count(in: between))
    var found = RejectedRow(fault, in: record)
    found.line += counted.lines
    rejected.append(found)
  }
}

/// What ends a preparation behind the rows of a chunk.
enum ChunkFailure {
  /// An error as it is.
  case error(any Error)
  /// Something wrong with the text, at a place whose line is counted from the chunk's first.
  case text(DataError.Code, String, line: Int, column: Int)
}

/// The scan for the processor at hand.
@safe struct TableScanLoop: Sendable {
  private let function: cdp_scan

  /// The fastest variant that the processor can run.
  static let best: TableScanLoop = {
    for index in [2, 1, 0] {
      if let scan = TableScanLoop(variant: index) { return scan }
    }
    preconditionFailure("every processor has a first variant")
  }()

  /// A variant by its number, or nil where the processor lacks it.
  init?(variant: Int) {
    guard let function = unsafe cdp_scan_variant(Int32(variant)) else { return nil }
    unsafe self.function = unsafe function
  }

  /// Runs the scan; see `cdp_scan`.
  @unsafe func run(
    _ bytes: UnsafePointer<UInt8>, _ count: Int, _ delimiter: UInt8,
    _ marks: UnsafeMutablePointer<UInt32>?, _ records: UnsafeMutablePointer<cdp_record>?,
    _ result: inout cdp_scan_result
  ) {
    precondition(count < 1 << 31, "\(count) bytes in one chunk")
    unsafe function(bytes, count, delimiter, marks, records, &result)
  }

  /// Where the last record ends of which it is certain; see ``TableChunk/lastRecordEnd(isWhole:)``.
  @unsafe func lastRecordEnd(
    _ bytes: UnsafePointer<UInt8>, _ count: Int, _ delimiter: UInt8, isWhole: Bool
  ) -> (cut: Int, openQuote: Int?) {
    var end = count
    // A return at the end may be the first half of a line end.
    if !isWhole, end > 0, unsafe bytes[end - 1] == 0x0D { end -= 1 }
    if unsafe memchr(bytes, 0x22, end) == nil {
      var cut = end
      while cut > 0, unsafe bytes[cut - 1] != 0x0A && bytes[cut - 1] != 0x0D { cut -= 1 }
      return (cut, nil)
    }
    var result = cdp_scan_result()
    unsafe run(bytes, end, delimiter, nil, nil, &result)
    let open = result.open_quote
    return (result.cut, open == Int(bitPattern: UInt.max) ? nil : open)
  }
}
