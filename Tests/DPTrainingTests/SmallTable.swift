import DPAccounting
import DPData
import DPTraining
import TestSupport

/// A small table with a label that its columns predict, prepared in memory.
struct SmallTable {
  static let schema = """
    label: y
    columns:
      a: {type: numeric, bounds: [0, 9]}
      b: {type: binary}
      c: {type: categorical, categories: [r, s, t]}
      y: {type: binary}
    """

  var rows: [[String]]

  /// Rows that follow from their number alone.
  init(rows count: Int) {
    rows = (0..<count).map { row in
      let a = row * 7 % 10
      let b = row * 5 / 3 % 2
      return ["\(a)", "\(b)", ["r", "s", "t"][row * 11 % 3], a + 4 * b > 6 ? "1" : "0"]
    }
  }

  /// The table, prepared.
  func dataset(testFraction: Double = 0.2) throws -> Dataset {
    let folder = try ScratchFolder()
    var options = PrepareOptions()
    options.testFraction = testFraction
    return try Dataset.prepare(
      tables: [write(to: folder)], schema: Schema(text: SmallTable.schema, file: "schema"),
      options: options
    ).dataset
  }

  /// The table, prepared as shards of a name; returns their paths.
  func shards(_ count: Int, at path: String) throws -> [String] {
    let folder = try ScratchFolder()
    _ = try Dataset.prepare(
      tables: [write(to: folder)], schema: Schema(text: SmallTable.schema, file: "schema"),
      to: path, shards: count)
    return (0..<count).map { DatasetShard.path(path, index: $0, count: count) }
  }

  private func write(to folder: ScratchFolder) throws -> String {
    let lines = ([["a", "b", "c", "y"]] + rows).map { $0.joined(separator: ",") + "\n" }
    return try folder.write(Array(lines.joined().utf8), to: "table.csv")
  }
}

extension TrainingPlan {
  /// A plan by the only accountant.
  init(_ options: TrainingOptions, _ dataset: Dataset) throws {
    try self.init(options, dataset: dataset, accountant: RDPAccountant())
  }
}
