import DPAccounting
import Foundation
import Testing

@Suite struct DiscreteNoiseAccountantTests {
  private func steps(_ count: Int, sigma: Double = 1.1) throws -> [ComposedSteps] {
    let step = try PoissonSubsampledGaussian(samplingRate: 0.01, noiseMultiplier: sigma)
    return [try ComposedSteps(of: step, count: count)]
  }

  /// The inequality that the proof rests on, on grids coarse enough to see the difference.
  @Test(arguments: [6.0, 10, 40])
  func probabilitiesAreAsCloseAsTheProofSays(s: Double) {
    let total = (-Int(40 * s)...Int(40 * s)).reduce(0.0) {
      $0 + exp(-Double($1 * $1) / (2 * s * s))
    }
    for x in 0...Int(15 * s) {
      let near = erfc((Double(x) - 0.5) / (s * 2.squareRoot()))
      let far = erfc((Double(x) + 0.5) / (s * 2.squareRoot()))
      let rounded = 0.5 * (near - far)
      let discrete = exp(-Double(x * x) / (2 * s * s)) / total
      let ratio = log(rounded / discrete)
      #expect(ratio >= -1 / (8 * s * s) - 1e-9)
      #expect(ratio <= 225 / (8 * s * s) + 1e-9)
    }
  }

  @Test func theCostIsAddedAndDeltaMadeSmaller() throws {
    let base = RDPAccountant()
    let accountant = DiscreteNoiseAccountant(base, coordinates: 551, steps: 38_250)
    #expect(abs(accountant.cost - 2 * 551 * 38_250 * 225 / 8 * 0x1p-52) < 1e-12)
    #expect(accountant.name == base.name)
    for count in [1, 1000, 38_250] {
      let plain = try base.epsilon(of: steps(count), delta: 1e-6).upper
      let bounds = try accountant.epsilon(of: steps(count), delta: 1e-6)
      #expect(bounds.upper > plain && bounds.upper < plain + 4 * accountant.cost)
      #expect(bounds.lower == nil)
      let step = try PoissonSubsampledGaussian(samplingRate: 0.01, noiseMultiplier: 1.1)
      #expect(try accountant.spending(of: step, delta: 1e-6)(count) == bounds.upper)
    }
    #expect(try accountant.epsilon(of: [], delta: 1e-6).upper == 0)
  }

  @Test func whatTheProofDoesNotCoverHasNoGuarantee() throws {
    let base = RDPAccountant()
    let one = DiscreteNoiseAccountant(base, coordinates: 10, steps: 100)
    #expect(try one.epsilon(of: steps(101), delta: 1e-6).upper == .infinity)
    #expect(try one.epsilon(of: steps(100, sigma: 0.05), delta: 1e-6).upper == .infinity)
    let huge = DiscreteNoiseAccountant(base, coordinates: 1 << 30, steps: 1 << 20)
    #expect(huge.cost > 1)
    #expect(try huge.epsilon(of: steps(1), delta: 1e-6).upper == .infinity)
    #expect(throws: PrivacyError.self) { _ = try one.epsilon(of: steps(1), delta: 0) }
  }
}
