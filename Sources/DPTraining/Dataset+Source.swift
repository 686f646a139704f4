public import DPData

extension Dataset {
  /// Opens data: a dataset file, all shards of one, or tables that are prepared in memory.
  ///
  /// - Parameters:
  ///   - names: A dataset file, shards, or a name of shards (see ``DatasetFiles``); or CSV or Parquet tables where
  ///     `schema` is given.
  ///   - schema: The declared facts of tables; nil for a dataset.
  ///   - options: How tables are read, split and checked.
  ///   - ranks: The ranks that train together, all of which call this, each with what it was given; nil
  ///     for a process that is alone. Of shards, a rank gets its part only: ranks that were given the
  ///     same shards divide their rows evenly.
  ///   - onMessage: Gets lines for the operator.
  /// - Returns: The data.
  /// - Throws: ``FileError`` or ``DataError``; ``TrainingError`` where ranks were given different data,
  ///   or not every shard once.
  public static func open(
    _ names: [String], schema: Schema?, options: PrepareOptions, ranks: TrainingRanks? = nil,
    onMessage: (String) -> Void = { _ in }
  ) throws -> Dataset {
    let files = try DatasetFiles.find(names, rank: ranks?.rank ?? 0)
    if let schema {
      let tables = try prepare(
        tables: files, schema: schema, options: options, onMessage: onMessage
      ).dataset
      _ = try ranks?.shards(nil)
      return tables
    }
    guard files.count > 1 || (try? ShardSet(files)) != nil else {
      let whole = try Dataset(contentsOf: files.first ?? "")
      _ = try ranks?.shards(nil)
      return whole
    }
    let shards = try ShardSet(files)
    return try ranks?.part(of: shards) ?? shards.whole()
  }
}

extension TrainingRanks {
  /// Tells all ranks what shards this one was given, if any.
  ///
  /// - Returns: What every rank was given; nil where none was given shards.
  /// - Throws: ``TrainingError`` where some were and some were not.
  fileprivate func shards(_ own: ShardFacts?) throws -> [ShardFacts]? {
    let all = try gather(own)
    let holders = all.compactMap(\.self)
    guard !holders.isEmpty else { return nil }
    if let other = all.indices.first(where: { (all[$0] == nil) != (all[0] == nil) }) {
      let (with, without) = all[0] == nil ? (other, 0) : (0, other)
      throw TrainingError(
        .ranksDiffer,
        "\(name(of: with)) was given shards and \(name(of: without)) a whole dataset or a table; give "
          + "all ranks shards of one dataset, or all the same file")
    }
    return holders
  }

  /// This rank's rows of shards.
  fileprivate func part(of shards: ShardSet) throws -> Dataset? {
    let own = ShardFacts(
      indices: shards.indices, count: shards.count, trainRows: shards.trainRows,
      rows: shards.train, testRows: shards.testRows,
      identity: shards.identity)
    guard let all = try self.shards(own) else { return nil }
    let part = try ShardDivision(all, name: name).part(of: rank)
    let hash = try gather(shards.contentHash(of: part.hashed)).reduce(0, &+)
    return try shards.dataset(
      HeldRows(
        train: part.train, test: part.test, trainRows: shards.trainRows, contentHash: hash),
      firstTestRow: part.firstTestRow)
  }
}
