internal import DPParquet

/// What one thread reads tables with: chunks, and the columns of a Parquet file.
final class ChunkPool {
  private let make: () -> TableChunk
  private var chunks: [TableChunk] = []
  private var columns: ParquetEncoder?
  /// The number of the first row of the part that is read.
  private var part: Int?

  init(_ make: @escaping () -> TableChunk) { self.make = make }

  /// A chunk, made when it is first asked for.
  subscript(index: Int) -> TableChunk {
    while chunks.count <= index { chunks.append(make()) }
    return chunks[index]
  }

  /// The columns at a part of a row group, or within it where they were there before.
  ///
  /// - Parameters:
  ///   - table: The file's table.
  ///   - part: Each is asked for until it was read, and then never again.
  ///   - context: How rows are encoded.
  /// - Returns: The columns, opened anew for every file.
  /// - Throws: ``DataError`` `malformedTable`.
  func columns(
    of table: TableContext, _ part: RowGroupPart, _ context: PreparationContext
  ) throws -> ParquetEncoder {
    if columns?.table !== table {
      columns = nil
      self.part = nil
    }
    let columns =
      try columns
      ?? ParquetEncoder(
        table, part.file, context.schema,
        isUsed: context.options.usesRowPlan && context.needsExamples)
    self.columns = columns
    if let group = part.group, part.firstRow != self.part {
      try columns.rows.select(rowGroup: group, rows: part.rows, firstRow: part.firstRow)
    }
    self.part = part.firstRow
    return columns
  }
}
