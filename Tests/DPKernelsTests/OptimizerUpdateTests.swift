import DPKernels
import Testing

@Suite struct OptimizerUpdateTests {
  /// Only the coordinates that noise was given for move, and each as it does alone.
  @Test(arguments: OptimizerUpdate.Rule.allCases)
  func aPartOfTheCoordinatesIsUpdated(rule: OptimizerUpdate.Rule) {
    let count = 40
    let sum = (0..<count).map { Double($0 * 37 % 19) - 9 }
    let update = OptimizerUpdate(rule, scale: 0.5, rate: 0.25, keep: 0.75, corrections: (0.1, 0.01))
    func run(_ parts: [Range<Int>], variant: Int) -> [[Float]] {
      let start = (0..<3).map { vector in (0..<count).map { Float($0 + vector) } }
      var (parameters, first, second) = (start[0], start[1], start[2])
      for part in parts {
        let noise = part.map { Int32($0) - 20 }
        var span = parameters.mutableSpan
        var firsts = first.mutableSpan
        var seconds = second.mutableSpan
        update.apply(
          to: &span, &firsts, &seconds, from: part.lowerBound,
          sum: sum.span.extracting(part), noise: noise.span, variant: variant)
      }
      return [parameters, first, second]
    }
    for variant in OptimizerUpdate.instructionSets.indices {
      let whole = run([0..<count], variant: variant)
      #expect(whole == run([0..<count], variant: 0))
      #expect(whole == run([17..<18, 0..<17, 18..<18, 18..<40], variant: variant))
      let some = run([5..<31], variant: variant)
      for (vector, values) in some.enumerated() {
        for i in 0..<count {
          let expected = (5..<31).contains(i) ? whole[vector][i] : Float(i + vector)
          #expect(values[i] == expected)
        }
      }
    }
  }
}
