import DPFiles
import FastDP

/// What `train` shows of a plan, of progress and of an outcome.
enum TrainReport {
  /// A plan for programs.
  static func json(_ plan: TrainingPlan) -> JSONValue {
    .object(
      planMembers(plan, epsilon: plan.insecureSeed == nil ? plan.privacy?.epsilon : nil))
  }

  private static func planMembers(
    _ plan: TrainingPlan, epsilon: Double?, steps: Int? = nil
  ) -> [(String, JSONValue)] {
    var members: [(String, JSONValue)] = [("epsilon", .optional(epsilon))]
    if plan.insecureSeed != nil {
      members.append(("plannedEpsilon", .optional(plan.privacy?.epsilon)))
    }
    return members + [
      ("delta", .optional(plan.privacy?.delta)),
      ("noiseMultiplier", .optional(plan.privacy?.noiseMultiplier)),
      ("samplingRate", .number(plan.samplingRate)),
      ("steps", .integer(steps ?? plan.steps)),
      ("clip", .optional(plan.privacy?.clip)),
      ("batchSize", .integer(plan.batchSize)),
      ("accountant", plan.privacy.map { .string($0.accountant) } ?? .null),
      ("examples", .integer(plan.data.examples)),
    ]
  }

  /// An outcome for programs.
  static func json(_ outcome: TrainingOutcome) -> JSONValue {
    let members = planMembers(
      outcome.plan, epsilon: outcome.statement.epsilon, steps: outcome.statement.chargedSteps)
    let result = outcome.evaluation
    let metrics: [(String, JSONValue)] =
      outcome.plan.head == "regression"
      ? [("testRmse", .optional(result?.rootMeanSquaredError))]
      : [("testAccuracy", .optional(result?.accuracy)), ("testLoss", .optional(result?.loss))]
    return .object(
      members + [("trainExamples", .integer(outcome.trainExamples))] + metrics + [
        ("trainSeconds", .number(outcome.seconds)),
        ("examplesPerSecond", .number(outcome.examplesPerSecond)),
      ])
  }

  /// A plan for people.
  static func rows(_ plan: TrainingPlan) -> [(String, String)] {
    var rows: [(String, String)] = []
    if let privacy = plan.privacy {
      rows += [
        ("epsilon", plan.insecureSeed == nil ? "\(privacy.epsilon)" : "none (insecure seed)"),
        ("delta", "\(privacy.delta)"),
        ("noise multiplier", "\(privacy.noiseMultiplier)"),
        ("clipping norm", "\(privacy.clip)"),
      ]
    } else {
      rows.append(("epsilon", "none: trained without privacy"))
    }
    return rows + [
      ("steps", plan.steps.grouped),
      ("batch size", "\(plan.batchSize.grouped) of \(plan.data.examples.grouped) rows"),
    ]
  }

  /// An outcome for people.
  static func rows(
    _ outcome: TrainingOutcome, directory: RunDirectory
  ) -> [(String, String)] {
    let result = outcome.evaluation
    let metrics: [(String, Double?)] = [
      ("test accuracy", result?.accuracy), ("test rmse", result?.rootMeanSquaredError),
    ]
    return rows(outcome.plan)
      + metrics.compactMap { name, value in value.map { (name, $0.fixed(4)) } } + [
        ("seconds", outcome.seconds.significant(3)),
        ("examples per second", outcome.examplesPerSecond.compact),
        ("model", directory.model),
        ("statement", directory.statementText),
      ]
  }

  /// The progress line of a run.
  static func show(_ progress: TrainingProgress) {
    let share = (100 * Double(progress.step) / Double(progress.steps)).fixed(0)
    let epsilon = progress.epsilon.map { "  ε \($0.significant(3))" } ?? ""
    Console.progress(
      "train \(share) %  step \(progress.step.grouped)/\(progress.steps.grouped)  "
        + "\(progress.examplesPerSecond.compact) examples/s\(epsilon)  "
        + "\(progress.secondsLeft.significant(2)) s left")
  }
}
