/// Applies a dense layer to a tile: z = W x + b, in every lane.
///
/// - Parameters:
///   - weights: W, shape `[outputs, inputs]`, row-major.
///   - bias: b, shape `[outputs]`.
///   - inputs: x, shape `[inputs]`.
///   - outputs: z, shape `[outputs]`; overwritten.
/// - Complexity: O(inputs × outputs), no allocation. Terms are added in the order of the inputs.
package func applyDense(
  _ weights: Span<Float>, _ bias: Span<Float>, to inputs: Span<Lanes>,
  into outputs: inout MutableSpan<Lanes>
) {
  let width = inputs.count
  precondition(
    bias.count == outputs.count && weights.count == width * outputs.count,
    "\(weights.count) weights and \(bias.count) biases for \(width) → \(outputs.count)")
  for output in 0..<outputs.count {
    let row = weights.extracting(output * width..<(output + 1) * width)
    var sum = Lanes(repeating: bias[output])
    for input in 0..<row.count { sum += row[input] * inputs[input] }
    outputs[output] = sum
  }
}

/// Carries a gradient back through a dense layer: Wᵀ d, in every lane.
///
/// - Parameters:
///   - weights: W, shape `[outputs, inputs]`, row-major.
///   - outputGradient: d, shape `[outputs]`.
///   - inputGradient: Wᵀ d, shape `[inputs]`; overwritten.
/// - Complexity: O(inputs × outputs), no allocation.
package func backpropagateDense(
  _ weights: Span<Float>, _ outputGradient: Span<Lanes>,
  into inputGradient: inout MutableSpan<Lanes>
) {
  let width = inputGradient.count
  precondition(
    weights.count == width * outputGradient.count,
    "\(weights.count) weights for \(width) → \(outputGradient.count)")
  for input in 0..<width { inputGradient[input] = Lanes() }
  for output in 0..<outputGradient.count {
    let row = weights.extracting(output * width..<(output + 1) * width)
    let gradient = outputGradient[output]
    for input in 0..<row.count { inputGradient[input] += row[input] * gradient }
  }
}

/// The squared L2 norm of each example's vector, in Double.
///
/// - Parameter vectors: Shape `[width]`, one vector in each lane.
/// - Returns: Σ v², exact to a relative `width` · 2⁻⁵³; infinite or NaN where an element is.
package func squaredNorms(_ vectors: Span<Lanes>) -> SIMD16<Double> {
  var sum = SIMD16<Double>()
  for index in 0..<vectors.count {
    let value = SIMD16<Double>(vectors[index])
    sum += value * value
  }
  return sum
}

/// Adds the sum over a tile's examples of d aᵀ (and of d, for the bias) to a running sum.
///
/// The sum over the 16 lanes is taken in Float, by halves; then it is rounded to a multiple of
/// 1 / `unitsPerOne` and added in Double as a count of such units, which is exact while counts stay
/// below 2⁵³. So the total depends neither on the order of tiles nor on who adds them up.
///
/// - Parameters:
///   - gradients: d, shape `[outputs]`, each lane already scaled; finite.
///   - activations: a, shape `[inputs]`; finite.
///   - unitsPerOne: A power of two, or nil to add the Float sums as they are.
///   - sum: The running sum, in units; `[outputs, inputs]` of it at `weights`, row-major, and
///     `[outputs]` at `biases`.
///   - weights: Where the sum of d aᵀ begins.
///   - biases: Where the sum of d begins.
/// - Complexity: O(inputs × outputs), no allocation.
package func addOuterProducts(
  _ gradients: Span<Lanes>, _ activations: Span<Lanes>, unitsPerOne: Double?,
  to sum: inout MutableSpan<Double>, weightsAt weights: Int, biasesAt biases: Int
) {
  let width = activations.count
  precondition(
    weights >= 0 && biases >= 0 && weights + width * gradients.count <= sum.count
      && biases + gradients.count <= sum.count,
    "a layer \(width) → \(gradients.count) at \(weights), \(biases) of \(sum.count)")
  // x + shift − shift rounds to the nearest integer, ties to even, while |x| < 2⁵¹.
  let scale = unitsPerOne ?? 1
  let shift = unitsPerOne == nil ? 0 : 0x1.8p52
  for output in 0..<gradients.count {
    let gradient = gradients[output]
    let row = weights + output * width
    for input in 0..<width {
      let dot = Double((gradient * activations[input]).treeSum)
      sum[row + input] += (dot * scale + shift) - shift
    }
    sum[biases + output] += (Double(gradient.treeSum) * scale + shift) - shift
  }
}
