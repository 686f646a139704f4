package import DPFiles
internal import DPParquet
internal import Foundation

/// A dataset as a cluster leaves it: a folder of Parquet part files, and beside them what the rows mean.
///
/// | column of the part files | type | |
/// |---|---|---|
/// | ``ordinal`` | INT64 | the raw row's place in the tables, from 0; every row is there, in any order |
/// | ``isTest`` | BOOLEAN | the split |
/// | ``status`` | INT32 | 0 for rows that are kept; only those have the columns below |
/// | `y` | as its type | the label: a class's number, or the scaled number |
/// | `x0`, `x1`, ... | ``CodeType`` | one for each of ``Schema/featureColumns`` |
/// | `m0`, ... | INT8 | whether it is missing, for those with a missing-value indicator |
///
/// The folder ``markName`` in it is written last and holds one line of JSON: ``Mark``. Without it the
/// folder is no dataset.
package enum PreparedFolder {
  /// The column of rows' places.
  package static let ordinal = "ordinal"
  /// The column of the split.
  package static let isTest = "test"
  /// The column of what became of rows.
  package static let status = "status"
  /// The name of the folder that says that the result is whole.
  package static let markName = "_fastdp"
  private static let version = "1"
  /// Rows that are read of every column at a time.
  private static let batchRows = 1 << 15

  /// How the values of one column of a schema are stored.
  package enum CodeType: Equatable {
    /// 0 or 1, as INT8.
    case bit
    /// The encoded number, as FLOAT.
    case number
    /// Which of the column's features is 1, or the label's class, as INT32; null for none.
    case index(count: Int)

    /// The type of a column that makes features or is the label.
    package init(_ column: Schema.Column) {
      switch column.type {
      case .binary, .derived: self = .bit
      case .numeric, .standard, .ordinal: self = .number
      case .categorical(let categories, let other):
        self = .index(count: categories.count + (other ? 1 : 0))
      case .hashed(let buckets): self = .index(count: buckets)
      case .ignore: preconditionFailure("the ignored column \(column.name) is not stored")
      }
    }
  }

  /// What the rows mean.
  package struct Mark: Codable {
    private let format: String
    /// The schema as JSON.
    private let schemaText: String
    /// Where the rows came from.
    package let provenance: Provenance

    /// A mark.
    package init(_ schema: Schema, _ provenance: Provenance) {
      format = PreparedFolder.version
      schemaText = schema.canonicalJSON
      self.provenance = provenance
    }

    private enum CodingKeys: String, CodingKey {
      case format = "fastdp.format"
      case schemaText = "schema"
      case provenance
    }

    /// The mark as one line.
    package var line: String {
      get throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(self), as: UTF8.self)
      }
    }

    fileprivate func schema(_ name: String) throws(DataError) -> Schema {
      guard format == PreparedFolder.version else {
        throw PreparedFolder.error(name, "has a format that this version of fastDP does not know")
      }
      return try Schema(text: schemaText, file: name)
    }
  }

  /// Whether a path is a folder that a job of a cluster has begun, at least.
  ///
  /// - Parameter path: Anything; it need not exist.
  /// - Returns: Whether ``read(_:)`` is the way to read it.
  package static func isFolder(_ path: String) -> Bool {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    return names.contains { [markName, "_SUCCESS", "_temporary"].contains($0) }
  }

  /// Reads a folder into the bytes of a dataset file.
  ///
  /// - Parameter path: The folder.
  /// - Returns: The same bytes that the native engine makes of the same tables, but for their provenance.
  /// - Throws: ``DataError`` `malformedDataset` where the folder is not whole, or does not hold what its
  ///   mark says.
  /// - Complexity: O(rows × columns); memory for the encoded rows, and 16 bytes for each raw row.
  package static func read(_ path: String) throws -> MappedBytes {
    let mark = try mark(path)
    let schema = try mark.schema(path)
    do {
      let table = try ParquetTable(paths: [path])
      let plan = try RowOrder(table, mark.provenance, path)
      return try fill(table, plan, schema, mark.provenance, path)
    } catch let error as ParquetError {
      throw DataError(.malformedDataset, "\(error)")
    }
  }

  private static func mark(_ path: String) throws -> Mark {
    let folder = "\(path)/\(markName)"
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    let parts = names.filter { !$0.hasPrefix(".") && !$0.hasPrefix("_") }.sorted()
    let text = parts.compactMap { try? String(contentsOfFile: "\(folder)/\($0)", encoding: .utf8) }
      .joined()
    guard names.contains("_SUCCESS"), !text.isEmpty else {
      throw error(
        path, "is no dataset, or one that is not whole: it has no \(markName) with its schema")
    }
    guard let mark = try? JSONDecoder().decode(Mark.self, from: Data(text.utf8)) else {
      throw error(path, "has a \(markName) that cannot be read")
    }
    return mark
  }

  fileprivate static func error(_ path: String, _ problem: String) -> DataError {
    DataError(
      .malformedDataset, "\(problem); make it again with prepare --engine spark",
      at: .init(file: path))
  }

  // MARK: - Rows

  /// Where each raw row goes.
  fileprivate struct RowOrder {
    /// A row of the part files that goes nowhere.
    static let nowhere = UInt32.max
    private static let testBit: UInt32 = 1 << 31

    /// For each row in the order of the part files: its slot, in the test split from ``testBit`` on.
    private(set) var places: [UInt32]
    private(set) var trainRows = 0
    private(set) var testRows = 0
    /// For each row whether it is kept.
    private(set) var isKept: [Bool]

    init(_ table: ParquetTable, _ provenance: Provenance, _ path: String) throws {
      let count = table.rowCount
      guard count == provenance.rowsRead, count < Int(Self.testBit) else {
        throw PreparedFolder.error(path, "holds another number of rows than it says")
      }
      places = [UInt32](repeating: Self.nowhere, count: count)
      isKept = [Bool](repeating: false, count: count)
      var isTest = [Bool](repeating: false, count: count)
      var owner = [UInt32](repeating: Self.nowhere, count: count)
      for unit in table.units {
        try PreparedFolder.forEachBatch(
          of: [PreparedFolder.ordinal, PreparedFolder.isTest, PreparedFolder.status], table, unit
        ) { batches, first in
          guard batches.allSatisfy({ $0.nullCount == 0 }),
            [.int64, .boolean, .int32] == batches.map(\.column.storage)
          else { throw PreparedFolder.error(path, "has rows without a place") }
          for row in 0..<batches[0].rowCount {
            let ordinal = unsafe batches[0].int64s[batches[0].entry(ofRow: row)]
            guard ordinal >= 0, ordinal < Int64(count), owner[Int(ordinal)] == Self.nowhere else {
              throw PreparedFolder.error(path, "has rows with the same place, or one too high")
            }
            owner[Int(ordinal)] = UInt32(first + row)
            isTest[first + row] = unsafe batches[1].booleans[batches[1].entry(ofRow: row)] != 0
            isKept[first + row] = unsafe batches[2].int32s[batches[2].entry(ofRow: row)] == 0
          }
        }
      }
      for row in owner.map(Int.init) {
        if !isTest[row] {
          places[row] = UInt32(trainRows)
          trainRows += 1
        } else if isKept[row] {
          places[row] = UInt32(testRows) | Self.testBit
          testRows += 1
        }
      }
      guard trainRows == provenance.trainRows else {
        throw PreparedFolder.error(path, "holds another number of training rows than it says")
      }
    }

    /// The slot of a row that is kept, and whether it is in the test split.
    func slot(_ row: Int) -> (slot: Int, isTest: Bool)? {
      let place = places[row]
      guard isKept[row], place != Self.nowhere else { return nil }
      return (Int(place & ~Self.testBit), place & Self.testBit != 0)
    }
  }

  /// Lends the same rows of several columns at a time, with the place of the first among all.
  fileprivate static func forEachBatch(
    of columns: [String], _ table: ParquetTable, _ unit: ParquetTable.Unit,
    _ body: ([ParquetBatch], Int) throws -> Void
  ) throws {
    let readers = try columns.map { try table.reader(ofColumn: $0, file: unit.file) }
    for reader in readers { try reader.select(rowGroup: unit.rowGroup) }
    var row = unit.firstRow
    while row < unit.firstRow + unit.rowCount {
      let batches = try readers.compactMap { try $0.read(upTo: batchRows) }
      guard let count = batches.first?.rowCount, batches.count == columns.count,
        batches.allSatisfy({ $0.rowCount == count })
      else { throw error(table.files[unit.file].path, "has columns of different lengths") }
      try body(batches, row)
      row += count
    }
  }

  // MARK: - Features

  /// A column of the part files, and where its values go.
  private struct Target {
    let name: String
    let type: CodeType
    /// The first of its features.
    let offset: Int
    /// Whether a kept row may have none: then its features are 0.
    var isOptional = false
  }

  private static func fill(
    _ table: ParquetTable, _ order: RowOrder, _ schema: Schema, _ provenance: Provenance,
    _ path: String
  ) throws -> MappedBytes {
    let layout = try DatasetFormat.layout(
      schema: schema, provenance: provenance, trainRows: order.trainRows, testRows: order.testRows)
    var targets = [Target(name: "y", type: CodeType(schema.labelColumn), offset: 0)]
    var offset = 0
    for (index, column) in schema.featureColumns.enumerated() {
      let indicates = schema.policy(of: column) == .indicator
      targets.append(
        Target(
          name: "x\(index)", type: CodeType(column), offset: offset,
          isOptional: indicates && column.impute == nil))
      offset += schema.valueFeatures(of: column)
      guard indicates else { continue }
      targets.append(Target(name: "m\(index)", type: .bit, offset: offset))
      offset += 1
    }
    return try unsafe MappedBytes(count: layout.byteCount) { memory in
      unsafe memory.copyBytes(from: layout.header)
      let tensors = unsafe Tensors(memory, layout, schema)
      unsafe tensors.clearLabels()
      for unit in table.units {
        try forEachBatch(of: targets.map(\.name), table, unit) { batches, first in
          for (batch, target) in zip(batches, targets) {
            guard unsafe tensors.take(batch, target, first, order) else {
              throw error(path, "has values in \(target.name) that its schema does not allow")
            }
          }
        }
      }
    }
  }

  /// The tensors of a dataset that is being filled.
  @safe private struct Tensors {
    private let memory: UnsafeMutableRawBufferPointer
    private let layout: SafetensorsLayout
    private let features: Int
    private let isBytes: Bool
    private let labelType: TensorType
    private let starts: [DatasetPart: Int]

    @unsafe init(
      _ memory: UnsafeMutableRawBufferPointer, _ layout: SafetensorsLayout, _ schema: Schema
    ) {
      unsafe self.memory = memory
      self.layout = layout
      features = schema.features
      isBytes = DatasetFormat.featureType(of: schema) == .u8
      labelType = DatasetFormat.labelType(of: schema)
      var starts: [DatasetPart: Int] = [:]
      for tensor in layout.tensors {
        if let part = DatasetPart(rawValue: tensor.name) { starts[part] = tensor.range.lowerBound }
      }
      self.starts = starts
    }

    /// Sets all labels to the mark of no example.
    @unsafe func clearLabels() {
      for tensor in layout.tensors where tensor.name.hasPrefix("y_") {
        for row in 0..<tensor.shape[0] {
          unsafe writeLabel(.nan, at: tensor.range.lowerBound, row)
        }
      }
    }

    /// Writes the values of kept rows; false where one is not allowed.
    @unsafe func take(
      _ batch: ParquetBatch, _ target: Target, _ first: Int, _ order: RowOrder
    ) -> Bool {
      for row in 0..<batch.rowCount {
        guard let (slot, isTest) = order.slot(first + row) else { continue }
        guard !batch.isNull(row) else {
          if target.isOptional { continue }
          return false
        }
        guard let code = unsafe code(batch, batch.entry(ofRow: row), target.type) else {
          return false
        }
        if target.name == "y" {
          let part = isTest ? DatasetPart.testLabels : .trainLabels
          unsafe writeLabel(code, at: starts[part] ?? 0, slot)
        } else {
          let part = isTest ? DatasetPart.testFeatures : .trainFeatures
          var feature = slot * features + target.offset
          if case .index = target.type { feature += Int(code) }
          let isIndex = if case .index = target.type { true } else { false }
          unsafe writeFeature(isIndex ? 1 : code, at: starts[part] ?? 0, feature)
        }
      }
      return true
    }

    /// A value, where its column's type and the schema allow it.
    @unsafe private func code(_ batch: ParquetBatch, _ entry: Int, _ type: CodeType) -> Float? {
      switch (type, batch.column.storage) {
      case (.bit, .int32):
        let value = unsafe batch.int32s[entry]
        return value == 0 || value == 1 ? Float(value) : nil
      case (.index(let count), .int32):
        let value = unsafe batch.int32s[entry]
        return value >= 0 && value < count ? Float(value) : nil
      case (.number, .float):
        let value = unsafe batch.floats[entry]
        return value.isFinite ? value : nil
      default: return nil
      }
    }

    @unsafe private func writeFeature(_ value: Float, at start: Int, _ index: Int) {
      if isBytes {
        unsafe memory.storeBytes(
          of: UInt8(feature: value), toByteOffset: start + index, as: UInt8.self)
      } else {
        unsafe memory.storeBytes(of: value, toByteOffset: start + 4 * index, as: Float.self)
      }
    }

    @unsafe private func writeLabel(_ value: Float, at start: Int, _ row: Int) {
      switch labelType {
      case .u8:
        let byte = value.isNaN ? UInt8.max : UInt8(value)
        unsafe memory.storeBytes(of: byte, toByteOffset: start + row, as: UInt8.self)
      case .i32:
        let number = value.isNaN ? Int32(-1) : Int32(value)
        unsafe memory.storeBytes(of: number, toByteOffset: start + 4 * row, as: Int32.self)
      default: unsafe memory.storeBytes(of: value, toByteOffset: start + 4 * row, as: Float.self)
      }
    }
  }
}
