import DPData
import DPFiles
import DPParquet
import Foundation
import TestSupport
import Testing

/// Folders of rows that a cluster left: what is read of them, and what is refused.
struct PreparedFolderTests {
  /// A row as a cluster writes it.
  struct Row {
    var ordinal: Int
    var isTest: Bool
    var status: Int32 = 0
    var label: Int32?
    var number: Float?
    var isMissing: Int32?
    var category: Int32?
    var bit: Int32?
  }

  let folder: ScratchFolder
  private static let schema = """
    label: y
    columns:
      n: {type: numeric, bounds: [0, 1], missing: indicator}
      c: {type: categorical, categories: [p, q], other: true}
      b: {type: binary}
      y: {type: categorical, categories: [u, v, w]}
    """

  init() throws { folder = try ScratchFolder() }

  private static func rows(_ count: Int, seed: UInt64) -> [Row] {
    var random = SeededGenerator(seed: seed)
    return (0..<count).map { ordinal in
      let isTest = Int.random(in: 0..<3, using: &random) == 0
      guard Int.random(in: 0..<5, using: &random) > 0 else {
        return Row(ordinal: ordinal, isTest: isTest, status: [1, 2, 3, 43][ordinal % 4])
      }
      let isMissing = Int.random(in: 0..<4, using: &random) == 0
      return Row(
        ordinal: ordinal, isTest: isTest, label: Int32.random(in: 0..<3, using: &random),
        number: isMissing ? nil : Float.random(in: -1...1, using: &random),
        isMissing: isMissing ? 1 : 0, category: Int32.random(in: 0..<3, using: &random),
        bit: Int32.random(in: 0..<2, using: &random))
    }
  }

  /// Writes a folder; the rows go to several files in whatever order they have.
  private func write(
    _ rows: [Row], files: Int = 3, rowsRead: Int? = nil, trainRows: Int? = nil,
    columns: [ParquetWriter.Column] = PreparedFolderTests.columns
  ) throws -> String {
    let path = folder.file("prepared")
    try? FileManager.default.removeItem(atPath: path)
    try FileManager.default.createDirectory(
      atPath: path + "/_fastdp", withIntermediateDirectories: true)
    for file in 0..<files {
      let part = rows[rows.count * file / files..<rows.count * (file + 1) / files]
      var writer = try ParquetWriter(path: "\(path)/part-0000\(file).parquet", columns: columns)
      let values: [ParquetValues] = [
        .int64s(part.map { Int64($0.ordinal) }), .booleans(part.map(\.isTest)),
        .int32s(part.map(\.status)), .int32s(part.map(\.label)), .floats(part.map(\.number)),
        .int32s(part.map(\.isMissing)), .int32s(part.map(\.category)), .int32s(part.map(\.bit)),
      ]
      try writer.write(Array(values.prefix(columns.count)))
      try writer.finish()
    }
    let schema = try Schema(text: Self.schema, file: "schema")
    let provenance = Provenance(
      source: "made", inputs: [.init(name: "made.csv", bytes: 9)], rowsRead: rowsRead ?? rows.count,
      splitKey: 0, testFraction: 0.3, trainRows: trainRows ?? rows.count { !$0.isTest },
      featureNames: schema.featureNames, fastdpVersion: "0")
    let mark = try PreparedFolder.Mark(schema, provenance).line + "\n"
    _ = try folder.write(mark, to: "prepared/_fastdp/part-00000.txt")
    for name in ["_SUCCESS", "_fastdp/_SUCCESS"] {
      _ = try folder.write("", to: "prepared/\(name)")
    }
    return path
  }

  private static let columns: [ParquetWriter.Column] = [
    .init("ordinal", .integer(bits: 64, isSigned: true)), .init("test", .boolean),
    .init("status", .integer(bits: 32, isSigned: true)),
    .init("y", .integer(bits: 32, isSigned: true)), .init("x0", .float),
    .init("m0", .integer(bits: 8, isSigned: true)), .init("x1", .integer(bits: 32, isSigned: true)),
    .init("x2", .integer(bits: 8, isSigned: true)),
  ]

  @Test(arguments: 1...4 as ClosedRange<UInt64>)
  func rowsComeInTheOrderOfTheTables(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let rows = Self.rows(500, seed: seed)
    let dataset = try Dataset(contentsOf: write(rows.shuffled(using: &random)))
    let train = rows.filter { !$0.isTest }
    let test = rows.filter { $0.isTest && $0.status == 0 }
    #expect(dataset.train.count == train.count)
    #expect(dataset.test.count == test.count)
    for (examples, rows) in [(dataset.train, train), (dataset.test, test)] {
      for (slot, row) in rows.enumerated() {
        #expect(examples.label(of: slot) == row.label.map { Float($0) })
        #expect(examples.features(of: slot) == Self.features(row))
      }
    }
  }

  private static func features(_ row: Row) -> [Float] {
    guard row.status == 0 else { return [0, 0, 0, 0, 0, 0] }
    let category = (0..<3).map { Float($0 == row.category ?? -1 ? 1 : 0) }
    return [row.number ?? 0, Float(row.isMissing ?? 0)] + category + [Float(row.bit ?? 0)]
  }

  @Test(
    arguments: [
      { $0[3].ordinal = 4 }, { $0[3].ordinal = -1 }, { $0[3].ordinal = 40 }, { $0[3].label = 3 },
      { $0[3].label = nil }, { $0[3].number = .nan }, { $0[3].bit = 2 }, { $0[3].bit = nil },
      { $0[3].category = 3 }, { $0[3].category = -1 }, { $0[3].category = nil },
      { $0[3].isMissing = nil }, { $0.removeLast() }, { $0[3].isTest.toggle() },
    ] as [@Sendable (inout [Row]) -> Void])
  func rowsThatTheMarkDoesNotAllowAreRefused(change: @Sendable (inout [Row]) -> Void) throws {
    var rows = Self.rows(40, seed: 1)
    rows[3] = Row(
      ordinal: 3, isTest: false, label: 1, number: 0.5, isMissing: 0, category: 2, bit: 1)
    let trainRows = rows.count { !$0.isTest }
    _ = try Dataset(contentsOf: write(rows))
    change(&rows)
    let path = try write(rows, rowsRead: 40, trainRows: trainRows)
    let error = #expect(throws: DataError.self) { try Dataset(contentsOf: path) }
    #expect(error?.code == .malformedDataset)
  }

  @Test(
    arguments: [
      "rm _SUCCESS", "rm -r _fastdp", "rm _fastdp/_SUCCESS", "rm part-00001.parquet",
      "mkdir _temporary", ": > _fastdp/part-00000.txt", "echo '{' > _fastdp/part-00000.txt",
      "truncate -s 300 part-00002.parquet", "echo hello > part-00000.parquet",
      "sed -i s/fastdp.format.:.1/fastdp.format\\\":\\\"9/ _fastdp/part-00000.txt",
    ])
  func aFolderThatIsNotWholeIsRefused(damage: String) throws {
    let path = try write(Self.rows(60, seed: 2))
    _ = try Dataset(contentsOf: path)
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = ["-c", "cd '\(path)' && \(damage)"]
    try process.run()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
    let error = #expect(throws: DataError.self) { try Dataset(contentsOf: path) }
    #expect(error?.code == .malformedDataset)
    #expect(error?.description.contains("prepared") == true, "\(error as Any)")
  }

  @Test func columnsOfOtherTypesAreRefused() throws {
    var columns = Self.columns
    columns.removeLast()
    let path = try write(Self.rows(30, seed: 3), columns: columns)
    #expect(throws: DataError.self) { try Dataset(contentsOf: path) }
  }
}
