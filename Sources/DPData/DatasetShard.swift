/// Which part of a dataset a file holds, for training on several machines.
///
/// The shards of a dataset hold consecutive ranges of its training slots. Ranges begin at multiples
/// of ``alignment`` rows, so that they fall together with the blocks that samplers draw, whose sizes
/// are powers of two.
public struct DatasetShard: Codable, Hashable, Sendable {
  /// The rows that a shard's first row is a multiple of.
  public static let alignment = 4096

  /// The shard's number, from 0.
  public let index: Int
  /// How many shards the dataset has.
  public let count: Int
  /// The place of the shard's first training slot in the whole dataset.
  public let firstRow: Int
  /// The training slots of the whole dataset: n.
  public let trainRows: Int

  /// The training slots of a shard.
  ///
  /// - Parameters:
  ///   - index: 0 up to `count`.
  ///   - count: How many shards there are, at least 1.
  ///   - trainRows: The training slots of the whole dataset.
  /// - Returns: A range that begins at a multiple of ``alignment`` or at the end; empty where there
  ///   are too few rows.
  static func range(_ index: Int, of count: Int, trainRows: Int) -> Range<Int> {
    func bound(_ index: Int) -> Int {
      guard index < count else { return trainRows }
      let even = trainRows / count * index + trainRows % count * index / count
      return min(trainRows, (even + alignment / 2) / alignment * alignment)
    }
    return bound(index)..<bound(index + 1)
  }

  /// The name of a shard's file: `D-00000-of-00004.safetensors`.
  ///
  /// - Parameters:
  ///   - path: The name asked for; an ending `.safetensors` moves behind the numbers.
  ///   - index: 0 up to `count`.
  ///   - count: How many shards there are.
  /// - Returns: The path.
  public static func path(_ path: String, index: Int, count: Int) -> String {
    let ending = ".safetensors"
    let stem = path.hasSuffix(ending) ? String(path.dropLast(ending.count)) : path
    func digits(_ number: Int) -> String {
      let text = String(number)
      return String(repeating: "0", count: max(0, 5 - text.count)) + text
    }
    return "\(stem)-\(digits(index))-of-\(digits(count))\(ending)"
  }
}
