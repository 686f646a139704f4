import DPFiles
import DPLedger
import FastDP
import Foundation

/// What `ledger` shows.
enum LedgerReport {
  /// A ledger for programs.
  static func json(_ summary: LedgerSummary) -> JSONValue {
    .object([
      ("identity", .string(summary.identity)),
      ("schemaVersion", .integer(summary.schemaVersion)),
      ("entries", .integer(summary.entries)), ("head", .string(summary.head)),
      ("sources", .array(summary.sources.map(json))),
    ])
  }

  /// A source and its budget for programs.
  static func members(_ source: LedgerSource) -> [(String, JSONValue)] {
    [
      ("source", .string(source.name)), ("rule", .string(source.rule.rawValue)),
      ("neighbouring", .string(source.relation.rawValue)),
      ("epsilon", .number(source.target.epsilon)), ("delta", .number(source.target.delta)),
      ("guaranteedEpsilon", .number(source.guaranteedEpsilon)),
      ("order", source.rule == .filter ? .number(source.order) : .null),
    ]
  }

  private static func json(_ summary: SourceSummary) -> JSONValue {
    .object(
      members(summary.source) + [
        ("spentShare", .number(summary.spentShare)), ("runs", .integer(summary.runs)),
        ("charges", .integer(summary.charges)), ("steps", .integer(summary.steps)),
        ("epsilonIfFixed", .number(summary.epsilonIfFixed.upper)),
        ("epsilonIfFixedLower", .optional(summary.epsilonIfFixed.lower)),
        ("epsilonOfPlans", .optional(summary.epsilonOfPlans?.upper)),
        ("unit", summary.unit.map(JSONValue.string) ?? .null),
        ("accountant", .string(summary.accountant)),
        ("mechanisms", .array(summary.composition.map(json))),
        ("plans", .array(summary.plans.map { json($0.plan, charged: $0.chargedSteps) })),
        ("contentHashes", .array(summary.contents.map { .string($0) })),
      ])
  }

  private static func json(_ steps: ComposedSteps) -> JSONValue {
    .object([
      ("samplingRate", .number(steps.mechanism.samplingRate.value)),
      ("effectiveNoiseMultiplier", .number(steps.mechanism.noiseMultiplier.value)),
      ("groupSize", .integer(steps.mechanism.groupSize)),
      ("steps", .integer(steps.count)),
    ])
  }

  private static func json(_ plan: LedgerPlan, charged: Int) -> JSONValue {
    .object([
      ("plan", .string(plan.name)),
      ("samplingRate", .number(plan.steps.mechanism.samplingRate.value)),
      ("effectiveNoiseMultiplier", .number(plan.steps.mechanism.noiseMultiplier.value)),
      ("groupSize", .integer(plan.steps.mechanism.groupSize)),
      ("steps", .integer(plan.steps.count)), ("chargedSteps", .integer(charged)),
    ])
  }

  /// A source and its budget for people.
  static func rows(_ source: LedgerSource) -> [(String, String)] {
    let rule =
      source.rule == .filter
      ? "Rényi filter of order \(source.order.significant(4)); runs may be chosen one by one"
      : "plans that are registered before the first of them runs"
    return [
      ("source", source.name),
      (
        "guarantee",
        "epsilon \(source.guaranteedEpsilon), delta \(source.target.delta), \(source.relation.rawValue)"
      ),
      ("budget", "epsilon \(source.target.epsilon)"),
      ("rule", rule),
    ]
  }

  /// What is spent of a source for people.
  static func rows(_ summary: SourceSummary) -> [(String, String)] {
    let fixed = Calibration.roundedUp(summary.epsilonIfFixed.upper, significantDigits: 5)
    return rows(summary.source) + [
      ("spent", "\((100 * summary.spentShare).significant(4)) %"),
      (
        "charged",
        "\(summary.steps.grouped) steps in \(summary.charges.grouped) ranges of "
          + "\(summary.runs.grouped) runs"
      ),
      ("protects", protected(summary)),
      (
        "epsilon if fixed",
        "\(fixed) by \(summary.accountant), valid if plans were fixed in advance"
      ),
    ]
      + summary.plans.map {
        (
          "plan \($0.plan.name)",
          "\($0.chargedSteps.grouped) of \($0.plan.steps.count.grouped) steps"
        )
      }
  }

  /// What all charges together are a guarantee for.
  private static func protected(_ summary: SourceSummary) -> String {
    if let unit = summary.unit { return "each \"\(unit)\", with all of its rows" }
    let sizes = summary.composition.map(\.mechanism.groupSize)
    guard let least = sizes.min(), least > 1 else { return "single rows" }
    return "up to \(least) rows together"
  }

  /// An entry for programs.
  static func json(_ entry: LedgerEntry) -> JSONValue {
    .object([
      ("position", .integer(entry.position)), ("table", .string(entry.table)),
      ("hash", .string(entry.hash)),
      ("columns", .object(entry.columns.map { (camelCase($0.name), json($0.value)) })),
    ])
  }

  private static func json(_ value: LedgerValue) -> JSONValue {
    switch value {
    case .null: .null
    case .integer(let number): .integer(number)
    case .number(let number): .number(number)
    case .text(let text): .string(text)
    }
  }

  private static func camelCase(_ name: String) -> String {
    let words = name.split(separator: "_")
    return words.dropFirst().reduce(String(words.first ?? "")) { $0 + $1.capitalized }
  }

  /// An entry for people.
  static func line(_ entry: LedgerEntry) -> String {
    let columns = entry.columns.map { "\($0.name)=\(json($0.value).text())" }
    return "\(entry.position) \(entry.table) \(entry.hash) " + columns.joined(separator: " ")
  }
}
