package import DPData
internal import DPMechanisms

/// The rows of the training split that one rank draws from and works on.
///
/// Ranks hold disjoint ranges that together are all n rows. Which rows a step draws depends on none of
/// this: each rank draws the sample of the blocks that its range touches, and keeps its own part.
package struct RowShare: Hashable, Sendable {
  /// The rows, counted over the whole split.
  package let rows: Range<Int>
  /// n, over all ranks.
  package let total: Int

  /// Where ranges begin that are cut here: at multiples of so many rows, if there are enough.
  package static let alignment = 4096

  /// Rows that a rank holds.
  package init(_ rows: Range<Int>, of total: Int) {
    precondition(rows.lowerBound >= 0 && rows.upperBound <= total, "rows \(rows) of \(total)")
    self.rows = rows
    self.total = total
  }

  /// A rank's part of rows that all ranks can read: even up to 1/64 of a part.
  ///
  /// - Parameters:
  ///   - total: n.
  ///   - rank: The rank, below `ranks`.
  ///   - ranks: How many share the rows.
  package init(of total: Int, rank: Int, ranks: Int) {
    var unit = RowShare.alignment
    while unit > 1, unit * 64 * ranks > total { unit /= 2 }
    func start(_ rank: Int) -> Int {
      rank == ranks ? total : min(total, (total * rank / ranks + unit / 2) / unit * unit)
    }
    self.init(start(rank)..<start(rank + 1), of: total)
  }

  /// A rank's part of a dataset: what it holds of one that is spread over shards, else its part of all.
  package init(of dataset: Dataset, rank: Int, ranks: Int) {
    if let held = dataset.held {
      self.init(held.train, of: held.trainRows)
    } else {
      self.init(of: dataset.train.count, rank: rank, ranks: ranks)
    }
  }

  /// All rows: the share of a rank that is alone.
  package init(all total: Int) { self.init(0..<total, of: total) }

  /// The blocks that the rows touch.
  func blocks(of records: RecordBlocks) -> Range<Int> {
    guard !rows.isEmpty else { return 0..<0 }
    return rows.lowerBound / records.size..<(rows.upperBound - 1) / records.size + 1
  }

  /// Takes away the records that are not of the share, and counts the others from its first row.
  ///
  /// - Parameter records: In ascending order.
  func keepOwn(_ records: inout [UInt32]) {
    guard rows.count < total else { return }
    let end = records.partitioningIndex { Int($0) >= rows.upperBound }
    records.removeSubrange(end...)
    let start = records.partitioningIndex { Int($0) >= rows.lowerBound }
    records.removeSubrange(..<start)
    let first = UInt32(rows.lowerBound)
    for index in records.indices { records[index] -= first }
  }
}

extension [UInt32] {
  /// The first index whose element meets a condition that all later ones meet too.
  fileprivate func partitioningIndex(where isLate: (UInt32) -> Bool) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if isLate(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
