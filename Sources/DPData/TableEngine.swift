internal import DPFiles
internal import DPKernels
internal import Synchronization

/// Reads tables on several threads, and gives their rows in order.
///
/// A chunk goes through five stages. Those that are said to be in order run one chunk at a time, in the
/// order of the tables; the others run on as many chunks at once as there are threads.
///
/// | stage | does | in order |
/// |---|---|---|
/// | fill | reads bytes and cuts them where a record ends; takes a row group of a Parquet file | yes |
/// | scan | finds records and fields; reads a row group's columns, batch by batch | no |
/// | number | takes as many ordinals as the chunk has rows | yes |
/// | encode | decides splits, writes features and labels | no |
/// | add | bounds units, counts, lists rejected rows, gives rows their place | yes |
///
/// A row group is one piece: its batches are encoded one after another, those that are ready before its
/// turn wait in the memory that ``PrepareOptions/waitingBytes`` allows, and then it is added batch by
/// batch while it is read.
///
/// So rows, splits, messages and errors are the same for any number of threads and any size of chunk:
/// the first error in the order of the tables is the one that is thrown.
final class TableEngine: @unchecked Sendable {
  private let context: PreparationContext
  private let sink: any RowSink
  private let shape: RowShape
  private var reader: ChunkReader?
  private let filling = ThreadLock()
  private let numbering = Turnstile()
  private let adding = Turnstile()
  private let isStopped = Atomic<Bool>(false)
  // Used by one thread at a time, in order.
  private var nextRow = 0
  private var tally = Tally()
  private var unitBound: UnitBound?
  private var rejects: RejectsFile?
  private var totalBytes: Int?
  private var firstFault: DataError?
  private var failure: (any Error)?
  private var seconds = 0.0
  /// Kept by ``filling``: what went wrong outside of the order.
  private var storeFailure: (any Error)?

  /// What was counted so far.
  private struct Tally {
    var rowsRead = 0
    var rowsMissing = 0
    var rowsRejected = 0
    var rowsFiltered = 0
    var rowsBounded = 0
    var trainRows = 0
    var trainExamples = 0
    var testRows = 0
    var leastLabel = Double.infinity
    var largestLabel = -Double.infinity
    /// Sizes of each table's files that were read to their end, and with what was read of the next.
    var tableBytes: [Int] = []
    var bytesRead = 0
    var bytesReported = 0
    /// The file that the last chunk came from, its table's rows so far, and the next chunk's first line.
    var file = -1
    var table = -1
    var tableRows = 0
    var line = 1
  }

  init(_ context: PreparationContext, _ sink: any RowSink) {
    self.context = context
    self.sink = sink
    shape = RowShape(context.schema)
    unitBound = context.schema.maxRowsPerUnit.map(UnitBound.init)
  }

  /// Where the rows came from.
  var provenance: Provenance {
    context.provenance(
      bytes: tally.tableBytes, rowsRead: tally.rowsRead, trainRows: tally.trainRows)
  }

  /// What was found.
  var report: PrepareReport {
    PrepareReport(
      rowsRead: tally.rowsRead,
      rowsKept: tally.rowsRead - tally.rowsMissing - tally.rowsRejected - tally.rowsFiltered
        - tally.rowsBounded,
      rowsMissing: tally.rowsMissing, rowsRejected: tally.rowsRejected,
      rowsFiltered: tally.rowsFiltered, rowsBounded: tally.rowsBounded,
      trainRows: tally.trainRows, trainExamples: tally.trainExamples,
      testExamples: tally.testRows, features: context.schema.features,
      bytesRead: tally.tableBytes.reduce(0, +), seconds: seconds)
  }

  /// Reads all tables.
  ///
  /// - Throws: The first error in the order of the tables.
  func run() throws {
    let start = ContinuousClock.now
    let inputs = try TableInput.all(context.tables, context.options)
    try checkInputs(inputs)
    reader = ChunkReader(context, TablePart.all(inputs), shape: shape)
    let scan = try scanLoop()
    let team = ThreadTeam(threads: context.threads)
    team.run(pieces: team.threads) { _, _ in work(scan) }
    if let failure = failure ?? storeFailure { throw failure }
    if let rejects = rejects.take() { try rejects.commit() }
    if tally.rowsRejected > context.options.maxRejected, let firstFault { throw firstFault }
    if context.needsExamples { try checkClasses() }
    seconds = (ContinuousClock.now - start) / .seconds(1)
  }

  private func scanLoop() throws(DataError) -> TableScanLoop {
    guard let variant = context.options.scanVariant else { return .best }
    guard let scan = TableScanLoop(variant: variant) else {
      throw DataError(.invalidOption, "this processor has no variant \(variant) of the scan")
    }
    return scan
  }

  private func checkInputs(_ inputs: [TableInput]) throws {
    guard !inputs.isEmpty else {
      throw DataError(.invalidOption, "no table is named; name at least one")
    }
    tally.tableBytes = inputs.map { _ in 0 }
    var total: Int? = 0
    for table in inputs.flatMap(\.files) {
      let size =
        table == ByteSource.standardInput ? nil : try InputFile.size(ofFileAt: table)
      total = total.flatMap { sum in size.map { sum + $0 } }
    }
    totalBytes = total
    if let path = context.options.rejects {
      rejects = try RejectsFile(path: path, overwrite: context.options.overwrite)
    }
  }

  /// One thread's part: chunk after chunk, until there are no more.
  private func work(_ scan: TableScanLoop) {
    let split = RowSplit(
      key: context.options.splitKey, testFraction: context.options.testFraction)
    let chunks = ChunkPool { TableChunk(shape: self.shape, split: split, scan: scan) }
    let chunk = chunks[0]
    while filling.locked({ !isStopped.load(ordering: .relaxed) && next(chunk) }) {
      if let table = chunk.table, let group = chunk.group {
        read(group, of: table, ticket: chunk.ticket, chunks)
        continue
      }
      if chunk.table != nil { chunk.scanText() }
      let firstRow = number(chunk.recordCount, ticket: chunk.ticket)
      if chunk.recordCount > 0 { sink.encode(chunk, firstRow: firstRow) }
      let isAdded = adding.pass(chunk.ticket) { add(chunk) }
      if isAdded { store(chunk) }
    }
  }

  private func next(_ chunk: TableChunk) -> Bool { reader?.next(chunk) ?? false }

  /// Takes ordinals; returns the first.
  private func number(_ rows: Int, ticket: Int) -> Int {
    numbering.pass(ticket) {
      defer { nextRow += rows }
      return nextRow
    }
  }

  private func store(_ chunk: TableChunk) {
    do {
      try sink.store(chunk)
    } catch {
      isStopped.store(true, ordering: .relaxed)
      filling.locked { storeFailure = storeFailure ?? error }
    }
  }

  /// Reads a row group, batch by batch, and adds them when its turn has come.
  private func read(
    _ group: RowGroupPart, of table: TableContext, ticket: Int, _ chunks: ChunkPool
  ) {
    var nextRow = number(group.rowCount, ticket: ticket)
    var hasMore = true
    var used = 0
    var waitingBytes = 0
    while hasMore {
      let chunk = chunks[used]
      hasMore = fill(chunk, from: group, of: table, chunks)
      if chunk.recordCount > 0 { sink.encode(chunk, firstRow: nextRow) }
      nextRow += chunk.recordCount
      used += 1
      waitingBytes += chunk.byteCount
      let mustAdd = !hasMore || waitingBytes >= context.options.waitingBytes
      guard mustAdd || adding.isTurn(ticket) else { continue }
      adding.wait(for: ticket)
      for index in 0..<used where add(chunks[index]) { store(chunks[index]) }
      if isStopped.load(ordering: .relaxed) { hasMore = false }
      used = 0
      waitingBytes = 0
    }
    adding.advance()
  }

  /// Reads a batch; returns whether more follows.
  private func fill(
    _ chunk: TableChunk, from group: RowGroupPart, of table: TableContext, _ chunks: ChunkPool
  ) -> Bool {
    do {
      let columns = try chunks.columns(of: table, group, context)
      return chunk.fill(from: group, columns, upTo: batchRows(of: table.header))
    } catch {
      chunk.clear()
      chunk.table = table
      chunk.failure = .error(error)
      return false
    }
  }

  /// Rows of a batch: fewer where a row has many features, which bounds memory.
  private func batchRows(of header: TableHeader) -> Int {
    let limit = min(context.options.batchRows, max(64, (1 << 20) / max(1, shape.rowBytes)))
    return ParquetRows.batchRows(limit, columns: header.columns.count, threads: context.threads)
  }

  /// Adds a chunk, unless an earlier one has failed.
  private func add(_ chunk: TableChunk) -> Bool {
    guard failure == nil else { return false }
    do {
      try addRows(chunk)
      return true
    } catch {
      failure = error
      isStopped.store(true, ordering: .relaxed)
      return false
    }
  }

  private func addRows(_ chunk: TableChunk) throws {
    if let table = chunk.table {
      if table.index != tally.file {
        if table.part.input != tally.table { tally.tableRows = 0 }
        tally.table = table.part.input
        tally.file = table.index
        tally.line = table.firstLine
      }
      for var row in chunk.rejected {
        row.line += tally.line
        try reject(row, table.header)
      }
      if context.needsExamples { chunk.bound(by: &unitBound) }
      try sink.add(chunk)
      count(chunk)
    }
    try fail(chunk)
    try endTable(chunk)
    try progress(chunk)
  }

  private func count(_ chunk: TableChunk) {
    tally.rowsRead += chunk.recordCount
    tally.tableRows += chunk.recordCount
    tally.rowsMissing += chunk.missingRows
    tally.rowsFiltered += chunk.filteredRows
    tally.rowsBounded += chunk.boundedRows
    tally.trainRows += chunk.rowCounts.train
    tally.testRows += chunk.rowCounts.test
    tally.trainExamples += chunk.trainExamples
    if let (least, largest) = chunk.labelRange {
      tally.leastLabel = min(tally.leastLabel, least)
      tally.largestLabel = max(tally.largestLabel, largest)
    }
  }

  private func reject(_ row: RejectedRow, _ header: TableHeader) throws {
    tally.rowsRejected += 1
    let error = firstFault ?? row.error(header)
    firstFault = error
    try rejects?.write(row, header)
    // With a rejects file the reading goes on, so that it lists every such row.
    if tally.rowsRejected > context.options.maxRejected, context.options.rejects == nil {
      throw error
    }
  }

  /// Throws what was found behind the rows of a chunk.
  private func fail(_ chunk: TableChunk) throws {
    switch chunk.failure {
    case nil: tally.line += chunk.lineCount
    case .error(let error): throw error
    case .text(let code, let message, let line, let column):
      let name = chunk.table?.header.table ?? ""
      throw DataError(
        code, message, at: .init(file: name, line: tally.line + line, column: column))
    }
  }

  private func endTable(_ chunk: TableChunk) throws {
    tally.bytesRead = tally.tableBytes.reduce(0, +) + chunk.rawBytesRead
    guard chunk.isLast, let table = chunk.table else { return }
    tally.tableBytes[table.part.input] += chunk.rawBytesRead
    guard
      tally.tableRows > 0 || !table.part.isLast
        || (context.options.columns != nil && !context.needsExamples)
    else { throw table.header.noRows(of: context.tables[table.part.input]) }
  }

  private func progress(_ chunk: TableChunk) throws {
    guard chunk.isLast || tally.bytesRead - tally.bytesReported >= 1 << 20 else { return }
    tally.bytesReported = tally.bytesRead
    try context.onProgress(
      .init(bytesRead: tally.bytesRead, totalBytes: totalBytes, rowsRead: tally.rowsRead))
  }

  private func checkClasses() throws(DataError) {
    let schema = context.schema
    let place = context.tables.first.map { DataError.Location(file: $0.tableName) }
    guard tally.trainExamples > 0 else {
      throw DataError(
        .degenerateLabel,
        "no training row has every value it needs; impute missing values or lower the test fraction",
        at: place)
    }
    if case .numeric = schema.labelKind { return }
    guard tally.leastLabel < tally.largestLabel else {
      throw DataError(
        .degenerateLabel,
        "the label \"\(schema.label)\" has one class only in the training rows;"
          + " add rows of another class or choose another label",
        at: place)
    }
  }
}
