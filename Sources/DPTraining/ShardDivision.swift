internal import DPData

/// What a rank says of the shards that it was given.
package struct ShardFacts: Codable, Hashable {
  /// Their numbers, from 0, in order.
  package var indices: [Int]
  /// How many shards the dataset has.
  package var count: Int
  /// n.
  package var trainRows: Int
  /// Their first training slot, and the one after their last.
  package var rows: [Int]
  /// Test rows of each.
  package var testRows: [Int]
  /// What all shards of the dataset say alike.
  package var identity: String

  /// What a rank was given.
  package init(
    indices: [Int], count: Int, trainRows: Int, rows: Range<Int>, testRows: [Int], identity: String
  ) {
    self.indices = indices
    self.count = count
    self.trainRows = trainRows
    self.rows = [rows.lowerBound, rows.upperBound]
    self.testRows = testRows
    self.identity = identity
  }
}

/// How ranks divide the rows of shards between them.
///
/// Ranks that were given the same shards share their rows evenly; ranks that were given others have
/// none of them. So every rank can be given all shards, or each its own, or those of a host to the ranks
/// of that host.
package struct ShardDivision {
  private let facts: [ShardFacts]
  private let testRows: [Int]

  /// Checks that every shard is with somebody, and with nobody else.
  ///
  /// - Parameters:
  ///   - facts: Of every rank.
  ///   - name: A rank's name for people.
  /// - Throws: ``TrainingError`` that names the ranks, the shard and the remedy.
  package init(_ facts: [ShardFacts], name: (Int) -> String) throws(TrainingError) {
    self.facts = facts
    let count = facts[0].count
    for (rank, other) in facts.enumerated() {
      guard other.identity == facts[0].identity, other.count == count,
        other.trainRows == facts[0].trainRows
      else {
        throw TrainingError(
          .ranksDiffer,
          "\(name(rank)) has shards of another dataset than \(name(0)): of other tables, by another "
            + "schema, or in another number; give all ranks shards of one dataset")
      }
    }
    testRows = try (0..<count).map { shard throws(TrainingError) in
      let holders = facts.indices.filter { facts[$0].indices.contains(shard) }
      guard let first = holders.first, let place = facts[first].indices.firstIndex(of: shard) else {
        throw TrainingError(
          .ranksDiffer,
          "no rank has shard \(shard + 1) of \(count); give it to one of the \(facts.count) ranks, or "
            + "all shards to all of them")
      }
      if let other = holders.first(where: { facts[$0].indices != facts[first].indices }) {
        throw TrainingError(
          .ranksDiffer,
          "\(name(first)) and \(name(other)) both have shard \(shard + 1) of \(count), and not the "
            + "same shards otherwise; give each rank shards of its own, or all ranks the same")
      }
      return facts[first].testRows[place]
    }
  }

  /// What a rank takes.
  package struct Part: Hashable {
    /// Its training slots, counted over the whole dataset.
    package var train: Range<Int>
    /// Its test rows, counted over the whole dataset.
    package var test: Range<Int>
    /// The first test row of the shards that it was given.
    package var firstTestRow: Int
    /// The numbers of the shards whose hash it computes.
    package var hashed: [Int]
  }

  /// A rank's part.
  ///
  /// - Parameter rank: Any rank.
  /// - Returns: Parts of all ranks are disjoint and everything.
  package func part(of rank: Int) -> Part {
    let own = facts[rank]
    let sharers = facts.indices.filter { facts[$0].indices == own.indices }
    let place = sharers.firstIndex(of: rank) ?? 0
    func cut(_ count: Int) -> Range<Int> {
      count * place / sharers.count..<count * (place + 1) / sharers.count
    }
    let share = RowShare(of: own.rows[1] - own.rows[0], rank: place, ranks: sharers.count).rows
    let firstTestRow = testRows[..<(own.indices.first ?? 0)].reduce(0, +)
    let test = cut(own.testRows.reduce(0, +))
    return Part(
      train: own.rows[0] + share.lowerBound..<own.rows[0] + share.upperBound,
      test: firstTestRow + test.lowerBound..<firstTestRow + test.upperBound,
      firstTestRow: firstTestRow, hashed: Array(own.indices[cut(own.indices.count)]))
  }
}
