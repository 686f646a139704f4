internal import DPFiles

/// Where the rows of chunks go.
protocol RowSink: AnyObject {
  /// Turns a chunk's text into what the sink takes; by any thread.
  func encode(_ chunk: TableChunk, firstRow: Int)
  /// Takes a chunk, in the order of the tables.
  func add(_ chunk: TableChunk) throws
  /// Does what needs no order, after the chunk was added; by any thread.
  func store(_ chunk: TableChunk) throws
}

/// The rows of a dataset: what is known of its length, and where its parts are collected.
class DatasetSink: RowSink {
  let schema: Schema
  let shape: RowShape
  private(set) var trainRows = 0
  private(set) var testRows = 0
  private let spools: [DatasetPart: RowSpool]

  /// An empty dataset.
  ///
  /// - Parameters:
  ///   - schema: The declared facts.
  ///   - overflowPath: Where spools may make files; nil keeps everything in memory.
  init(_ schema: Schema, overflowPath: String?) {
    self.schema = schema
    shape = RowShape(schema)
    var spools: [DatasetPart: RowSpool] = [:]
    for part in DatasetPart.allCases { spools[part] = RowSpool(overflowPath: overflowPath) }
    self.spools = spools
  }

  final func encode(_ chunk: TableChunk, firstRow: Int) { chunk.encode(firstRow: firstRow) }

  func add(_ chunk: TableChunk) throws {
    for part in DatasetPart.allCases where !isStored(part) {
      unsafe try spools[part]?.append(chunk.encoded(part))
    }
    trainRows += chunk.rowCounts.train
    testRows += chunk.rowCounts.test
  }

  func store(_ chunk: TableChunk) throws {}

  /// Whether a part goes where it belongs at once, and not into a spool.
  func isStored(_ part: DatasetPart) -> Bool { false }

  /// Lends rows of a part that was spooled, piece by piece, with their place among the rows asked for.
  final func forEachPiece(
    of part: DatasetPart, rows: Range<Int>,
    _ body: (_ bytes: UnsafeRawBufferPointer, _ offset: Int) throws -> Void
  ) throws {
    let size = part.rowBytes(shape)
    var offset = 0
    unsafe try spools[part]?.forEachPiece(of: rows.lowerBound * size..<rows.upperBound * size) {
      unsafe try body($0, offset)
      offset += $0.count
    }
  }

  /// The whole dataset in memory.
  ///
  /// - Parameter provenance: Where its rows came from.
  /// - Returns: The dataset.
  /// - Throws: ``DataError`` `malformedDataset` where it breaks its own rules, which it does not.
  final func dataset(_ provenance: Provenance) throws -> Dataset {
    let layout = try DatasetFormat.layout(
      schema: schema, provenance: provenance, trainRows: trainRows, testRows: testRows)
    let bytes = try unsafe MappedBytes(count: layout.byteCount) { memory in
      unsafe memory.copyBytes(from: layout.header)
      for tensor in layout.tensors {
        guard let part = DatasetPart(rawValue: tensor.name) else { continue }
        unsafe try forEachPiece(of: part, rows: 0..<(part.isTraining ? trainRows : testRows)) {
          let start = tensor.range.lowerBound + $1
          unsafe UnsafeMutableRawBufferPointer(rebasing: memory[start..<start + $0.count])
            .copyMemory(from: $0)
        }
      }
    }
    return try Dataset(bytes, name: provenance.source)
  }
}

/// A dataset that becomes a file while its rows are read.
///
/// The part that comes first in the file is written where it belongs, at once; the others are spooled,
/// since their place depends on how many rows there are.
final class DatasetFileSink: DatasetSink {
  private var file: AtomicFile?
  private let first: DatasetPart
  private let headerByteCount: Int

  /// Begins a file.
  ///
  /// - Parameters:
  ///   - path: The name it will have.
  ///   - overwrite: Whether an existing file may be replaced.
  ///   - schema: The declared facts.
  ///   - provenance: As it will be, but for its numbers.
  /// - Throws: ``FileError`` as ``AtomicFile`` does.
  init(path: String, overwrite: Bool, _ schema: Schema, _ provenance: Provenance) throws {
    let layout = try DatasetFormat.layout(
      schema: schema, provenance: provenance, trainRows: 0, testRows: 0)
    guard let first = layout.tensors.first.flatMap({ DatasetPart(rawValue: $0.name) }) else {
      preconditionFailure("a dataset has tensors")
    }
    self.first = first
    headerByteCount = layout.header.count
    file = try AtomicFile(path: path, overwrite: overwrite)
    super.init(schema, overflowPath: path)
  }

  override func isStored(_ part: DatasetPart) -> Bool { part == first }

  override func add(_ chunk: TableChunk) throws {
    let rows = first.isTraining ? trainRows : testRows
    chunk.placement = headerByteCount + rows * first.rowBytes(shape)
    try super.add(chunk)
  }

  override func store(_ chunk: TableChunk) throws {
    unsafe try file?.write(chunk.encoded(first), at: chunk.placement)
  }

  /// Writes what was spooled and gives the file its name, durably.
  ///
  /// - Parameter provenance: Where its rows came from.
  /// - Throws: ``FileError``; nothing is left behind then.
  func commit(_ provenance: Provenance) throws {
    let layout = try DatasetFormat.layout(
      schema: schema, provenance: provenance, trainRows: trainRows, testRows: testRows)
    precondition(
      layout.header.count == headerByteCount && layout.tensors.first?.name == first.rawValue,
      "a header of \(layout.header.count) bytes, \(headerByteCount) were kept free")
    // SAFETY: the buffer is read within the closure only.
    unsafe try layout.header.withUnsafeBytes { unsafe try file?.write($0, at: 0) }
    for tensor in layout.tensors {
      guard let part = DatasetPart(rawValue: tensor.name), part != first else { continue }
      unsafe try forEachPiece(of: part, rows: 0..<(part.isTraining ? trainRows : testRows)) {
        unsafe try file?.write($0, at: tensor.range.lowerBound + $1)
      }
    }
    if let file = file.take() { try file.commit() }
  }
}

/// A dataset that becomes several files, each with a range of its rows.
final class DatasetShardSink: DatasetSink {
  private let path: String
  private let overwrite: Bool
  private let count: Int

  /// Begins the files.
  ///
  /// - Parameters:
  ///   - path: What ``DatasetShard/path(_:index:count:)`` makes the names from.
  ///   - count: How many there are to be, at least 1.
  ///   - overwrite: Whether existing files may be replaced.
  ///   - schema: The declared facts.
  /// - Throws: ``FileError`` where one of the files could not be made.
  init(path: String, count: Int, overwrite: Bool, _ schema: Schema) throws {
    self.path = path
    self.count = count
    self.overwrite = overwrite
    for index in 0..<count {
      _ = try AtomicFile(
        path: DatasetShard.path(path, index: index, count: count), overwrite: overwrite)
    }
    super.init(schema, overflowPath: path)
  }

  /// Writes all files; where one fails, those that were new are removed again.
  ///
  /// - Parameter provenance: Where the rows came from.
  /// - Throws: ``FileError``.
  func commit(_ provenance: Provenance) throws {
    var made: [String] = []
    do {
      for index in 0..<count { made.append(try writeShard(index, provenance)) }
    } catch {
      if !overwrite { for path in made { AtomicFile.remove(path) } }
      throw error
    }
  }

  private func writeShard(_ index: Int, _ provenance: Provenance) throws -> String {
    let train = DatasetShard.range(index, of: count, trainRows: trainRows)
    let test = testRows * index / count..<testRows * (index + 1) / count
    let layout = try DatasetFormat.layout(
      schema: schema, provenance: provenance, trainRows: train.count, testRows: test.count,
      shard: DatasetShard(
        index: index, count: count, firstRow: train.lowerBound, trainRows: trainRows))
    let path = DatasetShard.path(path, index: index, count: count)
    let file = try AtomicFile(path: path, overwrite: overwrite)
    // SAFETY: the buffer is read within the closure only.
    unsafe try layout.header.withUnsafeBytes { unsafe try file.write($0, at: 0) }
    for tensor in layout.tensors {
      guard let part = DatasetPart(rawValue: tensor.name) else { continue }
      unsafe try forEachPiece(of: part, rows: part.isTraining ? train : test) {
        unsafe try file.write($0, at: tensor.range.lowerBound + $1)
      }
    }
    try file.commit()
    return path
  }
}

/// Rows that are kept, as text again.
final class CleanedSink: RowSink {
  private let schema: Schema
  private let write: ([UInt8]) throws -> Void
  private let hasHeader: Bool
  private var isBegun = false
  private(set) var rows = 0

  /// - Parameters:
  ///   - schema: The declared facts.
  ///   - hasHeader: Whether the names of the columns come first.
  ///   - write: Takes the text in order.
  init(
    _ schema: Schema, hasHeader: Bool, write: @escaping ([UInt8]) throws -> Void
  ) {
    self.schema = schema
    self.hasHeader = hasHeader
    self.write = write
  }

  func encode(_ chunk: TableChunk, firstRow: Int) {
    guard let table = chunk.table else { return }
    chunk.clean(CleanedColumn.all(schema, table.header))
  }

  func add(_ chunk: TableChunk) throws {
    if !isBegun, hasHeader, let table = chunk.table { try writeHeader(table) }
    isBegun = true
    rows += chunk.cleanedRows
    if !chunk.cleaned.isEmpty { try write(chunk.cleaned) }
  }

  func store(_ chunk: TableChunk) throws {}

  private func writeHeader(_ table: TableContext) throws {
    let delimiter = table.tokenizer.delimiter
    var text: [UInt8] = []
    for (place, column) in CleanedColumn.all(schema, table.header).enumerated() {
      if place > 0 { text.append(delimiter) }
      CleanedColumn.append(Array(column.name.utf8), delimiter, to: &text)
    }
    text.append(0x0A)
    try write(text)
  }
}
