import DPModels
import Foundation
import Testing

@Suite struct EvaluationTests {
  /// A model that hands its only feature through.
  private func identity(_ head: Head) throws -> (DenseArchitecture, [Float]) {
    (try DenseArchitecture(features: 1, hidden: [], activation: .tanh, head: head), [1, 0])
  }

  @Test func binaryMetricsFollowTheirDefinitions() throws {
    let (architecture, parameters) = try identity(.binary)
    let logits: [Float] = [2, 1, 1, -1, -3, 0.5, -0.5]
    let labels: [Float] = [1, 0, 1, 0, 0, .nan, 1]
    let result = architecture.evaluate(
      Examples(features: logits, labels: labels).table, parameters: parameters)
    #expect(result.examples == 6)
    #expect(result.accuracy == 4.0 / 6)
    // Pairs (positive, negative): 9; 2 beats all 3, 1 beats 2 and ties one, −0.5 beats 2.
    let auc = try #require(result.auc)
    #expect(abs(auc - 7.5 / 9) < 1e-12)
    let balanced = try #require(result.balancedAccuracy)
    #expect(abs(balanced - (2.0 / 3 + 2.0 / 3) / 2) < 1e-12)
    let pairs = zip(logits, labels).filter { !$0.1.isNaN }
    let loss = pairs.reduce(0.0) {
      $0 - log(1 / (1 + exp(-Double($1.0) * ($1.1 == 1 ? 1 : -1)))) / 6
    }
    #expect(abs(try #require(result.loss) - loss) < 1e-6)
  }

  @Test func regressionErrorsAreInLabelUnits() throws {
    let (architecture, parameters) = try identity(.regression)
    let result = architecture.evaluate(
      Examples(features: [1, 2, 3], labels: [1, 0, 4]).table, parameters: parameters,
      labelScale: 10)
    #expect(abs(try #require(result.rootMeanSquaredError) - 10 * (5.0 / 3).squareRoot()) < 1e-6)
    #expect(abs(try #require(result.meanAbsoluteError) - 10) < 1e-6)
    #expect(result.accuracy == nil && result.auc == nil)
  }

  @Test func classesAreToldApart() throws {
    let architecture = try DenseArchitecture(
      features: 3, hidden: [], activation: .relu, head: .multiclass(3))
    let parameters: [Float] = [1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]
    let examples = Examples(
      features: [5, 0, 0, 0, 5, 0, 0, 0, 5, 0, 5, 0], labels: [0, 1, 2, 2])
    let result = architecture.evaluate(examples.table, parameters: parameters)
    #expect(result.accuracy == 0.75)
    let balanced = try #require(result.balancedAccuracy)
    #expect(abs(balanced - 2.5 / 3) < 1e-12)
    let pass = TilePass(architecture)
    let features: [Float] = [1, 2, 3]
    let probabilities = architecture.predict(features.span, parameters: parameters, pass: pass)
    #expect(abs(probabilities.reduce(0, +) - 1) < 1e-6)
    #expect(probabilities[0] < probabilities[1] && probabilities[1] < probabilities[2])
  }

  @Test func aDivergedModelIsMeasuredWithoutCurves() throws {
    let (architecture, _) = try identity(.binary)
    let result = architecture.evaluate(
      Examples(features: [1, 2, 3], labels: [0, 1, 1]).table, parameters: [.nan, .nan])
    #expect(result.examples == 3 && result.auc == nil)
  }

  @Test func noExamplesGiveNoMetrics() throws {
    let (architecture, parameters) = try identity(.binary)
    let result = architecture.evaluate(
      Examples(features: [1], labels: [.nan]).table, parameters: parameters)
    #expect(result == Evaluation())
  }

  @Test func shapesThatCannotBeAreRefused() {
    #expect(throws: ModelError.self) {
      _ = try DenseArchitecture(features: 0, hidden: [], activation: .relu, head: .binary)
    }
    #expect(throws: ModelError.self) {
      _ = try DenseArchitecture(features: 1, hidden: [3, 0], activation: .relu, head: .binary)
    }
    #expect(throws: ModelError.self) {
      _ = try DenseArchitecture(features: 1, hidden: [], activation: .relu, head: .multiclass(1))
    }
    #expect(throws: ModelError.self) {
      _ = try DenseArchitecture(
        features: 1 << 20, hidden: [1 << 20], activation: .relu, head: .binary)
    }
  }
}
