import DPKernels
import Foundation
import Testing

@Suite struct LanesTests {
  /// The largest error in units in the last place of the exact value, over a sweep.
  private func worstError(
    _ function: (Lanes) -> Lanes, _ exact: (Double) -> Double, from low: Float, to high: Float
  ) -> Double {
    var worst = 0.0
    let count = 40_000
    for index in 0..<count {
      let x = low + (high - low) * Float(index) / Float(count)
      let value = function(Lanes(repeating: x))[index % Lanes.examples]
      let expected = exact(Double(x))
      worst = max(worst, abs(Double(value) - expected) / Double(Float(expected).ulp))
    }
    return worst
  }

  @Test func functionsAreAccurate() {
    #expect(worstError(exponential, { exp($0) }, from: -86.9, to: 87.9) <= 2)
    #expect(worstError(exponential, { exp($0) }, from: -1, to: 1) <= 2)
    #expect(worstError(logarithm, { log($0) }, from: 1.5, to: 1000) <= 4)
    #expect(worstError(logarithm, { log($0) }, from: 1e-6, to: 0.6) <= 4)
  }

  @Test func extremesStayFiniteAndNaNStaysNaN() {
    for x in [-Float.infinity, -1e30, -200, 0, 200, 1e30, .infinity] {
      let lanes = Lanes(repeating: x)
      #expect(exponential(lanes)[3].isFinite)
    }
    let nan = Lanes(repeating: .nan)
    #expect(exponential(nan)[0].isNaN && logarithm(nan)[0].isNaN)
    #expect(logarithm(Lanes(repeating: 1))[0] == 0)
    for index in 0..<1000 {
      let x = 1 + Float(index) / 1000
      #expect(abs(Double(logarithm(Lanes(repeating: x))[2]) - log(Double(x))) <= 0x1p-24)
    }
  }

  @Test func lanesDoNotSeeEachOther() {
    var mixed = Lanes()
    for lane in 0..<Lanes.examples { mixed[lane] = Float(lane) * 0.3 - 2 }
    mixed[5] = .nan
    mixed[6] = .infinity
    for function in [exponential, logarithm] {
      let together = function(mixed)
      for lane in 0..<Lanes.examples {
        let alone = function(Lanes(repeating: mixed[lane]))[0]
        #expect(together[lane].bitPattern == alone.bitPattern)
      }
    }
  }
}
