import Foundation
import TestSupport
import Testing

/// Questions about privacy have answers that fit together, in the form that programs rely on.
struct PrivacyQuestionTests {
  /// What most questions here are about; `epsilon` where it is not the answer.
  private static let usual = [
    "sampling-rate": "0.01", "noise-multiplier": "0.8", "steps": "1000", "delta": "1e-6",
    "epsilon": "1",
  ]
  /// The settings that each question takes.
  private static let settings = [
    "epsilon": ["sampling-rate", "noise-multiplier", "steps", "delta"],
    "delta": ["sampling-rate", "noise-multiplier", "steps", "epsilon"],
    "noise": ["sampling-rate", "steps", "epsilon", "delta"],
    "steps": ["sampling-rate", "noise-multiplier", "epsilon", "delta"],
    "curve": ["sampling-rate", "noise-multiplier", "steps", "delta"],
  ]
  private static let relations = ["zero-out", "add-remove", "replace"]
  private static let proving = ["pld", "rdp"]

  /// A question's command line: the usual values of its settings but those that are given.
  private func words(
    _ question: String, _ given: [String: String] = [:], _ more: [String] = []
  ) throws -> [String] {
    let names = try #require(Self.settings[question])
    let settings = Self.usual.filter { names.contains($0.key) }.merging(given) { $1 }
    return ["privacy", question] + settings.sorted { $0.key < $1.key }.map { "--\($0)=\($1)" }
      + more
  }

  /// Asks for JSON.
  private func ask(_ question: String, _ given: [String: String] = [:]) throws -> Outcome {
    try succeed(words(question, given, ["--json"]))
  }

  /// Each question has its keys, and says whose answer it is; only PLD proves a lower end.
  @Test(arguments: ["pld", "rdp", "gdp"], relations)
  func answersHaveTheirKeys(accountant: String, relation: String) throws {
    let given = ["accountant": accountant, "neighbouring": relation]
    let epsilon = try ask("epsilon", given)
    let delta = try ask("delta", given)
    try expectKeys(epsilon.json(), ["epsilon", "epsilonLower", "accountant", "seconds"])
    try expectKeys(delta.json(), ["delta", "deltaLower", "accountant"])
    for (outcome, key) in [(epsilon, "epsilon"), (delta, "delta")] {
      let answer = try outcome.json()
      #expect(answer["accountant"] as? String == accountant)
      let upper = try outcome.number(key)
      #expect(upper > 0)
      guard accountant == "pld" else {
        #expect(answer["\(key)Lower"] is NSNull)
        continue
      }
      let lower = try outcome.number("\(key)Lower")
      #expect(lower <= upper && upper - lower <= 0.02 * upper, "\(outcome.output)")
    }
  }

  /// σ and T that are found for (ε, δ) stay within it by each of the other questions, closely.
  @Test(arguments: proving, relations)
  func foundValuesNeverOvershoot(accountant: String, relation: String) throws {
    let given = ["accountant": accountant, "neighbouring": relation]
    func ask(_ question: String, _ more: [String: String]) throws -> Outcome {
      try self.ask(question, given.merging(more) { $1 })
    }
    let noise = try ask("noise", [:])
    try expectKeys(noise.json(), ["noiseMultiplier", "epsilon", "accountant"])
    #expect(noise.errors.isEmpty)
    #expect(try noise.number("epsilon") <= 1 && noise.number("epsilon") > 0.9985)
    let sigma = ["noise-multiplier": "\(try noise.number("noiseMultiplier"))"]
    #expect(try ask("epsilon", sigma).number("epsilon") <= 1)
    let less = ["noise-multiplier": "\(try 0.995 * noise.number("noiseMultiplier"))"]
    #expect(try ask("epsilon", less).number("epsilon") > 1)

    let delta = try ask("delta", sigma)
    // The two upper bounds are within 0.1 % of the true ε and 1 % of the true δ.
    #expect(try (0.97e-6...1.01e-6).contains(delta.number("delta")), "\(delta.output)")
    if accountant == "pld" { #expect(try delta.number("deltaLower") <= 1e-6) }

    let steps = try ask("steps", sigma)
    try expectKeys(steps.json(), ["steps", "epsilon", "accountant"])
    let count = try #require(steps.json()["steps"] as? Int)
    #expect(try count >= 1000 && count < 1010 && steps.number("epsilon") <= 1, "\(steps.output)")
    let longest = sigma.merging(["steps": "\(count)"]) { $1 }
    #expect(try ask("epsilon", longest).number("epsilon") <= 1)
    let longer = sigma.merging(["steps": "\(count + count / 100)"]) { $1 }
    #expect(try ask("epsilon", longer).number("epsilon") > 1)
  }

  /// One row more or less costs what a row that contributes nothing costs, exchanging one costs
  /// more; the bound by Rényi divergences lies above the tight one.
  @Test(arguments: proving)
  func relationsAreOrdered(accountant: String) throws {
    for question in ["epsilon", "delta", "noise"] {
      let key = question == "noise" ? "noiseMultiplier" : question
      let answers = try Self.relations.map {
        try ask(question, ["accountant": accountant, "neighbouring": $0]).number(key)
      }
      #expect(answers[0] == answers[1] && answers[2] > 1.2 * answers[0], "\(question) \(answers)")
      let tight = try ask(question).number(key)
      #expect(accountant == "pld" ? tight == answers[0] : tight < answers[0])
    }
  }

  /// What the central limit says is labelled wherever it is shown, and promises nothing.
  @Test func gdpIsLabelled() throws {
    for question in ["epsilon", "delta", "curve"] {
      let shown = try succeed(words(question, ["accountant": "gdp"]))
      #expect(shown.output.contains("not an upper bound"), "\(shown.output)")
      #expect(shown.errors.isEmpty)
      let numbers = try ask(question, ["accountant": "gdp"])
      #expect(try numbers.json()["accountant"] as? String == "gdp")
      #expect(numbers.errorLines.count == 1 && numbers.errors.contains("not an upper bound"))
    }
    let csv = try succeed(words("curve", ["accountant": "gdp"], ["--csv"]))
    #expect(csv.errors.contains("not an upper bound") && !csv.output.contains("bound"))
    for question in ["noise", "steps"] {
      expectRefusal(
        try fastdp(words(question, ["accountant": "gdp"])), 64,
        naming: ["gdp", "not an upper bound", "--accountant"])
    }
  }

  /// One point of a curve.
  private struct Point: Equatable {
    let steps: Int
    let epsilon: Double
    let lower: Double?
  }

  private func points(_ outcome: Outcome) throws -> [Point] {
    let points = try #require(outcome.json()["points"] as? [[String: Any]])
    return try points.map { point in
      expectKeys(point, ["steps", "epsilon", "epsilonLower"])
      return Point(
        steps: try #require(point["steps"] as? Int),
        epsilon: try #require(point["epsilon"] as? Double), lower: point["epsilonLower"] as? Double)
    }
  }

  /// A curve ends at T with the ε of T, grows, and is the same as JSON, as CSV and as a plot.
  @Test(arguments: [
    ("pld", "zero-out"), ("pld", "replace"), ("rdp", "replace"), ("gdp", "add-remove"),
  ])
  func curveIsTheSameInEveryForm(accountant: String, relation: String) throws {
    let given = ["accountant": accountant, "neighbouring": relation, "points": "7"]
    let outcome = try ask("curve", given)
    try expectKeys(outcome.json(), ["points", "delta", "accountant"])
    #expect(try outcome.number("delta") == 1e-6)
    let curve = try points(outcome)
    #expect(curve.map(\.steps) == [142, 285, 428, 571, 714, 857, 1000])
    #expect(zip(curve, curve.dropFirst()).allSatisfy { $0.epsilon < $1.epsilon })
    #expect(curve.allSatisfy { ($0.lower != nil) == (accountant == "pld") })
    let single = try ask("epsilon", given.filter { $0.key != "points" })
    #expect(try curve.last?.epsilon == single.number("epsilon"))

    let number = /"steps": (\d+), "epsilon": ([^,]+), "epsilonLower": ([^,}]+)/
    let rows = outcome.output.matches(of: number).map {
      "\($0.1),\($0.2),\($0.3 == "null" ? "" : $0.3)\n"
    }
    let csv = try succeed(words("curve", given, ["--csv"]))
    #expect(csv.output == "steps,epsilon,epsilonLower\n" + rows.joined())

    let plot = try succeed(words("curve", given)).output.split(separator: "\n")
    try #require(plot.count == 8)
    for (point, row) in zip(curve, plot) {
      let fields = row.split(separator: " ")
      try #require(fields.count == 4 && fields[0] == "T" && Int(fields[1]) == point.steps)
      let length = 50 * point.epsilon / (curve.last?.epsilon ?? 1)
      #expect(fields[2].allSatisfy { $0 == "█" } && abs(Double(fields[2].count) - length) <= 0.51)
      // Shown digits are rounded up: never below the bound.
      let shown = try #require(Double(fields[3]))
      #expect(shown >= point.epsilon && shown < point.epsilon * 1.0002)
    }
    #expect(plot[7].contains("delta 1e-06") && plot[7].contains(accountant))
  }

  /// A curve has no more points than steps, and says what it cannot draw.
  @Test func curveHasAsManyPointsAsAreAsked() throws {
    #expect(try points(ask("curve")).count == 20)
    #expect(try points(ask("curve", ["steps": "3"])).map(\.steps) == [1, 2, 3])
    #expect(try points(ask("curve", ["points": "1"])).map(\.steps) == [1000])
    for (name, value) in [("points", "0"), ("points", "1001"), ("steps", "0")] {
      expectRefusal(
        try fastdp(words("curve", [name: value])), 64, naming: ["\(name) is \(value)", "at least"])
    }
    expectRefusal(
      try fastdp(words("curve", [:], ["--csv", "--json"])), 64, naming: ["--csv", "--json"])
  }

  /// Values out of range are refused in one line that names them and their bounds, whoever accounts.
  @Test(arguments: [
    ("sampling-rate", "-0.1", "sampling rate is -0.1; it must be at least 0 and at most 1"),
    ("sampling-rate", "1.01", "sampling rate is 1.01; it must be at least 0 and at most 1"),
    ("sampling-rate", "nan", "sampling rate is nan; it must be at least 0"),
    ("noise-multiplier", "0", "noise multiplier is 0.0; it must be at least 0.0001 and at most"),
    ("noise-multiplier", "-1", "noise multiplier is -1.0; it must be at least 0.0001"),
    ("noise-multiplier", "1e7", "noise multiplier is 10000000.0; it must be at least 0.0001"),
    ("steps", "-1", "steps is -1; it must be at least"),
    ("delta", "0", "delta is 0.0; it must be greater than 0 and less than 1"),
    ("delta", "1", "delta is 1.0; it must be greater than 0 and less than 1"),
    ("delta", "nan", "delta is nan; it must be greater than 0 and less than 1"),
    ("epsilon", "-1", "epsilon is -1.0; it must be finite"),
    ("epsilon", "inf", "epsilon is inf; it must be finite"),
    ("epsilon", "nan", "epsilon is nan; it must be finite"),
    ("steps", "1.5", "'1.5' is invalid for '--steps"),
    ("steps", "99999999999999999999", "is invalid for '--steps"),
    ("delta", "small", "'small' is invalid for '--delta"),
    ("accountant", "prv", "'prv' is invalid for '--accountant"),
    ("neighbouring", "none", "'none' is invalid for '--neighbouring"),
  ])
  func badValueIsNamed(name: String, value: String, message: String) throws {
    for (question, names) in Self.settings {
      guard names.contains(name) || name == "accountant" || name == "neighbouring" else { continue }
      // The method does not matter to what is in range: one question is asked of the other one.
      let method = question == "epsilon" ? ["accountant": "rdp"] : [:]
      expectRefusal(
        try fastdp(words(question, method.merging([name: value]) { $1 }, ["--json"])), 64,
        naming: [message])
    }
  }

  /// A target that no noise, or no step, reaches is refused; what is missing is named.
  @Test(arguments: proving)
  func targetOutOfReachIsRefused(accountant: String) throws {
    let target = ["accountant": accountant, "epsilon": "1e-9", "delta": "1e-30"]
    expectRefusal(try fastdp(words("noise", target)), 64, naming: ["epsilon 1e-09", "take"])
    let much = target.merging(["sampling-rate": "1"]) { $1 }
    expectRefusal(try fastdp(words("steps", much)), 64, naming: ["epsilon 1e-09", "take"])
    for (question, names) in Self.settings {
      for name in names {
        let line = try words(question).filter { !$0.hasPrefix("--\(name)=") }
        expectRefusal(try fastdp(line), 64, naming: ["--\(name)"])
      }
    }
  }

  /// No steps, and steps that see nobody, cost nothing; everything else costs something.
  @Test func nothingCostsNothing() throws {
    for accountant in Self.proving {
      for free in [["steps": "0"], ["sampling-rate": "0"]] {
        let given = free.merging(["accountant": accountant]) { $1 }
        #expect(try ask("epsilon", given).number("epsilon") == 0)
        #expect(try ask("delta", given).number("delta") == 0)
      }
      // Beyond the last, δ is too small for a Double; a bound on it is none the less above 0.
      let far = try ["3", "30", "100", "700"].map {
        try ask("delta", ["accountant": accountant, "epsilon": $0]).number("delta")
      }
      #expect(far.allSatisfy { $0 > 0 } && far == far.sorted(by: >) && far[3] < 1e-300, "\(far)")
    }
  }
}
