internal import CDPKernels

/// Noise, scaling and an optimizer's update in one pass: what a step does to each coordinate once the
/// sum is there.
///
/// With g = Float((sum + noise) · scale), η the rate and k what weight decay leaves:
///
/// | rule | update |
/// |---|---|
/// | `sgd` | θ ← k θ − η g |
/// | `momentum` | v ← 0.9 v + g, θ ← k θ − η v |
/// | `adam` | m ← 0.9 m + 0.1 g, v ← 0.999 v + 0.001 g², θ ← k θ − η (m / c₁) / (√(v / c₂) + 1e-8) |
/// | `adagrad` | v ← v + g², θ ← k θ − η g / (√v + 1e-10) |
/// | `rmsprop` | v ← 0.99 v + 0.01 g², θ ← k θ − η g / (√v + 1e-8) |
///
/// Slowest first: SSE2 or NEON, AVX2, AVX-512, by the compiler's own vectorisation of one loop for
/// each rule. All give the same bits on every machine.
package struct OptimizerUpdate {
  /// A rule.
  package enum Rule: UInt32, CaseIterable, Sendable {
    case sgd, momentum, adam, adagrad, rmsprop
  }

  /// The instruction sets that this processor can run, slowest first.
  package static let instructionSets: [String] = (0..<Int32(4)).compactMap { variant in
    guard unsafe cdp_optimizer_update_variant(variant) != nil,
      let name = unsafe cdp_instruction_set_name(variant)
    else { return nil }
    return unsafe String(cString: name)
  }

  /// The rule.
  package let rule: Rule
  /// What sum and noise are multiplied with to give the gradient.
  package let scale: Double
  /// η.
  package let rate: Float
  /// k: 1 without weight decay.
  package let keep: Float
  /// Adam's corrections c₁ and c₂.
  package let corrections: (Float, Float)

  /// Describes a step.
  package init(
    _ rule: Rule, scale: Double, rate: Float, keep: Float, corrections: (Float, Float)
  ) {
    self.rule = rule
    self.scale = scale
    self.rate = rate
    self.keep = keep
    self.corrections = corrections
  }

  /// Updates consecutive coordinates.
  ///
  /// - Parameters:
  ///   - parameters: θ of all coordinates.
  ///   - first: The rule's first vector (m, or v where there is one), or none.
  ///   - second: Its second vector, or none.
  ///   - start: The first coordinate that is updated.
  ///   - sum: S of the coordinates that are updated; their number decides how many.
  ///   - noise: As many numbers.
  ///   - variant: An index into ``instructionSets``.
  package func apply(
    to parameters: inout MutableSpan<Float>, _ first: inout MutableSpan<Float>,
    _ second: inout MutableSpan<Float>, from start: Int, sum: Span<Double>, noise: Span<Int32>,
    variant: Int
  ) {
    let count = noise.count
    let remembered = rule == .sgd ? 0 : 1
    precondition(
      start >= 0 && start + count <= parameters.count && sum.count == count
        && first.count >= remembered * parameters.count
        && second.count >= (rule == .adam ? parameters.count : 0),
      "coordinates from \(start): \(count) of \(parameters.count), \(sum.count) sums")
    var constants = cdp_optimizer_constants(
      scale: scale, rate: rate, keep: keep, first: corrections.0, second: corrections.1)
    // SAFETY: all spans stay alive through the call, exclusive access rules out overlap, and the
    // function touches `count` elements from `start` on, which lie within the spans that the rule
    // needs; the others it does not touch.
    unsafe parameters.withUnsafeMutableBufferPointer { parameters in
      unsafe first.withUnsafeMutableBufferPointer { first in
        unsafe second.withUnsafeMutableBufferPointer { second in
          unsafe sum.withUnsafeBufferPointer { sum in
            unsafe noise.withUnsafeBufferPointer { noise in
              guard let function = unsafe cdp_optimizer_update_variant(Int32(variant)),
                let sum = sum.baseAddress, let noise = noise.baseAddress,
                let parameters = parameters.baseAddress
              else { return }
              unsafe function(
                cdp_optimizer_rule(rule.rawValue), &constants, count, sum, noise,
                parameters + start, first.baseAddress.map { unsafe $0 + start },
                second.baseAddress.map { unsafe $0 + start })
            }
          }
        }
      }
    }
  }
}
