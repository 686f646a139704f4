import DPAccounting
import DPData
import DPMechanisms
import Foundation
import Synchronization
import TestSupport
import Testing

/// Estimates are charged before they are made, come from noise of the stated size, and move with one
/// row by no more than is charged.
struct PaidImputationTests {
  /// A ledger that remembers the order of things.
  private final class Witness: PrivacyLedger, Sendable {
    private let made = Mutex<[PoissonSubsampledGaussian]>([])
    let hasRoom: Bool

    init(hasRoom: Bool = true) { self.hasRoom = hasRoom }

    var charges: [PoissonSubsampledGaussian] { made.withLock(\.self) }

    func checkRoom(for count: Int, of mechanism: PoissonSubsampledGaussian) throws {
      guard hasRoom else { throw Full() }
    }

    func reserve(_ steps: Range<Int>, of mechanism: PoissonSubsampledGaussian) throws {
      guard hasRoom, steps == 0..<1 else { throw Full() }
      made.withLock { $0.append(mechanism) }
    }

    func release(_ steps: Range<Int>) throws { throw Full() }
  }

  /// A key that asks whether the charge was made, and may end the process's work there.
  private struct WatchingKey: RunKey {
    let witness: Witness
    let isSecret = false

    func derivedKey(for domain: RandomnessDomain) -> StreamKey {
      precondition(witness.charges.count == 1, "noise is drawn before the charge")
      return InsecureKey(seed: 1).derivedKey(for: domain)
    }
  }

  private struct Full: Error {}

  private let folder: ScratchFolder

  init() throws { folder = try ScratchFolder() }

  private static let schema = """
    label: y
    imputation: {noise_multiplier: 2}
    columns:
      a: {type: numeric, bounds: [0, 100], missing: impute, impute: mean}
      b: {type: numeric, bounds: [0, 100], missing: impute, impute: median, bins: 200}
      c: {type: categorical, categories: [u, v, w], missing: impute, impute: most-frequent}
      d: {type: numeric, bounds: [0, 100], missing: indicator, impute: most-frequent, bins: 10}
      y: {type: binary}
    """

  private func table(_ rows: Int, _ row: (Int) -> String) throws -> String {
    try folder.write("a,b,c,d,y\n" + (0..<rows).map { row($0) + "\n" }.joined(), to: "t.csv")
  }

  private func resolve(
    _ path: String, _ witness: Witness, schema text: String = schema, seed: UInt64 = 1,
    noise: Double = 2, testFraction: Double = 0
  ) throws -> (schema: Schema, released: Provenance.Imputation) {
    var options = PrepareOptions()
    options.testFraction = testFraction
    return try PaidImputation.resolve(
      Schema(text: text, file: "s.yaml"), tables: [path], options: options, noiseMultiplier: noise,
      relation: .zeroOut, ledger: witness, key: InsecureKey(seed: seed))
  }

  /// Each estimate is that of the rows, up to its bins and the noise: 4σ√4 in a count.
  @Test func estimatesAreThoseOfTheRows() throws {
    let path = try table(4000) { row in
      let value = Double(row % 1000) / 10
      let c = row % 7 < 4 ? "v" : row % 7 == 4 ? "NA" : "u"
      return
        "\(row % 5 == 0 ? "NA" : "\(value)"),\(value * value / 100),\(c),\(row % 3 == 0 ? 55 : row % 100),\(row % 2)"
    }
    let witness = Witness()
    let (schema, released) = try resolve(path, witness)
    let values = Dictionary(
      uniqueKeysWithValues: released.values.map { ($0.column, $0.value) })
    #expect(abs(try #require(Double(values["a"] ?? "")) - 50) < 3)
    #expect(abs(try #require(Double(values["b"] ?? "")) - 25) < 5)
    #expect(values["c"] == "v")
    #expect(abs(try #require(Double(values["d"] ?? "")) - 55) < 1e-9)
    #expect(released.noiseMultiplier == 2 && released.values.map(\.estimate).first == .mean)
    #expect(schema.columns.prefix(4).map(\.impute) == ["a", "b", "c", "d"].map { values[$0] })
    let charge = try PoissonSubsampledGaussian(samplingRate: 1, noiseMultiplier: 2)
    #expect(witness.charges == [charge])
    var options = PrepareOptions()
    options.imputation = released
    let data = try Dataset.prepare(tables: [path], schema: schema, options: options).dataset
    #expect(data.provenance.imputation == released)
    #expect(
      try Dataset.prepare(tables: [path], schema: schema).dataset.provenance.imputation == nil)
  }

  /// The noise of every count has the stated standard deviation: the sum of squares is χ², and fails by
  /// chance with a probability of 1e-6.
  @Test(arguments: [(0.5, 1, 1), (10, 3, 1), (4, 2, 5), (1e6, 100, 50)])
  func theNoiseHasItsVariance(noise: Double, columns: Int, rows: Int) {
    let bins = 20_000
    let histogram = NoisyHistogram(
      bins: bins, columns: columns, rowsPerUnit: rows, noiseMultiplier: noise)
    let scale = noise * Double(rows) * Double(columns).squareRoot()
    #expect(abs(histogram.noiseScale - scale) <= 1e-9 * scale)
    let counts = (0..<bins).map { $0 * 1_000_003 }
    let released = histogram.release(counts, key: InsecureKey(seed: 11))
    let squares = zip(released, counts).reduce(0.0) { $0 + pow(($1.0 - Double($1.1)) / scale, 2) }
    let k = Double(bins)
    let score = (cbrt(squares / k) - (1 - 2 / (9 * k))) / (2 / (9 * k)).squareRoot()
    #expect(abs(score) < 4.892, "\(score)")
    // A grid above 1 rounds the counts, and its share is charged.
    #expect((histogram.excess > 0) == (noise == 1e6))
  }

  /// Two tables that differ in one row: the likeliest way to tell them apart, the projection on the
  /// difference of their counts, tells no more than the charged ε allows.
  @Test func oneRowIsHiddenAsCharged() throws {
    let (noise, delta) = (4.0, 1e-3)
    let histogram = NoisyHistogram(bins: 6, columns: 2, rowsPerUnit: 1, noiseMultiplier: noise)
    let counts = [[5, 0, 7, 2, 9, 1], [4, 0, 7, 2, 8, 1]]
    let direction = zip(counts[0], counts[1]).map { Double($0 - $1) }
    let length = direction.reduce(0) { $0 + $1 * $1 }.squareRoot()
    // Nobody moves the counts further than σ was counted against.
    #expect(length <= histogram.sensitivity)
    let trials = 10_000
    let scores = counts.enumerated().map { which, table in
      (0..<trials).map { trial in
        let key = InsecureKey(seed: UInt64(2 * trial + which))
        return zip(histogram.release(table, key: key), direction).reduce(0) { $0 + $1.0 * $1.1 }
          / length
      }
    }
    let mechanism = try PoissonSubsampledGaussian(samplingRate: 1, noiseMultiplier: noise)
    let epsilon = try PLDAccountant().epsilon(
      of: [ComposedSteps(of: mechanism, count: 1)], delta: delta
    ).upper
    let middle = scores.flatMap(\.self).reduce(0, +) / Double(2 * trials)
    for threshold in stride(from: middle - 12, through: middle + 12, by: 2) {
      let p = scores.map { Double($0.count { $0 > threshold }) / Double(trials) }
      // Over five standard errors of each share, so 1e-6 also over all thresholds and directions.
      let slack = 2.75 * (1 + exp(epsilon)) / Double(trials).squareRoot()
      #expect(p[0] <= exp(epsilon) * p[1] + delta + slack)
      #expect(1 - p[1] <= exp(epsilon) * (1 - p[0]) + delta + slack)
    }
    // The shift that σ was counted against is really there, and the noise around it too.
    let shift = (scores[0].reduce(0, +) - scores[1].reduce(0, +)) / Double(trials)
    let error = histogram.noiseScale * (2 / Double(trials)).squareRoot()
    #expect(abs(shift - length) < 4.892 * error)
    let mean = scores[0].reduce(0, +) / Double(trials)
    let variance = scores[0].reduce(0) { $0 + pow($1 - mean, 2) } / Double(trials)
    let ratio = variance / pow(histogram.noiseScale, 2)
    #expect(abs(ratio - 1) < 4.892 * (2 / Double(trials)).squareRoot())
  }

  @Test func theChargeComesBeforeTheNoise() throws {
    let path = try table(50) { "\($0),NA,u,1,\($0 % 2)" }
    let witness = Witness()
    _ = try PaidImputation.resolve(
      Schema(text: Self.schema, file: "s.yaml"), tables: [path], options: .init(),
      noiseMultiplier: 2, relation: .zeroOut, ledger: witness, key: WatchingKey(witness: witness))
    #expect(witness.charges.count == 1)
  }

  /// What fails before the release costs nothing.
  @Test func whatFailsBeforeIsNotCharged() throws {
    let witness = Witness()
    let bad = try table(50) { "\($0 == 30 ? "x" : "1"),1,u,1,\($0 % 2)" }
    let error = #expect(throws: DataError.self) { _ = try resolve(bad, witness) }
    #expect(error?.location?.line == 32 && witness.charges.isEmpty)
    let good = try table(50) { "1,1,u,1,\($0 % 2)" }
    #expect(throws: Full.self) { _ = try resolve(good, Witness(hasRoom: false)) }
    #expect(throws: PrivacyError.self) { _ = try resolve(good, Witness(), noise: 0) }
    // Without estimates nothing can be prepared.
    let refused = #expect(throws: DataError.self) {
      _ = try Dataset.prepare(tables: [good], schema: Schema(text: Self.schema, file: "s.yaml"))
    }
    #expect(refused?.code == .invalidOption)
    #expect(refused?.message.contains("\"a\", \"b\", \"c\", \"d\"") == true)
  }

  /// A row more or less moves all later rows to other splits, so that no noise would hide it.
  @Test func addingAndRemovingRowsIsRefused() throws {
    let schema = try Schema(
      text: """
        label: y
        columns:
          a: {type: numeric, bounds: [0, 1], missing: impute, impute: mean, bins: 2}
          y: {type: binary}
        """, file: "s")
    // The counts of two tables that differ in their first row: far more than one of them moves.
    func examples(from first: Int) throws -> Int {
      let rows = (first..<1000).map { "\($0 % 2),\($0 % 2)\n" }.joined()
      var options = PrepareOptions()
      options.testFraction = 0.5
      let data = try Dataset.prepare(
        tables: [folder.write("a,y\n" + rows, to: "t.csv")],
        schema: try schema.resolved(with: ["a": "0"]), options: options
      ).dataset
      return (0..<data.train.count).count { data.train.label(of: $0) == 1 }
    }
    let moved = try abs(examples(from: 0) - examples(from: 1))
    #expect(moved > 1)
    let witness = Witness()
    let refused = #expect(throws: PrivacyError.self) {
      _ = try PaidImputation.resolve(
        schema, tables: [folder.file("t.csv")], options: .init(), noiseMultiplier: 2,
        relation: .addRemove, ledger: witness)
    }
    #expect(refused?.message.contains("zero-out") == true && witness.charges.isEmpty)
  }

  /// Rows of the test split, and rows beyond what a unit may have, are not counted.
  @Test func onlyTrainingExamplesAreCounted() throws {
    let schema = """
      label: y
      unit: h
      max_rows_per_unit: 2
      where: a != 77
      columns:
        a: {type: numeric, bounds: [0, 100], missing: impute, impute: mean, bins: 100}
        y: {type: binary}
      """
    // Every unit has two rows of 20.5 first, then eight of 80; half of the units are for testing.
    let rows = (0..<1000).flatMap { unit in
      (0..<10).map { "h\(unit),\($0 < 2 ? "20.5" : $0 == 2 ? "77" : "80"),\(unit % 2)\n" }
    }
    let path = try folder.write("h,a,y\n" + rows.joined(), to: "u.csv")
    let witness = Witness()
    let (_, released) = try resolve(path, witness, schema: schema, noise: 1, testFraction: 0.5)
    let mean = try #require(Double(released.values[0].value))
    // The noise of 100 counts, σm = 2 each, weighted by up to 80 over 1000 rows.
    #expect(abs(mean - 20.5) < 4.892 * 2 * 10 * 80 / 1000, "\(mean)")
    let charge = try #require(witness.charges.first)
    #expect(charge.groupSize == 2 && charge.noiseMultiplier.value == 2)
    // Per unit this is one Gaussian release with σ = 1.
    let one = try PLDAccountant().epsilon(
      of: [ComposedSteps(of: charge, count: 1)], delta: 1e-6
    ).upper
    let same = try PLDAccountant().epsilon(
      of: [
        ComposedSteps(
          of: PoissonSubsampledGaussian(samplingRate: 1, noiseMultiplier: 1), count: 1)
      ], delta: 1e-6
    ).upper
    #expect(abs(one - same) < 1e-9)
  }

  @Test func noiseAloneGivesAValueThatTheColumnCouldHave() throws {
    let path = try table(3) { "NA,NA,NA,NA,\($0 % 2)" }
    for seed in 0..<40 {
      let (schema, released) = try resolve(path, Witness(), seed: UInt64(seed), noise: 50)
      #expect(schema.estimatedColumns.isEmpty && released.values.count == 4)
    }
  }
}
