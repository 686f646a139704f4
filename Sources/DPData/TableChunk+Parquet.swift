internal import CDPKernels
internal import DPFiles
internal import DPKernels
internal import DPParquet

/// Rows of a row group of a Parquet file, for one thread to read.
struct RowGroupPart: Sendable {
  let file: ParquetFile
  /// An index in the file's row groups; nil where it has none.
  let group: Int?
  /// Which of the row group's rows.
  let rows: Range<Int>
  /// The number in the file of the first of them, from 0.
  let firstRow: Int
  /// Whether it is the file's last.
  let isLast: Bool

  /// How many rows it has.
  var rowCount: Int { rows.count }
}

extension TableChunk {
  /// Becomes the next batch of a row group's part, as yet without codes.
  ///
  /// - Parameters:
  ///   - group: What is read.
  ///   - columns: At that row group.
  ///   - limit: The most rows.
  /// - Returns: Whether more follows.
  func fill(from group: RowGroupPart, _ columns: ParquetEncoder, upTo limit: Int) -> Bool {
    clear()
    table = columns.table
    self.columns = columns
    let rows = columns.rows
    do {
      if try rows.next(upTo: limit) { recordCount = rows.count }
    } catch {
      failure = .error(error)
      return false
    }
    let done = rows.firstRow + rows.count
    rawBytesRead = group.file.byteCount(ofRows: done)
    let isEnd = done == group.firstRow + group.rowCount
    isLast = isEnd && group.isLast
    return !isEnd
  }

  /// Encodes the batch column by column; the splits are decided.
  func encode(_ columns: ParquetEncoder, _ table: TableContext) {
    columns.readCodes()
    switch shape.featureType {
    case .u8: encode(columns, table, as: UInt8.self)
    default: encode(columns, table, as: Float.self)
    }
  }

  private func encode<Element: FeatureElement>(
    _ columns: ParquetEncoder, _ table: TableContext, as type: Element.Type
  ) {
    let isBounded = table.boundField != nil
    for row in 0..<recordCount {
      let state = columns.state(row)
      guard state.isEmpty else {
        unsafe columns.place(row, at: nil)
        leave(row, state, table, as: type)
        continue
      }
      let isTest = unsafe splits.base[row] == 1
      let label = columns.label(row)
      unsafe columns.place(row, at: UnsafeMutableRawPointer(clearedRow(row, as: type)))
      if !isTest, isBounded {
        addCandidate(row, label)
      } else if !isTest {
        countExample(label)
      }
      finishRow(isTest: isTest, label: label)
    }
    columns.writeFeatures(as: type)
  }

  /// Deals with a row that is not simply kept.
  private func leave<Element: FeatureElement>(
    _ row: Int, _ state: RowState, _ table: TableContext, as type: Element.Type
  ) {
    guard !state.contains(.odd) else { return encodeRow(row, table, as: type) }
    if state.contains(.filtered) { filteredRows += 1 } else { unsafe work.missing += 1 }
    leaveOut(isTest: unsafe splits.base[row] == 1)
  }

  /// About how many bytes of memory its rows take.
  var byteCount: Int {
    recordCount * (2 * shape.rowBytes + 2 * shape.labelType.byteCount + 1) + cleaned.count
  }
}
