public import DPAccounting
internal import DPFiles
internal import DPKernels
internal import DPModels
internal import Foundation

/// What a run guarantees, in words and numbers that may leave the house.
///
/// It depends on the plan and on the number of charged steps alone; nothing in it was measured on
/// the data.
public struct Statement: Sendable {
  /// The plan that was run.
  public let plan: TrainingPlan
  /// The steps that are charged, whether or not their results survived.
  public let chargedSteps: Int
  /// The guarantee; nil where the run has none.
  public let epsilon: Double?
  /// What ε would be, were the noise secret; nil without privacy.
  public let plannedEpsilon: Double?
  /// Whether sums without noise crossed a network in clear, as was asked for.
  public let isExposed: Bool

  /// States what a run guarantees.
  ///
  /// - Parameters:
  ///   - plan: The plan that was run.
  ///   - chargedSteps: The steps that are charged.
  ///   - accountant: The method that computes ε.
  ///   - isExposed: Whether sums without noise crossed a network in clear.
  /// - Throws: ``PrivacyError`` or ``ModelError`` when the plan was changed by hand.
  public init(
    _ plan: TrainingPlan, chargedSteps: Int, accountant: some PrivacyAccountant,
    isExposed: Bool = false
  ) throws {
    self.isExposed = isExposed
    self.plan = plan
    self.chargedSteps = chargedSteps
    guard let privacy = plan.privacy, let mechanism = try plan.mechanism() else {
      epsilon = nil
      plannedEpsilon = nil
      return
    }
    let steps = try ComposedSteps(of: mechanism, count: chargedSteps)
    let bounds = try plan.accountant(over: accountant).epsilon(of: [steps], delta: privacy.delta)
    let rounded = Calibration.roundedUp(bounds.upper, significantDigits: 6)
    let planned = bounds.upper <= privacy.epsilon ? min(rounded, privacy.epsilon) : rounded
    plannedEpsilon = planned
    epsilon = plan.insecureSeed == nil ? planned : nil
  }

  /// What the run does not cover.
  var notCovered: [String] {
    Statement.public + [limitOfPersons] + imputationNotice + Statement.operators
      + (isExposed ? [Statement.exposure] : [])
  }

  /// Who may have more rows than the guarantee is for.
  private var limitOfPersons: String {
    if let unit = plan.data.unit {
      return "What is told by rows under several values of the column \"\(unit.column)\": the "
        + "guarantee is for one value of it, with all of its rows."
    }
    guard let unit = plan.data.unboundedUnit else {
      return "Persons with several rows: the guarantee is for one row."
    }
    return "Persons or units with several rows: rows were split by the column \"\(unit)\", but the "
      + "guarantee is for one row, not for all rows of one value of it."
  }

  /// What the preparation spent besides.
  private var imputationNotice: [String] {
    guard let imputation = plan.data.imputation else { return [] }
    return [
      "What the preparation of the data has spent: values that replace missing ones in "
        + "\(imputation.columns.map { "\"\($0)\"" }.joined(separator: ", ")) were estimated from "
        + "one Gaussian release with noise multiplier \(imputation.noiseMultiplier). It is charged to "
        + "the data owner's ledger, which adds it to the runs that are charged there; epsilon above "
        + "does not contain it."
    ]
  }

  private static let `public` = [
    "Facts that were declared public: the schema (columns, types, bounds, categories, values that "
      + "replace missing ones), the number of rows n, and how rows were split.",
    "Choices made by looking at the data: every further run on the same source, such as a search "
      + "for settings, spends its own epsilon, and they add up.",
  ]

  private static let operators = [
    "The other files of the run and anything shown while it ran: they stay with the operator, "
      + "since run.json and metrics.jsonl hold exact facts about the data.",
    "Rows of the test split: they took no part in training, and results on them are not released.",
    "Observers of the computers that trained it, such as of their memory or of the time that steps "
      + "take: every process that took part could know the noise.",
  ]

  /// What is added where ranks sent each other sums in clear.
  private static let exposure =
    "The network between the computers that trained it: traffic was not encrypted, by the operator's "
    + "choice, and held sums without noise. Whoever could read it is not covered by the guarantee."

  /// The statement for programs.
  var json: JSONValue {
    var members: [(String, JSONValue)] = [
      ("fastdpVersion", .string(Version.current)),
      ("source", .string(plan.data.source)),
      ("guarantee", .bool(epsilon != nil)),
      ("epsilon", .optional(epsilon)),
      ("delta", .optional(plan.privacy?.delta)),
    ]
    if epsilon == nil, let plannedEpsilon {
      members.append(("plannedEpsilon", .number(plannedEpsilon)))
    }
    if let seed = plan.insecureSeed {
      members.append(("insecureSeed", .string("\(seed)")))
    }
    if let privacy = plan.privacy {
      members += [
        ("mechanism", .string(privacy.mechanismName)),
        ("neighbouringRelation", .string(privacy.relation.rawValue)),
        ("noiseMultiplier", .number(privacy.noiseMultiplier)),
        ("kappa", .number(privacy.kappa)),
        ("tileExamples", .integer(privacy.tileExamples)),
        ("numerics", .string(plan.numerics.rawValue)),
        ("clip", .number(privacy.clip)),
        ("clipping", .string(privacy.clipping.rawValue)),
        ("accountant", .string(privacy.accountant)),
      ]
    }
    members += [
      ("examples", .integer(plan.data.examples)),
      ("unitOfPrivacy", .string(plan.data.unit?.column ?? "row")),
      ("maxRowsPerUnit", plan.data.unit.map { .integer($0.maxRows) } ?? .null),
      ("imputationNoiseMultiplier", .optional(plan.data.imputation?.noiseMultiplier)),
      ("splitColumn", plan.data.splitColumn.map(JSONValue.string) ?? .null),
      ("samplingRate", .number(plan.samplingRate)),
      ("batchSize", .integer(plan.batchSize)),
      ("steps", .integer(chargedSteps)),
      ("model", .string(modelDescription)),
      ("optimizer", .string(plan.optimizer.rawValue)),
      ("learningRate", .number(plan.learningRate)),
      ("schedule", .string(plan.schedule.shape.rawValue)),
      ("warmup", .integer(plan.schedule.warmup)),
      ("weightDecay", .number(plan.weightDecay)),
      ("notCovered", .array(notCovered.map(JSONValue.string))),
    ]
    return .object(members)
  }

  private var optimizerDescription: String {
    let schedule = plan.schedule
    return "\(plan.optimizer.rawValue), learning rate \(plan.learningRate)"
      + (schedule.warmup > 0 ? ", \(schedule.warmup) steps of warm-up" : "")
      + (schedule.shape != .constant ? ", \(schedule.shape.rawValue) schedule" : "")
      + (plan.weightDecay > 0 ? ", weight decay \(plan.weightDecay)" : "")
  }

  private func roundingDescription(_ privacy: TrainingPlan.PrivacyFacts) -> String {
    switch plan.numerics {
    case .fast: "tiles of \(privacy.tileExamples)"
    case .canonical: "every row by itself"
    }
  }

  private var modelDescription: String {
    let widths = ([plan.features] + plan.hidden + [plan.outputs]).map(String.init)
    return "\(widths.joined(separator: "-")) \(plan.activation.rawValue), \(plan.head)"
  }

  /// The statement for people: what a data owner can sign.
  var text: String {
    var lines = ["PRIVACY STATEMENT", "", "Source of the data: \(plan.data.source)", ""]
    lines += guarantee
    lines += ["", "How the model was made"]
    lines += facts.map { "  " + $0.0.padding(toLength: 34, withPad: " ", startingAt: 0) + $0.1 }
    lines += ["", "What is not covered"]
    for item in notCovered { lines += Statement.wrapped(item, bullet: "  - ") }
    lines += [
      "", "Made by fastDP \(Version.current). Released with this statement: model.safetensors.", "",
      "Data owner: ______________________________    Date: ________________", "",
    ]
    return lines.joined(separator: "\n")
  }

  private var guarantee: [String] {
    guard let privacy = plan.privacy else {
      return Statement.wrapped(
        "This model was trained WITHOUT differential privacy. It may reveal the rows that it was "
          + "trained on, and must be handled as they are.")
    }
    guard let epsilon else {
      return Statement.wrapped(
        "This model has NO guarantee: its randomness was made from the number "
          + "\(plan.insecureSeed.map(String.init) ?? ""), which anyone can guess, so that the noise "
          + "can be subtracted. Such runs are for tests.")
    }
    let split =
      plan.data.splitColumn.map { ", as is the column \"\($0)\", by which rows were split" } ?? ""
    let tables = "\(difference(privacy.relation)) (the number of rows is public\(split))"
    return Statement.wrapped(
      "The model was trained with differential privacy: epsilon = \(epsilon), delta = "
        + "\(privacy.delta).")
      + [""]
      + Statement.wrapped(
        "This means: take two tables that differ in \(tables). Whatever can be concluded from the "
          + "model is nearly as likely under either: the probability of any outcome under one is at "
          + "most e^epsilon times its probability under the other, plus delta.")
  }

  /// What may differ between two tables.
  private func difference(_ relation: NeighbouringRelation) -> String {
    guard let unit = plan.data.unit else {
      return relation == .replace
        ? "one row replaced by any other" : "one row replaced by a row that contributes nothing"
    }
    return "all rows of one \"\(unit.column)\" replaced by rows that contribute nothing"
  }

  /// The unit of privacy in words.
  private var unitOfPrivacy: String {
    guard let unit = plan.data.unit else { return "one row" }
    let rows = unit.maxRows == 1 ? "row" : "rows"
    return "one \"\(unit.column)\", at most \(unit.maxRows) \(rows) of each used"
  }

  private var facts: [(String, String)] {
    var facts: [(String, String)] = []
    if let privacy = plan.privacy {
      facts += [
        ("Mechanism", privacy.mechanismName),
        ("Neighbouring relation", privacy.relation.rawValue),
        ("Unit of privacy", unitOfPrivacy),
        ("Noise multiplier (sigma)", "\(privacy.noiseMultiplier)"),
        ("Rounding allowance (kappa)", "\(privacy.kappa), \(roundingDescription(privacy))"),
        ("Clipping norm (C)", "\(privacy.clip), \(privacy.clipping.rawValue)"),
        ("Accountant", privacy.accountant),
      ]
    } else {
      facts.append(("Mechanism", "none (plain stochastic gradient descent)"))
    }
    return facts + [
      ("Rows of the training split (n)", "\(plan.data.examples), dropped rows included"),
      ("Sampling rate (q = B/n)", "\(plan.samplingRate), B = \(plan.batchSize)"),
      ("Steps charged (T)", "\(chargedSteps)"),
      ("Model", modelDescription),
      ("Optimizer", optimizerDescription),
    ]
  }

  /// Words in lines of at most 78 characters.
  private static func wrapped(_ text: String, bullet: String = "") -> [String] {
    let indentation = String(repeating: " ", count: bullet.count)
    var lines: [String] = []
    var line = bullet
    for word in text.split(separator: " ") {
      let empty = line == bullet || line == indentation
      if !empty, line.count + 1 + word.count > 78 {
        lines.append(line)
        line = indentation + word
      } else {
        line += (empty ? "" : " ") + word
      }
    }
    return lines + [line]
  }
}

extension TrainingPlan.PrivacyFacts {
  /// What a step is called in a statement.
  fileprivate var mechanismName: String {
    switch noise {
    case .gaussian: "Poisson-subsampled Gaussian (DP-SGD)"
    case .discrete: "Poisson-subsampled discrete Gaussian (DP-SGD)"
    }
  }
}
