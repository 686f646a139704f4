internal import DPParquet

/// What one thread reads tables with: chunks, and the columns of a Parquet file.
final class ChunkPool {
  private let make: () -> TableChunk
  private var chunks: [TableChunk] = []
  private var columns: ParquetEncoder?
  private var group: Int?

  init(_ make: @escaping () -> TableChunk) { self.make = make }

  /// A chunk, made when it is first asked for.
  subscript(index: Int) -> TableChunk {
    while chunks.count <= index { chunks.append(make()) }
    return chunks[index]
  }

  /// The columns at a row group, or within it where they were there before.
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
      group = nil
    }
    let columns =
      try columns
      ?? ParquetEncoder(
        table, part.file, context.schema,
        isUsed: context.options.usesRowPlan && context.needsExamples)
    self.columns = columns
    if let index = part.group, index != group {
      try columns.rows.select(rowGroup: index, firstRow: part.firstRow)
    }
    group = part.group
    return columns
  }
}
