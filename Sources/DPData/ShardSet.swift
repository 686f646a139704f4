internal import DPFiles
internal import DPKernels

/// Which rows of a dataset a process holds that shares it with others.
package struct HeldRows: Hashable, Sendable {
  /// Training slots, counted over the whole dataset.
  package let train: Range<Int>
  /// Test rows, counted over the whole dataset.
  package let test: Range<Int>
  /// n, the training slots of the whole dataset.
  package let trainRows: Int
  /// ``Dataset/contentHash()`` of the whole dataset.
  package let contentHash: UInt64

  /// Rows of a dataset.
  package init(train: Range<Int>, test: Range<Int>, trainRows: Int, contentHash: UInt64) {
    self.train = train
    self.test = test
    self.trainRows = trainRows
    self.contentHash = contentHash
  }
}

/// Shards of one dataset that follow each other, of which only the headers have been read.
public struct ShardSet: Sendable {
  private struct File: Sendable {
    let path: String
    let shard: DatasetShard
    let parts: DatasetFormat.Parts

    var train: Range<Int> { shard.firstRow..<shard.firstRow + parts.train.count }
  }

  private let files: [File]

  /// How many shards the dataset has, here or elsewhere.
  public var count: Int { files[0].shard.count }
  /// The numbers of those that are here, from 0, in order.
  public var indices: [Int] { files.map(\.shard.index) }
  /// n, the training slots of the whole dataset.
  public var trainRows: Int { files[0].shard.trainRows }
  /// The training slots that are here, counted over the whole dataset.
  package var train: Range<Int> {
    files[0].train.lowerBound..<files[files.count - 1].train.upperBound
  }
  /// Test rows of each shard that is here.
  package var testRows: [Int] { files.map(\.parts.test.count) }
  /// A hash of what all shards of a dataset say alike: tables, schema, split.
  package var identity: String { ShardSet.identity(of: files[0].parts) }

  private static func identity(of parts: DatasetFormat.Parts) -> String {
    let texts = ["schema", "provenance"].map { parts.reader.metadata[$0] ?? "" }
    return String(XXH64.hash(texts.joined(separator: "\n")), radix: 16)
  }

  /// Looks at shards.
  ///
  /// - Parameter paths: Files that `prepare` made with several shards, at least one, in any order.
  /// - Throws: ``FileError`` where one cannot be read; ``DataError`` `malformedDataset` where one is no
  ///   shard, `invalidOption` where they are not of one dataset, one comes twice, or one between
  ///   them is missing.
  /// - Complexity: O(headers).
  public init(_ paths: [String]) throws {
    let found = try paths.map { path in
      let parts = try DatasetFormat.read(
        MappedBytes(contentsOf: path), name: path, checksLabels: false)
      guard let shard = parts.shard else {
        throw DataError(
          .malformedDataset,
          "is a whole dataset and no shard; name one dataset, or the shards of one",
          at: .init(file: path))
      }
      return File(path: path, shard: shard, parts: parts)
    }
    files = found.sorted { $0.shard.index < $1.shard.index }
    for (file, next) in zip(files, files.dropFirst()) { try ShardSet.check(file, next) }
  }

  private static func check(_ file: File, _ next: File) throws(DataError) {
    let place = DataError.Location(file: next.path)
    guard file.shard.count == next.shard.count, file.shard.trainRows == next.shard.trainRows,
      identity(of: file.parts) == identity(of: next.parts)
    else {
      throw DataError(
        .invalidOption,
        "is a shard of another dataset than \(file.path); name the shards of one", at: place)
    }
    guard file.shard.index < next.shard.index else {
      throw DataError(
        .invalidOption,
        "is shard \(next.shard.number), and so is \(file.path); name each shard once", at: place)
    }
    guard file.shard.index + 1 == next.shard.index else {
      throw DataError(
        .invalidOption,
        "is shard \(next.shard.number), and shard \(file.shard.index + 2) between it and "
          + "\(file.path) is missing; name shards that follow each other", at: place)
    }
    guard file.train.upperBound == next.train.lowerBound else {
      throw DataError(
        .malformedDataset,
        "does not begin where \(file.path) ends; prepare the shards again", at: place)
    }
  }

  /// The dataset that all shards together are.
  ///
  /// - Returns: The same rows as a file of the whole would hold, copied into memory.
  /// - Throws: ``DataError`` `malformedDataset` where shards are missing, or labels are not the schema's.
  /// - Complexity: O(bytes).
  public func whole() throws(DataError) -> Dataset {
    guard indices == Array(0..<count), train == 0..<trainRows else {
      let missing = (0..<count).first { !indices.contains($0) } ?? 0
      let here =
        files.count == 1
        ? "is shard \(files[0].shard.number) only" : "begins \(files.count) of \(count) shards"
      throw DataError(
        .malformedDataset,
        "\(here), and shard \(missing + 1) is missing; name all of them, or train on several ranks "
          + "that have them ('fastdp launch')", at: .init(file: files[0].path))
    }
    return try dataset(train: train, test: 0..<testRows.reduce(0, +), held: nil)
  }

  /// Some of the rows that are here.
  ///
  /// - Parameters:
  ///   - rows: Training slots that are here, and test rows, both counted over the whole dataset.
  ///   - firstTestRow: The place of the first test row that is here.
  /// - Returns: A dataset whose ``Dataset/train`` and ``Dataset/test`` hold these rows, and that tells
  ///   of the whole dataset otherwise. Rows of one file are read where they are, others copied.
  /// - Throws: ``DataError`` `malformedDataset` where labels are not the schema's.
  package func dataset(
    _ rows: HeldRows, firstTestRow: Int
  ) throws(DataError) -> Dataset {
    let test = rows.test.lowerBound - firstTestRow..<rows.test.upperBound - firstTestRow
    return try dataset(train: rows.train, test: test, held: rows)
  }

  /// The part that shards have in ``Dataset/contentHash()`` of the whole dataset.
  ///
  /// - Parameter indices: Numbers of shards that are here.
  /// - Returns: The parts of all shards add up to the whole's, modulo 2⁶⁴.
  /// - Complexity: O(bytes).
  package func contentHash(of indices: some Sequence<Int>) -> UInt64 {
    indices.reduce(0) { sum, index in
      let file = files[index - self.indices[0]]
      return sum &+ ContentHash.train(file.parts.train.table, firstRow: file.shard.firstRow)
        &+ ContentHash.test(file.parts.test.table)
    }
  }

  private func dataset(
    train: Range<Int>, test: Range<Int>, held: HeldRows?
  ) throws(DataError) -> Dataset {
    var parts = files[0].parts
    parts.train = rows(train, \.train, from: self.train.lowerBound)
    parts.test = rows(test, \.test, from: 0)
    for split in [parts.train, parts.test] {
      try DatasetFormat.checkLabels(split, parts.schema, name: files[0].path)
    }
    parts.shard = nil
    return Dataset(parts, held: held, isOneFile: false)
  }

  /// Rows of one split, where the first one that is here has a number.
  private func rows(
    _ rows: Range<Int>, _ split: KeyPath<DatasetFormat.Parts, Examples>, from first: Int
  ) -> Examples {
    var start = first
    let tables = files.map { file in
      let table = file.parts[keyPath: split].table
      defer { start += table.count }
      let own = rows.clamped(to: start..<start + table.count)
      return table.rows(own.lowerBound - start..<own.upperBound - start)
    }
    return Examples(table: .joined(tables))
  }
}

extension DatasetShard {
  /// For people: "2 of 4".
  var number: String { "\(index + 1) of \(count)" }
}
