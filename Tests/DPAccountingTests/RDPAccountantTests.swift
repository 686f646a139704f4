import DPAccounting
import Foundation
import TestSupport
import Testing

/// Values to agree with: computed by other programs, read from beside the checkout where present.
struct GoldenCase {
  let id: String
  let fields: [String: Any]

  func number(_ key: String) -> Double? { fields[key] as? Double }
  func numbers(_ key: String) -> [Double] { fields[key] as? [Double] ?? [] }
  func part(_ key: String) -> GoldenCase {
    GoldenCase(id: id, fields: fields[key] as? [String: Any] ?? [:])
  }

  /// The cases of a group, or none with a message where the file is absent.
  static func group(_ name: String) throws -> [GoldenCase] {
    guard let path = SharedFile.path("golden/privacy.json") else { return [] }
    let data = try Data(contentsOf: URL(filePath: path))
    let object = try JSONSerialization.jsonObject(with: data) as? [String: Any]
    let cases = object?["cases"] as? [[String: Any]] ?? []
    return cases.filter { $0["group"] as? String == name }
      .map { GoldenCase(id: $0["id"] as? String ?? "?", fields: $0) }
  }
}

@Suite struct RDPAccountantTests {
  @Test func oneStepAgreesWithQuadratureInSixtyDigits() throws {
    for golden in try GoldenCase.group("rdp_raw") {
      // The other cases hold another program's looser bound at fractional orders.
      guard "\(golden.fields["note"] ?? "")".contains("mpmath") else { continue }
      let orders = golden.numbers("orders")
      let mechanism = try PoissonSubsampledGaussian(
        samplingRate: #require(golden.number("q")),
        noiseMultiplier: #require(golden.number("sigma")))
      let values = try RDPAccountant(orders: orders).divergences(of: mechanism)
      for (value, expected) in zip(values, golden.numbers("rdp_one_step")) {
        #expect(abs(value - expected) <= 1e-11 * expected, "\(golden.id)")
        #expect(value >= expected * (1 - 1e-13), "\(golden.id): not an upper bound")
      }
    }
  }

  @Test func epsilonAgreesWithExactDivergences() throws {
    var compared = 0
    for golden in try GoldenCase.group("epsilon_of_delta") {
      let epsilon = golden.part("epsilon")
      guard golden.fields["mechanism"] as? String == "poisson_subsampled_gaussian",
        let expected = epsilon.number("rdp_exact_fractional"), let q = golden.number("q"),
        let sigma = golden.number("sigma"), let steps = golden.fields["steps"] as? Int,
        let delta = golden.number("delta")
      else { continue }
      let mechanism = try PoissonSubsampledGaussian(samplingRate: q, noiseMultiplier: sigma)
      let composed = [try ComposedSteps(of: mechanism, count: steps)]
      let answer = try RDPAccountant().epsilon(of: composed, delta: delta).upper
      #expect(abs(answer - expected) <= 1e-6 * expected, "\(golden.id): \(answer), \(expected)")
      if let best = epsilon.number("ref_pessimistic") {
        #expect(answer >= best * (1 - 1e-4), "\(golden.id): below a tight upper bound")
      }
      let curve = try RDPAccountant().spending(of: mechanism, delta: delta)
      #expect(abs(curve(steps) - answer) <= 1e-9 * answer)
      compared += 1
    }
    print("compared \(compared) golden cases")
  }

  @Test func replaceIsNeverBelowTheTightValueAndDoublesTheUnsampledShift() throws {
    for golden in try GoldenCase.group("replace_one") {
      let mechanism = try PoissonSubsampledGaussian(
        samplingRate: #require(golden.number("q")),
        noiseMultiplier: #require(golden.number("sigma")), relation: .replace)
      let steps = try #require(golden.fields["steps"] as? Int)
      let best = try #require(golden.part("epsilon").number("best"))
      let answer = try RDPAccountant().epsilon(
        of: [ComposedSteps(of: mechanism, count: steps)],
        delta: #require(golden.number("delta")))
      #expect(answer.upper >= best)
      #expect(answer.upper <= 4 * best)
    }
    let one = try PoissonSubsampledGaussian(
      samplingRate: 1, noiseMultiplier: 2, relation: .replace)
    let half = try PoissonSubsampledGaussian(samplingRate: 1, noiseMultiplier: 1)
    #expect(RDPAccountant().divergences(of: one) == RDPAccountant().divergences(of: half))
  }

  @Test(arguments: [1.1, 1.5, 2, 3.7, 5, 8, 16])
  func replaceTendsToTheUnsampledGaussian(order: Double) throws {
    let accountant = try RDPAccountant(orders: [order])
    let nearly = try PoissonSubsampledGaussian(
      samplingRate: 1 - 1e-9, noiseMultiplier: 3, relation: .replace)
    let full = try PoissonSubsampledGaussian(
      samplingRate: 1, noiseMultiplier: 3, relation: .replace)
    let expected = accountant.divergences(of: full)[0]
    #expect(abs(accountant.divergences(of: nearly)[0] - expected) <= 1e-6 * expected)
  }

  @Test(arguments: [1e-6, 0.01, 0.3, 0.9], [0.4, 1, 5, 100])
  func quadratureContinuesTheBinomialSum(rate: Double, sigma: Double) throws {
    let mechanism = try PoissonSubsampledGaussian(samplingRate: rate, noiseMultiplier: sigma)
    for order in [2, 3, 5, 17, 63] as [Double] {
      let orders = [order - 1e-7, order, order + 1e-7]
      let values = try RDPAccountant(orders: orders).divergences(of: mechanism)
      let middle = (values[0] + values[2]) / 2
      #expect(abs(values[1] - middle) <= 1e-6 * values[1])
      #expect(values[0] <= values[1] * (1 + 1e-10) && values[1] <= values[2] * (1 + 1e-10))
    }
  }

  @Test func epsilonIsMonotone() throws {
    func epsilon(_ q: Double, _ sigma: Double, _ steps: Int, _ delta: Double) throws -> Double {
      let mechanism = try PoissonSubsampledGaussian(samplingRate: q, noiseMultiplier: sigma)
      return try RDPAccountant().epsilon(
        of: [ComposedSteps(of: mechanism, count: steps)], delta: delta
      ).upper
    }
    for q in [0.001, 0.02, 0.5] {
      for sigma in [0.5, 1, 4] {
        let base = try epsilon(q, sigma, 1000, 1e-6)
        #expect(try epsilon(q * 1.5, sigma, 1000, 1e-6) >= base)
        #expect(try epsilon(q, sigma * 1.5, 1000, 1e-6) <= base)
        #expect(try epsilon(q, sigma, 1500, 1e-6) >= base)
        #expect(try epsilon(q, sigma, 1000, 1e-5) <= base)
      }
    }
    #expect(try epsilon(0.01, 1, 0, 1e-6) == 0)
    #expect(try epsilon(0, 1, 1000, 1e-6) == 0)
  }

  /// Hardly any noise is no guarantee, never a perfect one; and it is said in bounded time.
  @Test(arguments: [1e-4, 1e-3, 0.01, 0.05], NeighbouringRelation.allCases)
  func hardlyAnyNoiseIsHardlyAnyPrivacy(sigma: Double, relation: NeighbouringRelation) throws {
    for q in [1e-6, 0.01, 0.9, 1] {
      let mechanism = try PoissonSubsampledGaussian(
        samplingRate: q, noiseMultiplier: sigma, relation: relation)
      let steps = try ComposedSteps(of: mechanism, count: 10)
      #expect(try RDPAccountant().epsilon(of: [steps], delta: 1e-6).upper > 10)
    }
  }

  @Test func phasesAddUp() throws {
    let mechanism = try PoissonSubsampledGaussian(samplingRate: 0.01, noiseMultiplier: 1)
    func steps(_ counts: Int...) throws -> Double {
      try RDPAccountant().epsilon(
        of: counts.map { try ComposedSteps(of: mechanism, count: $0) }, delta: 1e-6
      ).upper
    }
    #expect(abs(try steps(300, 700) - steps(1000)) <= 1e-12)
  }

  @Test func badParametersAreNamed() throws {
    func message(_ body: () throws -> Void) -> String {
      do { try body() } catch { return "\(error)" }
      return ""
    }
    #expect(message { _ = try SamplingRate(1.5) }.contains("1.5"))
    #expect(message { _ = try SamplingRate(.nan) }.contains("nan"))
    #expect(message { _ = try NoiseMultiplier(0) }.contains("at least 0.0001"))
    #expect(message { _ = try RDPAccountant(orders: [1e19]) }.contains("order is 1e+19"))
    #expect(message { _ = try NoiseMultiplier(.infinity) }.contains("inf"))
    #expect(message { _ = try PrivacyTarget(epsilon: 0, delta: 0.1) }.contains("epsilon is 0"))
    #expect(message { _ = try PrivacyTarget(epsilon: 1, delta: 1) }.contains("delta is 1"))
    #expect(message { _ = try PrivacyTarget(epsilon: 1, delta: 0) }.contains("delta is 0"))
    #expect(message { _ = try RDPAccountant(orders: [1]) }.contains("order is 1"))
    let mechanism = try PoissonSubsampledGaussian(samplingRate: 0.1, noiseMultiplier: 1)
    #expect(message { _ = try ComposedSteps(of: mechanism, count: -1) }.contains("-1"))
  }

  /// The divergence of a rare step is about q², which underflows; it is still not perfectly private.
  @Test(arguments: [1e-155, 1e-170, 1e-300], [NeighbouringRelation.zeroOut, .replace])
  func rareStepsAreNotPerfectlyPrivate(rate: Double, relation: NeighbouringRelation) throws {
    let step = try PoissonSubsampledGaussian(
      samplingRate: rate, noiseMultiplier: 1, relation: relation)
    #expect(RDPAccountant().divergences(of: step).allSatisfy { $0 > 0 })
    let bounds = try RDPAccountant().delta(of: [ComposedSteps(of: step, count: 10)], epsilon: 1)
    #expect(bounds.upper > 0)
  }
}
