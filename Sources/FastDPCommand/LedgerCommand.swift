import ArgumentParser
import DPFiles
import DPLedger
import FastDP
import Foundation

/// The subcommand `fastdp ledger`.
struct LedgerCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ledger",
    abstract: "Keep the privacy budgets of sources of data, over all runs.",
    discussion: """
      A ledger is one file for each owner of data. 'fastdp train --ledger FILE' charges every step \
      to the source that the data were prepared under, before the step runs, and is refused with \
      status 77 where the source's budget has no room.

        fastdp ledger init budgets
        fastdp ledger register budgets people --epsilon 3 --delta 1e-6
        fastdp train people.safetensors --out run --epsilon 1 --ledger budgets
        fastdp ledger show budgets
        fastdp ledger verify budgets run
      """,
    subcommands: [
      LedgerInitCommand.self, LedgerRegisterCommand.self, LedgerShowCommand.self,
      LedgerChargeCommand.self, LedgerVerifyCommand.self, LedgerExportCommand.self,
    ])
}

/// The ledger that a subcommand works on.
struct LedgerFile: ParsableArguments {
  @Argument(help: "The ledger.")
  var file: String

  func open() throws -> Ledger { try Ledger(path: file) }
}

/// The subcommand `fastdp ledger init`.
struct LedgerInitCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "init", abstract: "Make a new ledger, readable by its owner only.",
    discussion: """
      Example:
        fastdp ledger init budgets
      """)

  @OptionGroup var ledger: LedgerFile
  @OptionGroup var output: OutputOptions

  func run() throws {
    let made = try Ledger.create(path: ledger.file)
    let summary = try made.summary(accountant: RDPAccountant())
    output.json
      ? Console.print(LedgerReport.json(summary))
      : Console.print([("ledger", ledger.file), ("identity", summary.identity)])
  }
}

extension BudgetRule: ExpressibleByArgument {}

/// The subcommand `fastdp ledger register`.
struct LedgerRegisterCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "register",
    abstract: "Register a source of data with its budget, or a plan.",
    discussion: """
      SOURCE is the name that data are prepared under: --source of 'fastdp prepare', or the first \
      table's file name. Registering a source again changes its ε; nothing else can be changed.

      Under the rule 'filter' runs may be chosen after seeing earlier ones. Under 'plans' only \
      plans run that were registered before the first of them ran; the accountant composes them, \
      which allows more. 'fastdp train --register-plan' registers exactly what it would run.

      Examples:
        fastdp ledger register budgets people --epsilon 3 --delta 1e-6
        fastdp ledger register budgets people --epsilon 3 --delta 1e-6 --order 12
        fastdp ledger register budgets survey --epsilon 2 --delta 1e-6 --rule plans
        fastdp ledger register budgets survey --plan first --sampling-rate 0.01 \
      --noise-multiplier 1 --steps 500
      """)

  @OptionGroup var ledger: LedgerFile

  @Argument(help: "The source's name.")
  var source: String

  @Option(help: "ε of all runs together.")
  var epsilon: Double?

  @Option(help: "δ of all runs together.")
  var delta: Double?

  @Option(help: "How the budget is kept: filter, plans. (default: filter)")
  var rule: BudgetRule?

  @Option(help: "Which tables are compared: zero-out, add-remove, replace. (default: zero-out)")
  var neighbouring: NeighbouringRelation?

  @Option(help: "The filter's Rényi order. (default: what suits Gaussian noise best)")
  var order: Double?

  @Option(help: "Register a plan of this name instead of a budget.")
  var plan: String?

  @Option(name: .customLong("sampling-rate"), help: "q of the plan's steps.")
  var samplingRate: Double?

  @Option(
    name: .customLong("noise-multiplier"), help: "The least effective σ of them, σ / (1 + κ).")
  var noiseMultiplier: Double?

  @Option(help: "T, the most steps of the plan.")
  var steps: Int?

  @Option(
    name: .customLong("group-size"),
    help: "How many rows of a unit the plan's steps protect together. (default: 1)")
  var groupSize: Int?

  @Option(help: "The method that composes plans: pld, rdp. (default: pld)")
  var accountant: AccountantName?

  @OptionGroup var output: OutputOptions

  func run() throws {
    try plan.map { try register(plan: $0) } ?? registerBudget()
  }

  private func registerBudget() throws {
    guard let epsilon, let delta, samplingRate == nil, noiseMultiplier == nil, steps == nil,
      groupSize == nil
    else {
      throw CommandError.usage(
        "a budget needs --epsilon and --delta; a plan needs --plan, --sampling-rate, "
          + "--noise-multiplier and --steps, and may have --group-size")
    }
    let known = try ledger.open().register(
      source: source, target: PrivacyTarget(epsilon: epsilon, delta: delta), rule: rule,
      relation: neighbouring, order: order)
    output.json
      ? Console.print(.object(LedgerReport.members(known)))
      : Console.print(LedgerReport.rows(known))
  }

  private func register(plan: String) throws {
    guard let samplingRate, let noiseMultiplier, let steps, epsilon == nil, delta == nil,
      rule == nil, order == nil
    else {
      throw CommandError.usage(
        "a plan needs --sampling-rate, --noise-multiplier and --steps, and no budget of its own")
    }
    let ledger = try ledger.open()
    let accountant = (accountant ?? .pld).accountant
    let known = try ledger.summary(of: source, accountant: accountant).sources[0].source
    let mechanism = try PoissonSubsampledGaussian(
      samplingRate: samplingRate, noiseMultiplier: noiseMultiplier,
      relation: neighbouring ?? known.relation, groupSize: groupSize ?? 1)
    let epsilon = try ledger.register(
      plan: plan, ComposedSteps(of: mechanism, count: steps), source: source,
      accountant: accountant)
    output.json
      ? Console.print(
        .object([
          ("source", .string(source)), ("plan", .string(plan)), ("steps", .integer(steps)),
          ("epsilonOfPlans", .number(epsilon.upper)),
          ("epsilon", .number(known.target.epsilon)), ("delta", .number(known.target.delta)),
          ("accountant", .string(accountant.name)),
        ]))
      : Console.print([
        ("plan", plan),
        (
          "epsilon of all plans",
          "\(Calibration.roundedUp(epsilon.upper, significantDigits: 5)) of \(known.target.epsilon)"
        ),
      ])
  }
}

/// The subcommand `fastdp ledger show`.
struct LedgerShowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show", abstract: "What is registered and what is spent.",
    discussion: """
      The guarantee of a source is the largest budget that it ever had, whatever is spent of it: \
      lowering a budget stops runs and takes no result back. 'epsilon if fixed' is what \
      the charged steps cost by the accountant: valid if plans were fixed in advance.

      Examples:
        fastdp ledger show budgets
        fastdp ledger show budgets people --json
      """)

  @OptionGroup var ledger: LedgerFile

  @Argument(help: "Only this source.")
  var source: String?

  @Option(help: "The method that composes what was charged: pld, rdp. (default: pld)")
  var accountant: AccountantName?

  @OptionGroup var output: OutputOptions

  func run() throws {
    let summary = try ledger.open().summary(
      of: source, accountant: (accountant ?? .pld).accountant)
    if output.json { return Console.print(LedgerReport.json(summary)) }
    Console.print([
      ("ledger", ledger.file), ("entries", summary.entries.grouped), ("head", summary.head),
    ])
    for source in summary.sources {
      Console.print("")
      Console.print(LedgerReport.rows(source))
    }
  }
}

/// The subcommand `fastdp ledger charge`.
struct LedgerChargeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "charge", abstract: "Charge steps that another program will run.",
    discussion: """
      The charge is on disk when the line that acknowledges it appears; run the steps after that. \
      Status 77: no room, nothing is charged. With --repeat the steps are charged again and again, \
      each time with a line of its own (with --json an object on each line).

      Examples:
        fastdp ledger charge budgets people --sampling-rate 0.01 --noise-multiplier 1.1 --steps 500
        fastdp ledger charge budgets survey --plan first --sampling-rate 0.01 \
      --noise-multiplier 1 --steps 100 --json
      """)

  @OptionGroup var ledger: LedgerFile

  @Argument(help: "The source's name.")
  var source: String

  @Option(name: .customLong("sampling-rate"), help: "q, the share of rows in a batch.")
  var samplingRate: Double

  @Option(name: .customLong("noise-multiplier"), help: "σ against the true sensitivity.")
  var noiseMultiplier: Double

  @Option(help: "The number of steps.")
  var steps: Int

  @Option(help: "Which tables are compared. (default: what is registered)")
  var neighbouring: NeighbouringRelation?

  @Option(help: "The registered plan that they belong to.")
  var plan: String?

  @Option(
    name: .customLong("group-size"),
    help: "How many rows of a unit they protect together. (default: 1)")
  var groupSize: Int?

  @Option(
    help: "The column whose units they protect as wholes, where rows are bounded by unit.")
  var unit: String?

  @Option(name: .customLong("run"), help: "What to call the run.")
  var runName = "charge"

  @Option(help: "How many times.")
  var `repeat` = 1

  @OptionGroup var output: OutputOptions

  func run() throws {
    guard steps > 0, `repeat` > 0, steps <= Int.max / `repeat` else {
      throw CommandError.usage("--steps and --repeat must be at least 1")
    }
    // Checked before the ledger is opened: an account is an entry of its own.
    let rate = try SamplingRate(samplingRate)
    let noise = try NoiseMultiplier(noiseMultiplier)
    guard (1...1000).contains(groupSize ?? 1) else {
      throw CommandError.usage("--group-size must be at least 1 and at most 1000")
    }
    let account = try ledger.open().openAccount(
      run: runName, source: source, plan: plan, unit: unit)
    let mechanism = try PoissonSubsampledGaussian(
      samplingRate: rate.value, noiseMultiplier: noise.value,
      relation: neighbouring ?? account.source.relation, groupSize: groupSize ?? 1)
    for index in 0..<`repeat` {
      try account.reserve(index * steps..<(index + 1) * steps, of: mechanism)
      if let charge = account.lastCharge { acknowledge(charge) }
    }
  }

  private func acknowledge(_ charge: RunLedger.Charge) {
    guard output.json else {
      return Console.print("charge \(charge.id): \(steps) steps of '\(source)', \(charge.hash)")
    }
    Console.print(
      .object([
        ("charge", .integer(charge.id)), ("source", .string(source)), ("run", .string(runName)),
        ("steps", .integer(steps)), ("position", .integer(charge.position)),
        ("head", .string(charge.hash)),
      ]))
  }
}

/// The subcommand `fastdp ledger verify`.
struct LedgerVerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify", abstract: "Check that a ledger is what was written to it.",
    discussion: """
      Recomputes the chain of hashes over all rows, replays the charges, and looks for the entries \
      that the named runs have seen (ledgerHead in run.json). Give the runs that the ledger was \
      charged for: a ledger that was rewritten as a whole, or lost its end, is found out by them \
      alone. Ends with status 65 where something is wrong.

      Examples:
        fastdp ledger verify budgets
        fastdp ledger verify budgets runs/*
      """)

  @OptionGroup var ledger: LedgerFile

  @Argument(help: "Folders of runs.")
  var runs: [String] = []

  @Option(help: "A head that was written down elsewhere; may be given several times.")
  var head: [String] = []

  @OptionGroup var output: OutputOptions

  func run() throws {
    let heads = try runs.compactMap { folder in
      try LedgerVerifyCommand.head(of: folder).map { (name: folder, hash: $0) }
    }
    let given = head.map { (name: "head \($0)", hash: $0) }
    let result = try ledger.open().verify(heads: heads + given)
    if output.json {
      Console.print(
        .object([
          ("valid", .bool(result.problems.isEmpty)), ("entries", .integer(result.entries)),
          ("head", .string(result.head)), ("headsChecked", .integer(heads.count + given.count)),
          ("problems", .array(result.problems.map { .string($0) })),
        ]))
    } else if result.problems.isEmpty {
      Console.print([
        ("entries", result.entries.grouped), ("head", result.head),
        ("heads of runs checked", "\(heads.count + given.count)"), ("verified", "yes"),
      ])
    }
    guard let first = result.problems.first else { return }
    throw CommandError(
      status: ExitStatus.badData,
      message: "\(ledger.file): \(first) (\(result.problems.count) found); trust no "
        + "budget of this ledger until its owner has explained them")
  }

  /// The head that a run has seen; nil for a run without a ledger.
  private static func head(of folder: String) throws -> String? {
    struct Record: Decodable { var ledgerHead: String? }
    let path = RunDirectory(path: folder).record
    guard let data = FileManager.default.contents(atPath: path) else {
      throw CommandError(
        status: ExitStatus.missingInput, message: "\(folder): holds no run; name a run's folder")
    }
    guard let record = try? JSONDecoder().decode(Record.self, from: data) else {
      throw CommandError(
        status: ExitStatus.badData, message: "\(path): is damaged; leave this run out")
    }
    if record.ledgerHead == nil {
      Console.message("warning: \(folder): the run was not charged to a ledger")
    }
    return record.ledgerHead
  }
}

/// The subcommand `fastdp ledger export`.
struct LedgerExportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export", abstract: "Print every entry, in the order of writing.",
    discussion: """
      A line for each entry of the chain: position, table, hash, and the columns as NAME=VALUE. With \
      --json one object, whose 'entries' hold the columns as members.

      Examples:
        fastdp ledger export budgets > budgets.txt
        fastdp ledger export budgets --json > budgets.json
      """)

  @OptionGroup var ledger: LedgerFile
  @OptionGroup var output: OutputOptions

  func run() throws {
    let ledger = try ledger.open()
    var entries: [JSONValue] = []
    try ledger.forEachEntry { entry in
      if output.json {
        entries.append(LedgerReport.json(entry))
      } else {
        Console.print(LedgerReport.line(entry))
      }
    }
    if output.json { Console.print(.object([("entries", .array(entries))])) }
  }
}
