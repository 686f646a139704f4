import DPAccounting
import DPData
import DPMechanisms
import DPModels
import DPTraining
import Foundation
import TestSupport
import Testing

/// Guarantees for units: what a plan accounts for, what a statement says, and what really happens.
@Suite struct UnitTests {
  /// A table in which the rows of one home have gradients along one axis, and those of others along
  /// another.
  private func dataset(bound: Int?, present: Bool = true) throws -> Dataset {
    let schema = """
      label: y
      unit: home
      \(bound.map { "max_rows_per_unit: \($0)" } ?? "")
      columns:
        x: {type: numeric, bounds: [0, 1], scaling: standard, mean: 0, std: 0.001}
        f: {type: binary}
        y: {type: binary}
      """
    var rows = (0..<94).map { "h\($0),0,1,\($0 % 2)\n" }
    // Six rows, of which at most four may count.
    rows += (0..<6).map { _ in "canary,\(present ? "1" : "NA"),0,1\n" }
    let folder = try ScratchFolder()
    var options = PrepareOptions()
    options.testFraction = 0
    return try Dataset.prepare(
      tables: [folder.write("home,x,f,y\n" + rows.joined(), to: "t.csv")],
      schema: Schema(text: schema, file: "s"), options: options
    ).dataset
  }

  private func plan(
    _ dataset: Dataset, _ change: (inout TrainingOptions) -> Void = { _ in }
  ) throws -> TrainingPlan {
    var options = TrainingOptions()
    options.hidden = []
    options.optimizer = .sgd
    options.learningRate = 0.025
    options.batchSize = 25
    options.length = .steps(200)
    options.privacy = .noiseMultiplier(2)
    change(&options)
    return try TrainingPlan(options, dataset: dataset, accountant: PLDAccountant())
  }

  /// What each of many steps releases along the home's axis, in units of C.
  private func releases(present: Bool, runs: Range<UInt64>) throws -> [Double] {
    let data = try dataset(bound: 4, present: present)
    let plan = try plan(data)
    let start = ModelState(parameters: [-0.5, 0, 0], optimizerSteps: 0, optimizerState: [])
    return try runs.flatMap { seed in
      let key = InsecureKey(seed: 2 * seed + (present ? 1 : 0))
      let engine = try StepEngine(plan, table: data.train.table, key: key, start: start)
      return (0..<200).map { step in
        let before = Double(engine.parameters[0])
        engine.take(step: step)
        return (Double(engine.parameters[0]) - before) * 25 / 0.025
      }
    }
  }

  /// An audit that is tight: telling the home's presence from one step succeeds as often as the
  /// accountant of a group of four says, and oftener than it says of single rows.
  @Test func oneStepTellsOfAUnitWhatIsAccounted() throws {
    let (sigma, size, q) = (2.0, 4, 0.25)
    let present = try releases(present: true, runs: 0..<100)
    let absent = try releases(present: false, runs: 0..<100)
    let weights = try MixtureOfGaussians.group(
      of: size, samplingRate: SamplingRate(q), noiseMultiplier: NoiseMultiplier(sigma)
    ).probabilities
    func loss(_ y: Double) -> Double {
      log(
        weights.enumerated().reduce(0) { sum, term in
          let k = Double(term.offset)
          return sum + term.element * exp(k * (2 * y - k) / (2 * sigma * sigma))
        })
    }
    let losses = (present.map(loss), absent.map(loss))
    func delta(_ epsilon: Double, group: Int) throws -> Double {
      let mechanism = try PoissonSubsampledGaussian(
        samplingRate: q, noiseMultiplier: sigma, groupSize: group)
      return try PLDAccountant().delta(
        of: [ComposedSteps(of: mechanism, count: 1)], epsilon: epsilon
      ).upper
    }
    let trials = Double(present.count)
    for epsilon in [0.0, 0.2, 0.5, 1] {
      let hits = (
        Double(losses.0.count { $0 > epsilon }) / trials,
        Double(losses.1.count { $0 > epsilon }) / trials
      )
      let found = hits.0 - exp(epsilon) * hits.1
      let variance = (hits.0 * (1 - hits.0) + exp(2 * epsilon) * hits.1 * (1 - hits.1)) / trials
      let error = 4.892 * variance.squareRoot()
      let claimed = try delta(epsilon, group: size)
      #expect(abs(found - claimed) <= error + 1e-3 * claimed, "\(epsilon): \(found), \(claimed)")
      #expect(try found - error > delta(epsilon, group: 1), "\(epsilon): no more than a row")
      let reverse =
        Double(losses.1.count { -$0 > epsilon }) / trials
        - exp(epsilon) * Double(losses.0.count { -$0 > epsilon }) / trials
      #expect(reverse <= claimed + error)
    }
  }

  @Test func aPlanAccountsForTheUnit() throws {
    let unit = try plan(dataset(bound: 4)) { $0.privacy = .epsilon(2) }
    #expect(unit.data.unit?.column == "home" && unit.data.unit?.maxRows == 4)
    #expect(try unit.mechanism()?.groupSize == 4 && unit.warnings.isEmpty)
    let mechanism = try unit.mechanism()
    let spent = try PLDAccountant().epsilon(
      of: [ComposedSteps(of: #require(mechanism), count: unit.steps)],
      delta: #require(unit.privacy?.delta)
    ).upper
    #expect(spent <= 2 && spent > 1.99)
    let single = try plan(dataset(bound: 1)) { $0.privacy = .epsilon(2) }
    let (noise, less) = (
      try #require(unit.privacy?.noiseMultiplier), try #require(single.privacy?.noiseMultiplier)
    )
    #expect(noise > 2 * less)
    #expect(single.data.unit?.maxRows == 1 && single.warnings.isEmpty)
    // A plan for one kind of privacy is none for the other.
    #expect(unit.differences(from: single).contains("schema"))
    #expect(throws: TrainingError.self) {
      _ = try Trainer(single, dataset: dataset(bound: 4), accountant: PLDAccountant())
    }
  }

  /// A bound that was cut out of a plan is noticed.
  @Test func aPlanThatForgetsTheUnitIsRefused() throws {
    let data = try dataset(bound: 4)
    let text = String(decoding: try JSONEncoder().encode(plan(data)), as: UTF8.self)
    let forged = text.replacing("\"maxRows\":4", with: "\"maxRows\":1")
    #expect(forged != text)
    let plan = try JSONDecoder().decode(TrainingPlan.self, from: Data(forged.utf8))
    #expect(throws: TrainingError.self) {
      _ = try Trainer(plan, dataset: data, accountant: PLDAccountant())
    }
  }

  @Test func aUnitWithoutABoundIsWarnedOf() throws {
    let plan = try plan(dataset(bound: nil))
    #expect(plan.data.unit == nil && plan.data.unboundedUnit == "home")
    #expect(try plan.mechanism()?.groupSize == 1)
    #expect(plan.warnings.contains { $0.contains("single rows") && $0.contains("\"home\"") })
    let free = try self.plan(dataset(bound: nil)) { $0.privacy = .none }
    #expect(free.warnings.isEmpty)
  }

  @Test func unitsAreRefusedUnderReplace() throws {
    let error = #expect(throws: TrainingError.self) {
      _ = try plan(dataset(bound: 4)) { $0.relation = .replace }
    }
    #expect(error?.message.contains("zero-out") == true)
  }
}
