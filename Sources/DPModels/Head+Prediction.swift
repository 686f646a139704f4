internal import Foundation

extension Head {
  /// What the network's outputs say: a probability for each class, or the number itself.
  ///
  /// - Parameter logits: The network's outputs.
  /// - Returns: Two or more probabilities that add up to 1, or one number.
  package func prediction(logits: [Float]) -> [Float] {
    switch self {
    case .binary:
      let probability = 1 / (1 + exp(-logits[0]))
      return [1 - probability, probability]
    case .regression:
      return logits
    case .multiclass:
      let largest = logits.max() ?? 0
      let powers = logits.map { exp($0 - largest) }
      let total = powers.reduce(0, +)
      return powers.map { $0 / total }
    }
  }
}
