package import DPKernels

/// How well a model predicts examples with known labels: exact, un-noised facts about them.
public struct Evaluation: Hashable, Sendable {
  /// The number of examples.
  public var examples = 0
  /// The share of examples whose most probable class is the right one.
  public var accuracy: Double?
  /// The mean loss: cross-entropy in nats for classes, half the mean squared error for numbers, in
  /// encoded label units.
  public var loss: Double?
  /// The area under the ROC curve; for more than two classes the mean of one against the rest, over
  /// classes that occur and do not fill the data.
  public var auc: Double?
  /// The mean over classes that occur of the share recognised.
  public var balancedAccuracy: Double?
  /// The root of the mean squared error.
  public var rootMeanSquaredError: Double?
  /// The mean absolute error.
  public var meanAbsoluteError: Double?

  /// An evaluation of no examples.
  public init() {}
}

extension DenseArchitecture {
  /// Applies a network to a table and compares with its labels.
  ///
  /// - Parameters:
  ///   - table: The examples; rows that hold none are left out.
  ///   - parameters: d numbers.
  ///   - labelScale: What errors of a regression are multiplied by, from encoded to label units.
  /// - Returns: The metrics of the head; none of them where there is no example.
  /// - Complexity: O(rows × parameters), and O(rows log rows) for the ROC curve.
  package func evaluate(
    _ table: ExampleTable, parameters: [Float], labelScale: Double = 1
  ) -> Evaluation {
    evaluation(of: outcomes(table, parameters: parameters), labelScale: labelScale)
  }

  /// What ``outcomes(_:parameters:)`` holds of each example: its label, its loss, its logits.
  package var outcomeLength: Int { 2 + head.outputs }

  /// Applies a network to a table, for ``evaluation(of:labelScale:)``.
  ///
  /// - Parameters:
  ///   - table: The examples; rows that hold none are left out.
  ///   - parameters: d numbers.
  /// - Returns: ``outcomeLength`` numbers for each example, in order. Those of several tables, one after
  ///   another, are those of all their rows.
  /// - Complexity: O(rows × parameters).
  package func outcomes(_ table: ExampleTable, parameters: [Float]) -> [Float] {
    let pass = TilePass(self)
    var outcomes: [Float] = []
    outcomes.reserveCapacity(table.count * outcomeLength)
    var first = 0
    while first < table.count {
      let rows = (first..<min(first + TilePass.tileExamples, table.count)).map { UInt32($0) }
      pass.forward(rows.span, of: table, parameters.span)
      for index in rows.indices where !pass.label(of: index).isNaN {
        outcomes.append(pass.label(of: index))
        outcomes.append(pass.loss(of: index))
        outcomes += pass.logits(of: index)
      }
      first += rows.count
    }
    return outcomes
  }

  /// The metrics of examples that a network was applied to.
  ///
  /// - Parameters:
  ///   - outcomes: As ``outcomes(_:parameters:)`` gives them.
  ///   - labelScale: What errors of a regression are multiplied by, from encoded to label units.
  /// - Returns: The metrics of the head; none of them where there is no example.
  /// - Complexity: O(examples log examples), for the ROC curve.
  package func evaluation(of outcomes: [Float], labelScale: Double = 1) -> Evaluation {
    precondition(
      outcomes.count % outcomeLength == 0, "\(outcomes.count) numbers, \(outcomeLength) each")
    var seen = Outcomes(head: head)
    for first in stride(from: 0, to: outcomes.count, by: outcomeLength) {
      seen.add(
        logits: Array(outcomes[first + 2..<first + outcomeLength]), label: outcomes[first],
        loss: outcomes[first + 1])
    }
    return seen.evaluation(labelScale: labelScale)
  }

  /// Applies a network to one vector of features.
  ///
  /// - Parameters:
  ///   - features: As many as the architecture has.
  ///   - parameters: d numbers.
  ///   - pass: Memory of this architecture, reused between calls.
  /// - Returns: A probability for each class, or one number in encoded label units.
  package func predict(_ features: Span<Float>, parameters: [Float], pass: TilePass) -> [Float] {
    pass.forward(features, parameters.span)
    return head.prediction(logits: pass.logits(of: 0))
  }
}

/// Predictions beside labels, as they come.
private struct Outcomes {
  let head: Head
  var lossSum = 0.0
  var labels: [Float] = []
  /// A score for each class, in turn; a regression's error instead.
  var scores: [[Float]]
  var correct: [Int]
  var occurring: [Int]

  init(head: Head) {
    self.head = head
    let classes = head == .binary ? 2 : head.outputs
    scores = Array(repeating: [], count: classes)
    correct = Array(repeating: 0, count: classes)
    occurring = Array(repeating: 0, count: classes)
  }

  mutating func add(logits: [Float], label: Float, loss: Float) {
    labels.append(label)
    lossSum += Double(loss)
    guard head != .regression else {
      scores[0].append(logits[0] - label)
      return
    }
    // Classes are told apart by logits, which do not saturate as probabilities do.
    let values = head == .binary ? [-logits[0], logits[0]] : logits
    var best = 0
    for (index, value) in values.enumerated() {
      scores[index].append(value)
      if value > values[best] { best = index }
    }
    occurring[Int(label)] += 1
    if best == Int(label) { correct[best] += 1 }
  }

  func evaluation(labelScale: Double) -> Evaluation {
    var result = Evaluation()
    result.examples = labels.count
    guard !labels.isEmpty else { return result }
    let n = Double(labels.count)
    result.loss = lossSum / n
    if head == .regression {
      let squares = scores[0].reduce(0) { $0 + Double($1) * Double($1) }
      result.rootMeanSquaredError = (squares / n).squareRoot() * labelScale
      result.meanAbsoluteError = scores[0].reduce(0) { $0 + Double(abs($1)) } / n * labelScale
      return result
    }
    result.accuracy = Double(correct.reduce(0, +)) / n
    let present = occurring.indices.filter { occurring[$0] > 0 }
    result.balancedAccuracy =
      present.reduce(0) { $0 + Double(correct[$1]) / Double(occurring[$1]) }
      / Double(present.count)
    let curves = (head == .binary ? [1] : Array(present)).compactMap { areaUnderCurve(class: $0) }
    result.auc = curves.isEmpty ? nil : curves.reduce(0, +) / Double(curves.count)
    return result
  }

  /// The probability that an example of the class scores higher than one of the rest, ties counting
  /// half (Mann and Whitney 1947); nil where one side is empty or a score is not a number.
  private func areaUnderCurve(class target: Int) -> Double? {
    guard scores[target].allSatisfy({ !$0.isNaN }) else { return nil }
    let order = scores[target].indices.sorted { scores[target][$0] < scores[target][$1] }
    var rankSum = 0.0
    var start = 0
    while start < order.count {
      var end = start
      while end < order.count, scores[target][order[end]] == scores[target][order[start]] {
        end += 1
      }
      let meanRank = Double(start + end + 1) / 2
      rankSum += meanRank * Double(order[start..<end].count { labels[$0] == Float(target) })
      start = end
    }
    let positives = Double(occurring[target])
    let negatives = Double(labels.count) - positives
    guard positives > 0, negatives > 0 else { return nil }
    return (rankSum - positives * (positives + 1) / 2) / (positives * negatives)
  }
}
