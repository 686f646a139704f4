import DPData
import DPSpark
import Foundation
import TestSupport
import Testing

/// How long a preparation takes, where a table is named: nothing that `make test` waits for.
///
///     FASTDP_SPARK_TABLE=people.csv FASTDP_SPARK_SCHEMA=people.yaml scripts/test --filter SpeedTests
struct SpeedTests {
  private static let table = ProcessInfo.processInfo.environment["FASTDP_SPARK_TABLE"]

  /// Prints the seconds of the first preparation of a new Spark, and of five more in the same session.
  @Test(.enabled(if: table != nil && TestSpark.isThere, "FASTDP_SPARK_TABLE names no table"))
  func aPreparationIsTimed() throws {
    let folder = try ScratchFolder()
    let table = try #require(Self.table)
    let path = try #require(ProcessInfo.processInfo.environment["FASTDP_SPARK_SCHEMA"])
    let schema = try Schema(contentsOf: path)
    let start = ContinuousClock.now
    let spark = try TestSpark()
    print("start of Spark: \((ContinuousClock.now - start) / .seconds(1)) s")
    let native = try Dataset.prepare(tables: [table], schema: schema).dataset.contentHash()
    for round in 0..<6 {
      let preparation = SparkPreparation(
        tables: [table], schema: schema, to: folder.file("out\(round)"), options: .init(),
        executor: spark.program)
      try preparation.open()
      let report = try preparation.write()
      print("preparation \(round): \(report.seconds) s")
    }
    let reading = ContinuousClock.now
    #expect(try Dataset(contentsOf: folder.file("out5")).contentHash() == native)
    print("reading: \((ContinuousClock.now - reading) / .seconds(1)) s")
    for (title, seconds) in spark.program.seconds.sorted(by: { $0.key < $1.key }) {
      print("\(title): \(seconds.map { "\($0)" }.joined(separator: " "))")
    }
  }
}
