import Foundation
import TestSupport
import Testing

/// `ledger` keeps budgets: what it acknowledges stays, what it refuses leaves no trace.
struct LedgerCommandTests {
  private let folder: ScratchFolder
  private let path: String

  init() throws {
    folder = try ScratchFolder()
    path = folder.file("budgets")
  }

  private static let budget = ["--epsilon", "3", "--delta", "1e-6"]
  private static let step = ["--sampling-rate", "0.01", "--noise-multiplier", "1.1"]
  private static let sourceKeys = [
    "source", "rule", "neighbouring", "epsilon", "guaranteedEpsilon", "delta", "order",
  ]

  private func words(_ command: String, _ more: [String] = []) -> [String] {
    ["ledger", command, path] + more
  }

  @discardableResult
  private func ledger(_ command: String, _ more: [String] = []) throws -> Outcome {
    try succeed(words(command, more))
  }

  /// A ledger with a source `people` that is kept by a filter.
  private func makeLedger() throws {
    try ledger("init")
    try ledger("register", ["people"] + Self.budget)
  }

  /// A ledger with a source `survey` that is kept by plans, one of them registered.
  private func makePlans() throws {
    try ledger("init")
    try ledger("register", ["survey", "--rule", "plans"] + Self.budget)
    try ledger("register", ["survey", "--plan", "first", "--steps", "500"] + Self.step)
  }

  /// What is known of one source.
  private func source(_ name: String = "people", _ more: [String] = []) throws -> [String: Any] {
    let shown = try ledger("show", [name, "--json"] + more).json()
    let sources = try #require(shown["sources"] as? [[String: Any]])
    try #require(sources.count == 1)
    return sources[0]
  }

  /// Everything that the ledger says of itself: a command that is refused leaves it as it is.
  private func state() throws -> String { try ledger("export").output }

  private func expectUnchanged(
    _ command: String, _ more: [String], _ status: Int32, naming named: [String] = [],
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let before = try state()
    expectRefusal(
      try fastdp(words(command, more)), status, naming: named, sourceLocation: sourceLocation)
    #expect(try state() == before, "\(more)", sourceLocation: sourceLocation)
  }

  /// A new ledger is its owner's alone and holds its identity and nothing else.
  @Test func initMakesALedger() throws {
    let made = try ledger("init", ["--json"])
    #expect(made.errors.isEmpty)
    let result = try made.json()
    expectKeys(result, ["identity", "schemaVersion", "entries", "head", "sources"])
    #expect((result["sources"] as? [Any])?.isEmpty == true && result["entries"] as? Int == 1)
    #expect((result["head"] as? String)?.wholeMatch(of: /[0-9a-f]{64}/) != nil)
    #expect(try folder.names == ["budgets"] && folder.mode("budgets") == 0o600)
    let other = try succeed("ledger", "init", folder.file("other"))
    #expect(try !other.output.contains(#require(result["identity"] as? String)))
    #expect(other.output.contains("identity"))
  }

  /// A ledger is made where nothing is, in a folder that is there, and never replaces a file.
  @Test func initReplacesNothing() throws {
    try ledger("init")
    let text = try folder.write("mine", to: "text")
    for taken in [path, text, folder.path] {
      try expectRefusal(["ledger", "init", taken], 73, in: folder, naming: [taken, "exists"])
    }
    let nowhere = folder.file("none/budgets")
    try expectRefusal(["ledger", "init", nowhere], 73, in: folder, naming: [nowhere, "folder"])
    try expectRefusal(["ledger", "init", ""], 73, in: folder, naming: ["name"])
  }

  /// Every other subcommand says where no ledger is, and what is none.
  @Test(arguments: [
    ["register", "people"] + budget, ["show"], ["verify"], ["export"],
    ["charge", "people", "--steps", "1"] + step,
  ])
  func badFilesAreNamed(command: [String]) throws {
    func words(_ path: String) -> [String] {
      ["ledger", command[0], path] + command.dropFirst()
    }
    try expectRefusal(words(path), 66, in: folder, naming: [path, "fastdp ledger init"])
    for (name, bytes) in [
      ("text", "source,epsilon\npeople,3\n"), ("long", String(repeating: "budget ", count: 9000)),
      ("empty", ""),
    ] {
      let file = try folder.write(bytes, to: name)
      expectRefusal(try fastdp(words(file)), 65, naming: [file, "not a ledger"])
      #expect(try folder.text(name) == bytes)
    }
    let outcome = try fastdp(words(folder.path))
    #expect([65, 74].contains(outcome.status))
    expectRefusal(outcome, outcome.status, naming: [folder.path])
  }

  /// A source is registered with its budget; registering it again changes ε and nothing else.
  @Test func registerKeepsABudget() throws {
    try ledger("init")
    let made = try ledger("register", ["people", "--json"] + Self.budget)
    #expect(made.errors.isEmpty)
    let result = try made.json()
    expectKeys(result, Self.sourceKeys)
    #expect(result["source"] as? String == "people" && result["rule"] as? String == "filter")
    #expect(result["neighbouring"] as? String == "zero-out")
    #expect(try made.number("epsilon") == 3 && made.number("delta") == 1e-6)
    #expect(try made.number("order") > 1)

    let raised = try ledger("register", ["people", "--epsilon", "4", "--delta", "1e-6", "--json"])
    #expect(try raised.number("epsilon") == 4)
    #expect(try raised.number("order") == made.number("order"))
    for change in [
      ["--epsilon", "4", "--delta", "1e-5"], Self.budget + ["--rule", "plans"],
      Self.budget + ["--neighbouring", "replace"], Self.budget + ["--order", "3"],
    ] {
      try expectUnchanged("register", ["people"] + change, 64, naming: ["people", "epsilon"])
    }
    #expect(try source()["epsilon"] as? Double == 4)

    let chosen = try ledger(
      "register",
      ["staff", "--order", "12", "--neighbouring", "replace", "--json"] + Self.budget)
    #expect(try chosen.number("order") == 12)
    #expect(try chosen.json()["neighbouring"] as? String == "replace")
    let plans = try ledger("register", ["survey", "--rule", "plans", "--json"] + Self.budget)
    #expect(try plans.json()["order"] is NSNull && plans.json()["rule"] as? String == "plans")
    let shown = try ledger("show")
    for word in ["people", "staff", "survey", "epsilon 3.0, delta 1e-06", "replace"] {
      #expect(shown.output.contains(word), "\(word) in \(shown.output)")
    }
  }

  /// Budgets and plans that make no sense are refused, and named.
  @Test(arguments: [
    (["people", "--epsilon", "0", "--delta", "1e-6"], "epsilon is 0.0"),
    (["people", "--epsilon", "inf", "--delta", "1e-6"], "epsilon is inf"),
    (["people", "--epsilon", "1", "--delta", "1"], "delta is 1.0"),
    (["people", "--epsilon", "1", "--delta", "nan"], "delta is nan"),
    (["people", "--epsilon", "1"], "--delta"), (["people"], "--epsilon"),
    (["people", "--order", "1"] + budget, "order is 1.0"),
    (["people", "--order", "nan"] + budget, "order is nan"),
    (["people", "--rule", "none"] + budget, "none"),
    ([""] + budget, "name"), (["a\nb"] + budget, "name"),
    (["people", "--steps", "5"] + budget, "--plan"),
    (["people", "--plan", "p", "--steps", "5"], "--sampling-rate"),
    (["people", "--plan", "p", "--steps", "5"] + step + budget, "budget"),
    (["people", "--plan", "p", "--steps", "5"] + step, "not registered"),
  ])
  func badRegistrationIsRefused(words: [String], named: String) throws {
    try ledger("init")
    try expectUnchanged("register", words, 64, naming: [named])
  }

  /// Plans are composed against the budget, and closed by the first charge.
  @Test func plansAreRegisteredBeforeTheFirstRuns() throws {
    try ledger("init")
    try ledger("register", ["survey", "--rule", "plans"] + Self.budget)
    let steps = ["--steps", "500"] + Self.step
    let first = try ledger("register", ["survey", "--plan", "first", "--json"] + steps)
    expectKeys(
      try first.json(),
      ["source", "plan", "steps", "epsilonOfPlans", "epsilon", "delta", "accountant"])
    #expect(try first.number("steps") == 500 && first.number("epsilon") == 3)
    let asked = try succeed(
      ["privacy", "epsilon", "--delta", "1e-6", "--json"] + steps)
    #expect(try abs(first.number("epsilonOfPlans") / asked.number("epsilon") - 1) < 1e-6)
    let second = try ledger("register", ["survey", "--plan", "second", "--json"] + steps)
    #expect(try second.number("epsilonOfPlans") > first.number("epsilonOfPlans"))

    func plan(_ name: String, _ steps: String, _ more: [String] = []) -> [String] {
      ["survey", "--plan", name, "--steps", steps] + Self.step + more
    }
    try expectUnchanged("register", plan("vast", "1000000"), 77, naming: ["vast", "3.0"])
    try expectUnchanged("register", plan("first", "1"), 64, naming: ["first"])
    try expectUnchanged("register", plan("none", "0"), 64, naming: ["none"])
    try expectUnchanged(
      "register", plan("other", "1", ["--neighbouring", "replace"]), 64, naming: ["replace"])
    try expectUnchanged("charge", ["survey", "--steps", "1"] + Self.step, 64, naming: ["plans"])
    try expectUnchanged("charge", plan("third", "1"), 64, naming: ["third"])

    try ledger("charge", plan("first", "400"))
    try expectUnchanged("register", plan("late", "1"), 64, naming: ["charged already"])
    let shown = try source("survey")
    let plans = try #require(shown["plans"] as? [[String: Any]])
    #expect(plans.map { $0["chargedSteps"] as? Int } == [400, 0])
    expectKeys(
      plans[0],
      ["plan", "samplingRate", "effectiveNoiseMultiplier", "groupSize", "steps", "chargedSteps"])
    #expect(shown["epsilonOfPlans"] as? Double == (try second.number("epsilonOfPlans")))
  }

  /// A plan covers no more steps, no other rate and no less noise than were registered.
  @Test func planIsTheMostThatRuns() throws {
    try makePlans()
    func charge(_ steps: String, _ rate: String, _ sigma: String) -> [String] {
      [
        "survey", "--plan", "first", "--steps", steps, "--sampling-rate", rate,
        "--noise-multiplier", sigma,
      ]
    }
    expectRefusal(
      try fastdp(words("charge", charge("501", "0.01", "1.1"))), 77, naming: ["first", "500"])
    for (rate, sigma) in [("0.02", "1.1"), ("0.005", "1.1"), ("0.01", "1.09")] {
      expectRefusal(
        try fastdp(words("charge", charge("1", rate, sigma))), 64, naming: ["first", "registered"])
    }
    try ledger("charge", charge("300", "0.01", "1.1"))
    try ledger("charge", charge("200", "0.01", "5"))
    expectRefusal(
      try fastdp(words("charge", charge("1", "0.01", "1.1"))), 77, naming: ["first", "0 of"])
    #expect(try source("survey")["steps"] as? Int == 500)
  }

  /// Each charge is acknowledged by a line, and shown afterwards.
  @Test func chargesAreAcknowledgedAndShown() throws {
    try makeLedger()
    let charge = ["people", "--steps", "20", "--run", "mine"] + Self.step
    let outcome = try ledger("charge", charge + ["--repeat", "3", "--json"])
    #expect(outcome.errors.isEmpty)
    let lines = try outcome.output.split(separator: "\n").map { try jsonObject(Data($0.utf8)) }
    try #require(lines.count == 3)
    for line in lines {
      expectKeys(line, ["charge", "source", "run", "steps", "position", "head"])
      #expect(line["source"] as? String == "people" && line["run"] as? String == "mine")
      #expect(line["steps"] as? Int == 20)
    }
    let shown = try ledger("charge", charge)
    #expect(shown.output.contains("20 steps of 'people'"))

    let people = try source()
    expectKeys(
      people,
      Self.sourceKeys + [
        "spentShare", "runs", "charges", "steps", "epsilonIfFixed", "epsilonIfFixedLower",
        "epsilonOfPlans", "unit", "accountant", "mechanisms", "plans", "contentHashes",
      ])
    #expect(people["steps"] as? Int == 80 && people["charges"] as? Int == 4)
    #expect(people["runs"] as? Int == 2)
    let mechanisms = try #require(people["mechanisms"] as? [[String: Any]])
    try #require(mechanisms.count == 1)
    expectKeys(mechanisms[0], ["samplingRate", "effectiveNoiseMultiplier", "groupSize", "steps"])
    #expect(mechanisms[0]["effectiveNoiseMultiplier"] as? Double == 1.1)
    let fixed = try #require(people["epsilonIfFixed"] as? Double)
    let asked = try succeed(
      ["privacy", "epsilon", "--steps", "80", "--delta", "1e-6", "--json"] + Self.step)
    #expect(try abs(fixed / asked.number("epsilon") - 1) < 1e-6)
    let renyi = try source("people", ["--accountant", "rdp"])
    #expect(renyi["accountant"] as? String == "rdp" && renyi["epsilonIfFixedLower"] is NSNull)
    #expect(try #require(renyi["epsilonIfFixed"] as? Double) > fixed)
    #expect(try ledger("show").output.contains("80 steps in 4 ranges of 2 runs"))
  }

  /// What does not fit is refused with 77 and charged in no part; what fits beside it still is.
  @Test func budgetIsNeverPassed() throws {
    try makeLedger()
    func charge(_ steps: Int, _ more: [String] = []) -> [String] {
      words("charge", ["people", "--steps", "\(steps)"] + Self.step + more)
    }
    let refused = try fastdp(charge(1_000_000))
    expectRefusal(refused, 77, naming: ["people", "3.0", "1e-06", "1000000 steps"])
    let room = try #require(refused.errors.firstMatch(of: /: (\d+) of this kind/)?.1)
    let left = try #require(Int(room))
    #expect(left > 100)
    expectRefusal(try fastdp(charge(left + 1)), 77, naming: ["\(left) of"])
    #expect(try source()["charges"] as? Int == 0 && source()["spentShare"] as? Double == 0)

    let half = try fastdp(charge(left / 2, ["--repeat", "5", "--json"]))
    #expect(half.status == 77 && half.errorLines.count == 1)
    #expect(half.output.count { $0.isNewline } == 2)
    if left % 2 == 1 { try succeed(charge(1)) }
    let people = try source()
    #expect(try (0.99...1).contains(#require(people["spentShare"] as? Double)))
    #expect(try #require(people["epsilonIfFixed"] as? Double) <= 3)
    expectRefusal(try fastdp(charge(1)), 77, naming: [" 0 of"])
    // Its owner may give more.
    try ledger("register", ["people", "--epsilon", "3.5", "--delta", "1e-6"])
    try succeed(charge(1))
  }

  /// A charge that makes no sense leaves the ledger as it is.
  @Test(arguments: [
    (["people", "--steps", "0"] + step, "--steps"),
    (["people", "--steps", "-5"] + step, "--steps"),
    (["people", "--steps", "1", "--repeat", "0"] + step, "--repeat"),
    (["people", "--steps", "9223372036854775807", "--repeat", "2"] + step, "--steps"),
    (["strangers", "--steps", "1"] + step, "strangers"),
    (["people", "--steps", "1", "--plan", "first"] + step, "plan"),
    (["people", "--steps", "1", "--sampling-rate", "2", "--noise-multiplier", "1"], "rate is 2.0"),
    (["people", "--steps", "1", "--sampling-rate", "1", "--noise-multiplier", "0"], "r is 0.0"),
    (["people", "--steps", "1", "--sampling-rate", "nan", "--noise-multiplier", "1"], "is nan"),
    (["people", "--steps", "1", "--sampling-rate", "0.1"], "--noise-multiplier"),
  ])
  func badChargeIsRefused(words: [String], named: String) throws {
    try makeLedger()
    try expectUnchanged("charge", words, 64, naming: [named])
  }

  /// What is asked of an unknown source, or about other tables, is named.
  @Test func sourceAndRelationAreNamed() throws {
    try makeLedger()
    expectRefusal(
      try fastdp(
        words("charge", ["people", "--steps", "1", "--neighbouring", "replace"] + Self.step)),
      64, naming: ["people", "zero-out", "replace"])
    #expect(try source()["charges"] as? Int == 0)
    expectRefusal(try fastdp(words("show", ["strangers"])), 64, naming: ["strangers", "register"])
  }

  /// Every row is an entry of the chain, in the order of writing, whether read by people or programs.
  @Test func exportHasEveryEntry() throws {
    try makeLedger()
    try ledger("charge", ["people", "--steps", "20", "--repeat", "2"] + Self.step)
    let exported = try ledger("export", ["--json"]).json()
    expectKeys(exported, ["entries"])
    let entries = try #require(exported["entries"] as? [[String: Any]])
    #expect(
      entries.map { $0["table"] as? String } == [
        "ledger", "sources", "budgets", "runs", "charges", "charges",
      ])
    #expect(entries.map { $0["position"] as? Int } == Array(1...6))
    for entry in entries { expectKeys(entry, ["position", "table", "hash", "columns"]) }
    let columns = try #require(entries[5]["columns"] as? [String: Any])
    #expect(columns["firstStep"] as? Int == 20 && columns["endStep"] as? Int == 40)
    let lines = try state().split(separator: "\n")
    for (line, entry) in zip(lines, entries) {
      let hash = try #require(entry["hash"] as? String)
      #expect(line.contains(" \(hash) "))
    }
    #expect(lines.count == 6)
    let verified = try ledger("verify", ["--json"])
    try expectKeys(verified.json(), ["valid", "entries", "head", "headsChecked", "problems"])
    #expect(try verified.json()["valid"] as? Bool == true && verified.number("entries") == 6)
    #expect(try verified.json()["head"] as? String == entries[5]["hash"] as? String)
  }

  /// Heads that were kept are looked for; one that the ledger lacks is a fault of the ledger.
  @Test func verifyLooksForHeads() throws {
    try makeLedger()
    let charge = ["people", "--steps", "1", "--json"] + Self.step
    let head = try #require(ledger("charge", charge).json()["head"] as? String)
    let known = try ledger("verify", ["--head", head, "--json"])
    #expect(try known.number("headsChecked") == 1 && known.errors.isEmpty)
    #expect(try ledger("verify", ["--head", head]).output.contains("yes"))
    let other = String(head.reversed())
    expectRefusal(
      try fastdp(words("verify", ["--head", head, "--head", other])), 65, naming: [path, other])
    let told = try fastdp(words("verify", ["--head", other, "--json"]))
    #expect(told.status == 65 && told.errorLines.count == 1)
    #expect(try told.json()["valid"] as? Bool == false)
    #expect(try (told.json()["problems"] as? [String])?.count == 1)

    let none = folder.file("none")
    expectRefusal(try fastdp(words("verify", [none])), 66, naming: [none])
    for text in ["{", "[]", #"{"ledgerHead": 5}"#] {
      _ = try folder.write(text, to: "run.json")
      expectRefusal(try fastdp(words("verify", [folder.path])), 65, naming: ["run.json"])
    }
  }

  /// A file that was edited or cut is never taken for the ledger that it was.
  @Test func damageIsFound() throws {
    try makeLedger()
    try ledger(
      "charge", ["people", "--steps", "300", "--repeat", "40"] + Self.step.dropLast() + ["9"])
    let whole = try folder.data("budgets")
    let name = try #require(whole.range(of: Data("people".utf8)))
    var renamed = whole
    renamed[name.upperBound - 1] = UInt8(ascii: "E")
    var zeroed = whole
    zeroed.replaceSubrange(whole.count / 2..<whole.count, with: Data(count: whole.count / 2))
    for bytes in [renamed, zeroed, whole.prefix(whole.count / 2), whole.prefix(4096)] {
      _ = try folder.write(bytes, to: "budgets")
      let outcome = try fastdp(words("verify"))
      expectRefusal(outcome, 65, naming: [path])
      // Where nothing can be read, nothing can be charged; either way it ends in order.
      let charge = try fastdp(words("charge", ["people", "--steps", "1"] + Self.step))
      #expect([0, 64, 65].contains(charge.status) && charge.errorLines.count <= 1)
    }
    _ = try folder.write(whole, to: "budgets")
    try ledger("verify")
  }
}
