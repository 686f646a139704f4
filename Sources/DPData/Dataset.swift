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
  /// Which rows of a dataset that is shared with other processes these are; nil for the whole.
  package let held: HeldRows?
  /// The bytes of the file, or of what would be one; nil for rows of several.
  private let reader: SafetensorsReader?

  /// n: the training slots of the whole dataset, also where only some of them are here.
  public var trainRows: Int { held?.trainRows ?? shard?.trainRows ?? train.count }
  /// How many features a row has.
  public var features: Int { train.features }
  /// The features' names, in order.
  public var featureNames: [String] { provenance.featureNames }

  /// Maps a dataset file that holds a whole dataset, or reads a folder of one.
  ///
  /// A folder is what `prepare --engine spark` leaves; it is read into memory.
  ///
  /// - Parameter path: A file that ``write(to:overwrite:)`` made, or such a folder.
  /// - Throws: ``FileError`` where it cannot be read; ``DataError`` `malformedDataset` where it is
  ///   no dataset file, disagrees with its own schema, or is a shard.
  /// - Complexity: O(rows) to check the labels; features are read when touched, but those of a folder at
  ///   once.
  public convenience init(contentsOf path: String) throws {
    let bytes =
      PreparedFolder.isFolder(path)
      ? try PreparedFolder.read(path) : try MappedBytes(contentsOf: path)
    try self.init(bytes, name: path)
    if let shard {
      throw DataError(
        .malformedDataset,
        "holds shard \(shard.index + 1) of \(shard.count) only, and what it says of n is about all of"
          + " them; name all shards, or train on several ranks that have them ('fastdp launch')",
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
  package convenience init(_ bytes: MappedBytes, name: String) throws {
    self.init(try DatasetFormat.read(bytes, name: name))
  }

  /// Takes what was read and checked.
  ///
  /// - Parameters:
  ///   - parts: All rows of a file, or rows of several.
  ///   - held: Which rows these are of a dataset that processes share.
  ///   - isOneFile: Whether the rows are all those of the file.
  init(_ parts: DatasetFormat.Parts, held: HeldRows? = nil, isOneFile: Bool = true) {
    self.held = held
    schema = parts.schema
    provenance = parts.provenance
    train = parts.train
    test = parts.test
    shard = parts.shard
    reader = isOneFile ? parts.reader : nil
  }

  /// Writes the dataset to a file that only its owner can read.
  ///
  /// - Parameters:
  ///   - path: The file to make.
  ///   - overwrite: Whether an existing file may be replaced.
  /// - Throws: ``FileError``; nothing is left behind then. ``DataError`` `invalidOption` for rows that
  ///   were put together from shards.
  /// - Complexity: O(bytes).
  public func write(to path: String, overwrite: Bool = false) throws {
    guard let reader else {
      throw DataError(.invalidOption, "rows of shards cannot be written; prepare without shards")
    }
    var file = try AtomicFile(path: path, overwrite: overwrite)
    // SAFETY: `reader` keeps the bytes through the call.
    unsafe try file.write(reader.bytes.buffer)
    try file.commit()
  }

  /// A hash of all rows: xxHash64 of blocks of 4,096 training slots, each seeded by its place, and of
  /// each test row, added up.
  ///
  /// - Returns: The same for the same rows under the same schema, on any machine, in one file or in
  ///   shards; a shard's own hash is its part of the sum. Where some rows are here of a dataset that
  ///   processes share, the hash of the whole.
  /// - Complexity: O(bytes), each time.
  public func contentHash() -> UInt64 {
    held?.contentHash
      ?? ContentHash.train(train.table, firstRow: shard?.firstRow ?? 0)
      &+ ContentHash.test(test.table)
  }
}
