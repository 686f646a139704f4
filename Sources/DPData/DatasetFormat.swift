internal import DPFiles
internal import DPKernels
internal import Foundation

/// The names, types and checks of a dataset file, in one place for its writer and its reader.
enum DatasetFormat {
  /// The format's number; another one is not read.
  static let version = "1"

  /// A dataset, checked.
  struct Parts: Sendable {
    let schema: Schema
    let provenance: Provenance
    var train: Examples
    var test: Examples
    var shard: DatasetShard?
    let reader: SafetensorsReader
  }

  /// The element type of the features.
  static func featureType(of schema: Schema) -> TensorType {
    schema.hasOnlyBinaryFeatures ? .u8 : .f32
  }

  /// The element type of the labels.
  static func labelType(of schema: Schema) -> TensorType {
    switch schema.labelKind {
    case .binary: .u8
    case .categorical(let classes): classes <= 254 ? .u8 : .i32
    case .numeric: .f32
    }
  }

  /// Where everything goes in the file of a dataset, or of a shard of one.
  ///
  /// The header is as long as its largest numbers could make it, so that its length is known before
  /// the rows are.
  static func layout(
    schema: Schema, provenance: Provenance, trainRows: Int, testRows: Int,
    shard: DatasetShard? = nil
  ) throws -> SafetensorsLayout {
    let smallest = try layout(
      schema: schema, provenance: provenance.withoutNumbers, trainRows: 0, testRows: 0,
      shard: shard, headerByteCount: 0)
    // 18 more digits for each number: of shapes, offsets and provenance.
    let numbers = 4 + 2 * 4 + 2 + provenance.inputs.count
    let room = smallest.header.count + 18 * numbers + 64
    return try layout(
      schema: schema, provenance: provenance, trainRows: trainRows, testRows: testRows,
      shard: shard, headerByteCount: (room + 63) / 64 * 64)
  }

  private static func layout(
    schema: Schema, provenance: Provenance, trainRows: Int, testRows: Int, shard: DatasetShard?,
    headerByteCount: Int
  ) throws -> SafetensorsLayout {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    let features = schema.features
    var metadata = [
      "fastdp.format": version,
      "schema": schema.canonicalJSON,
      "provenance": String(decoding: try encoder.encode(provenance), as: UTF8.self),
    ]
    if let shard {
      metadata["shard"] = String(decoding: try encoder.encode(shard), as: UTF8.self)
    }
    return SafetensorsLayout(
      [
        .init("x_train", featureType(of: schema), shape: [trainRows, features]),
        .init("x_test", featureType(of: schema), shape: [testRows, features]),
        .init("y_train", labelType(of: schema), shape: [trainRows]),
        .init("y_test", labelType(of: schema), shape: [testRows]),
      ], metadata: metadata, headerByteCount: headerByteCount)
  }

  /// Reads and checks a dataset file.
  ///
  /// - Parameters:
  ///   - bytes: The whole file.
  ///   - name: What error messages call it.
  ///   - checksLabels: Whether every label is looked at; where not, ``checkLabels(_:_:name:)`` comes
  ///     before they are used.
  /// - Returns: What the file holds.
  /// - Throws: ``DataError`` `malformedDataset`.
  static func read(
    _ bytes: MappedBytes, name: String, checksLabels: Bool = true
  ) throws(DataError) -> Parts {
    let check = Check(name: name)
    let reader = try check.reader(bytes)
    let schema = try check.schema(reader)
    let provenance = try check.provenance(reader, schema)
    let train = try check.examples("train", in: reader, schema)
    let test = try check.examples("test", in: reader, schema)
    if checksLabels {
      for split in [train, test] { try checkLabels(split, schema, name: name) }
    }
    let shard = try check.shard(reader, provenance, train.count)
    guard shard != nil || provenance.trainRows == train.count else {
      throw check.error("its provenance has another number of training rows than its tensors")
    }
    return Parts(
      schema: schema, provenance: provenance, train: train, test: test, shard: shard,
      reader: reader)
  }

  /// Every label must be a class of the schema, in range, or the mark, which a later loop relies
  /// on for its indices.
  static func checkLabels(
    _ examples: Examples, _ schema: Schema, name: String
  ) throws(DataError) {
    let largest: Float =
      switch schema.labelKind {
      case .binary: 1
      case .categorical(let classes): Float(classes - 1)
      case .numeric: 1
      }
    let least: Float = if case .numeric = schema.labelKind { -1 } else { 0 }
    let isValid = (0..<examples.count).allSatisfy { row in
      examples.label(of: row).map { $0 >= least && $0 <= largest } ?? true
    }
    guard isValid else {
      throw Check(name: name).error("has labels that its schema does not allow")
    }
  }

  /// The steps of reading, with the name that their errors carry.
  private struct Check {
    let name: String

    func error(_ problem: String) -> DataError {
      DataError(
        .malformedDataset, "\(problem); make the dataset again with prepare",
        at: .init(file: name))
    }

    func reader(_ bytes: MappedBytes) throws(DataError) -> SafetensorsReader {
      do {
        return try SafetensorsReader(bytes, name: name)
      } catch {
        throw DataError(
          .malformedDataset,
          "is not a dataset file; make one from a table with prepare, or give the table's schema",
          at: .init(file: name))
      }
    }

    func schema(_ reader: SafetensorsReader) throws(DataError) -> Schema {
      guard let format = reader.metadata["fastdp.format"], let text = reader.metadata["schema"]
      else {
        throw error("is a safetensors file, but not a dataset of fastDP")
      }
      guard format == version else {
        throw error("has a format that this version of fastDP does not know")
      }
      do {
        return try Schema(text: text, file: name)
      } catch {
        throw self.error("carries a schema that is wrong (\(error.message))")
      }
    }

    func provenance(
      _ reader: SafetensorsReader, _ schema: Schema
    ) throws(DataError) -> Provenance {
      guard let text = reader.metadata["provenance"],
        let provenance = try? JSONDecoder().decode(Provenance.self, from: Data(text.utf8))
      else {
        throw error("carries no provenance that can be read")
      }
      guard provenance.featureNames == schema.featureNames else {
        throw error("names other features than its schema")
      }
      return provenance
    }

    func shard(
      _ reader: SafetensorsReader, _ provenance: Provenance, _ count: Int
    ) throws(DataError) -> DatasetShard? {
      guard let text = reader.metadata["shard"] else { return nil }
      guard let shard = try? JSONDecoder().decode(DatasetShard.self, from: Data(text.utf8)),
        shard.count > 0, (0..<shard.count).contains(shard.index), shard.firstRow >= 0,
        shard.trainRows == provenance.trainRows, count <= shard.trainRows,
        shard.firstRow <= shard.trainRows - count
      else {
        throw error("says of itself that it is a shard, but not which")
      }
      return shard
    }

    func examples(
      _ split: String, in reader: SafetensorsReader, _ schema: Schema
    ) throws(DataError) -> Examples {
      let x = try tensor("x_\(split)", featureType(of: schema), reader)
      let y = try tensor("y_\(split)", labelType(of: schema), reader)
      guard y.shape.count == 1, x.shape == [y.shape[0], schema.features] else {
        throw error("has tensors whose shapes do not fit its schema")
      }
      guard y.shape[0] <= 1 << 32 else { throw error("has more than 2^32 rows") }
      guard reader.tensors.count == 4 else { throw error("has tensors that are not its own") }
      return unsafe Examples(
        table: ExampleTable(
          features: features(x, reader), labels: labels(y, reader), count: y.shape[0],
          width: schema.features, owner: reader.bytes))
    }

    private func tensor(
      _ tensor: String, _ type: TensorType, _ reader: SafetensorsReader
    ) throws(DataError) -> Tensor {
      guard let found = reader.tensor(tensor) else { throw error("lacks the tensor \(tensor)") }
      guard found.type == type else {
        throw error("has a tensor \(tensor) whose type does not fit its schema")
      }
      guard found.range.lowerBound % type.byteCount == 0 else {
        throw error("has a tensor \(tensor) that is not aligned")
      }
      return found
    }

    // SAFETY of both: the type, the count and the alignment were checked; empty tensors get the
    // address of the file's beginning and are never read.
    @unsafe private func features(
      _ tensor: Tensor, _ reader: SafetensorsReader
    ) -> ExampleTable.Features {
      let base = unsafe base(of: tensor, reader)
      return if tensor.type == .u8 {
        unsafe .bytes(base.assumingMemoryBound(to: UInt8.self))
      } else {
        unsafe .floats(base.assumingMemoryBound(to: Float.self))
      }
    }

    @unsafe private func labels(
      _ tensor: Tensor, _ reader: SafetensorsReader
    ) -> ExampleTable.Labels {
      let base = unsafe base(of: tensor, reader)
      return switch tensor.type {
      case .u8: unsafe .bytes(base.assumingMemoryBound(to: UInt8.self))
      case .i32: unsafe .integers(base.assumingMemoryBound(to: Int32.self))
      default: unsafe .floats(base.assumingMemoryBound(to: Float.self))
      }
    }

    @unsafe private func base(of tensor: Tensor, _ reader: SafetensorsReader) -> UnsafeRawPointer {
      guard let start = unsafe reader.bytes.buffer.baseAddress else {
        preconditionFailure("a checked file has bytes")
      }
      return unsafe start + tensor.range.lowerBound
    }
  }
}
