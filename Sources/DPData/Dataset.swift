package import DPFiles
internal import Foundation

/// A prepared table: encoded rows in a training and a test split, with the schema they follow.
///
/// In memory and on disk it is the same bytes, a safetensors file:
///
/// | tensor | shape | type |
/// |---|---|---|
/// | `x_train` | [n, features] | U8 if every feature is 0 or 1, else F32 |
/// | `y_train` | [n] | U8 classes (255: no example); I32 above 254 classes (-1); F32 numbers (NaN) |
/// | `x_test`, `y_test` | the same | the same, without marks |
///
/// `__metadata__` holds `fastdp.format` ("1"), `schema` and `provenance` (both JSON).
///
/// n, the number of training slots, is the number of raw rows that the split sent there; a row that
/// was missing or rejected keeps its slot. See ``Examples``.
public final class Dataset: Sendable {
  /// What the columns were declared to be.
  public let schema: Schema
  /// Where the rows came from.
  public let provenance: Provenance
  /// The training split, one slot for each raw row.
  public let train: Examples
  /// The test split, kept rows only.
  public let test: Examples
  /// Which part of a dataset this is, or nil for the whole.
  public let shard: DatasetShard?
  private let reader: SafetensorsReader

  /// How many features a row has.
  public var features: Int { train.features }
  /// The features' names, in order.
  public var featureNames: [String] { provenance.featureNames }

  /// Maps a dataset file that holds a whole dataset.
  ///
  /// - Parameter path: A file that ``write(to:overwrite:)`` made.
  /// - Throws: ``FileError`` where it cannot be read; ``DataError`` `malformedDataset` where it is
  ///   no dataset file, disagrees with its own schema, or is a shard.
  /// - Complexity: O(rows) to check the labels; features are read when touched.
  public convenience init(contentsOf path: String) throws {
    try self.init(MappedBytes(contentsOf: path), name: path)
    if let shard {
      throw DataError(
        .malformedDataset,
        "holds shard \(shard.index + 1) of \(shard.count) only, and what it says of n is about all of"
          + " them; prepare without shards, or give the shards to as many ranks",
        at: .init(file: path))
    }
  }

  /// Whether a file begins as dataset files do: with the length of a header and its first brace.
  ///
  /// - Parameter path: Anything; it need not exist.
  /// - Returns: Whether ``init(contentsOf:)`` is the way to read it, and not a table's.
  public static func isFile(_ path: String) -> Bool {
    do {
      // A pipe's bytes cannot be put back.
      guard let size = try InputFile.size(ofFileAt: path), size >= 9 else { return false }
      let file = try InputFile(path: path)
      var front = [UInt8](repeating: 0, count: 9)
      let count = unsafe try front.withUnsafeMutableBytes { unsafe try file.read(into: $0) }
      // No text has NULs there, no other kind of table that brace.
      return count == 9 && front[8] == UInt8(ascii: "{") && front[4..<8].allSatisfy { $0 == 0 }
    } catch {
      return false
    }
  }

  /// Maps one shard of a dataset.
  ///
  /// Its ``train`` is the range of slots that begins at ``DatasetShard/firstRow``, and its ``test`` a
  /// share of the test rows; ``provenance`` is that of the whole dataset.
  ///
  /// - Parameter path: A file that `prepare` made with several shards.
  /// - Throws: As ``init(contentsOf:)`` does; `malformedDataset` also where the file is no shard.
  public convenience init(shard path: String) throws {
    try self.init(MappedBytes(contentsOf: path), name: path)
    guard shard != nil else {
      throw DataError(
        .malformedDataset, "is a whole dataset and no shard; prepare with shards",
        at: .init(file: path))
    }
  }

  /// Takes the bytes of a dataset file.
  ///
  /// - Parameters:
  ///   - bytes: The whole file.
  ///   - name: What error messages call it.
  /// - Throws: ``DataError`` `malformedDataset`.
  package init(_ bytes: MappedBytes, name: String) throws {
    let parts = try DatasetFormat.read(bytes, name: name)
    schema = parts.schema
    provenance = parts.provenance
    train = parts.train
    test = parts.test
    shard = parts.shard
    reader = parts.reader
  }

  /// Writes the dataset to a file that only its owner can read.
  ///
  /// - Parameters:
  ///   - path: The file to make.
  ///   - overwrite: Whether an existing file may be replaced.
  /// - Throws: ``FileError``; nothing is left behind then.
  /// - Complexity: O(bytes).
  public func write(to path: String, overwrite: Bool = false) throws {
    var file = try AtomicFile(path: path, overwrite: overwrite)
    // SAFETY: `reader` keeps the bytes through the call.
    unsafe try file.write(reader.bytes.buffer)
    try file.commit()
  }

  /// A hash of all the tensors' bytes: xxHash64, seed 0, over the file from the end of its header.
  ///
  /// - Returns: The same for the same rows under the same schema, on any machine.
  /// - Complexity: O(bytes), each time.
  public func contentHash() -> UInt64 {
    // SAFETY: `reader` keeps the bytes through the call and has checked the range.
    unsafe XXH64.hash(UnsafeRawBufferPointer(rebasing: reader.bytes.buffer[reader.dataRange]))
  }
}
