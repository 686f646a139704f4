import ArgumentParser
import DPCollectives
import DPFiles
import DPLedger
import FastDP
import Foundation

/// The subcommand `fastdp train`.
struct TrainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "train",
    abstract: "Train a model with differential privacy.",
    discussion: """
      Trains by DP-SGD: every step draws each row with probability q = B/n, clips each row's \
      gradient to norm C, adds Gaussian noise of standard deviation σC to the sum, and divides by \
      the public constant B. σ is calibrated so that the whole run stays within (ε, δ); steps are \
      charged on disk before they are taken.

      RUN receives model.safetensors, statement.json and statement.txt, which may leave the house, \
      and run.json, metrics.jsonl and charges, which are for the operator. Ctrl-C writes a \
      checkpoint and ends with status 130; --resume goes on from there.

      Several ranks can train one model together: each does its part of every step. RUN is rank 0's. \
      ε, the statement and the batch size stay the same: 'fastdp launch --ranks 2 -- train \
      ...', see its --help and docs/ranks.md. They divide the rows of one file that all of them read, \
      or each has shards of its own ('prepare --shards'): DATA is then all shards, their common name, or \
      one with {rank} in it.

      Examples:
        fastdp train people.safetensors --out run
        fastdp train people.csv --schema people.yaml --out run --epsilon 0.5
        fastdp train d.safetensors --out run --hidden 256,128 --activation relu
        fastdp train d.safetensors --plan-only --epsilon 1 --epochs 40
        fastdp train d.safetensors --out run --resume
        fastdp train d.safetensors --out run --ledger budgets
        fastdp train d.safetensors --out baseline --non-private
        fastdp train d-{rank}-of-00004.safetensors --out run
      """)

  @Argument(
    help: """
      A dataset file, its shards, or tables with --schema; '{rank}' stands for the rank's number. \
      (default: 'path' in --config)
      """)
  var data: [String] = []

  @Option(help: "The run's folder: new or empty.")
  var out: String?

  @Option(help: "Settings in a file, YAML or JSON; the command line wins.")
  var config: String?

  @OptionGroup var options: TrainOptions

  @Flag(help: "Go on with the interrupted run in RUN; its settings hold.")
  var resume = false

  @Flag(help: "Replace an older run in RUN; what it spent stays spent.")
  var overwrite = false

  @Flag(name: .customLong("plan-only"), help: "Print σ, T and ε, and stop before any step.")
  var planOnly = false

  @OptionGroup var group: GroupOptions

  @Option(
    help:
      "How sums over ranks are done: auto, or a name of 'fastdp bench allreduce'. (default: auto)")
  var algorithm: String?

  @Option(
    help: """
      Whose sums over ranks: native, or mpi, the system's Open MPI under its mpirun; on several hosts \
      they travel in clear. (default: native)
      """)
  var collectives: Collectives?

  @OptionGroup var ledger: TrainLedgerOptions
  @OptionGroup var output: OutputOptions

  func run() throws {
    guard !(resume && overwrite) else {
      throw CommandError.usage("--resume and --overwrite exclude each other; give one of them")
    }
    try ledger.check(planOnly: planOnly)
    guard collectives != .mpi || (algorithm ?? "auto") == "auto" else {
      throw CommandError.usage("MPI chooses its own algorithms; leave --algorithm out")
    }
    let place = try group.environment()
    guard let place, place.ranks > 1, !planOnly, ledger.registerPlan == nil else {
      // A plan is one rank's work.
      if place?.rank ?? 0 == 0, let outcome = try train(nil) { try report(outcome) }
      return
    }
    let members = try group.join(place)
    let outcome: TrainingOutcome?
    do {
      try members.agree(on: [
        "version": Version.current, "collectives": (collectives ?? .native).rawValue,
        "resume": "\(resume)", "algorithm": chosenAlgorithm ?? "auto",
      ])
      if collectives == .mpi {
        outcome = try trainOverMPI(members, sharing: place)
      } else {
        try chooseAlgorithms(members.communicator)
        outcome = try train(TrainingRanks(members), sharing: place)
      }
    } catch {
      if case .status(_, let line) = ExitStatus(of: error) { members.abort(line ?? "\(error)") }
      throw error
    }
    members.close()
    guard let outcome else { return }
    if members.rank == 0 { return try report(outcome) }
    if outcome.interrupted { throw ExitCode(ExitStatus.interrupted) }
  }

  /// Trains with sums by MPI; all else that ranks tell each other goes over the group's own links.
  private func trainOverMPI(
    _ members: RankGroup, sharing place: LaunchEnvironment
  ) throws -> TrainingOutcome? {
    let sums = try members.communicatorOverMPI()
    let outcome = try train(TrainingRanks(members, sumsBy: sums), sharing: place)
    try members.leaveMPI(sums)
    return outcome
  }

  /// How sums over ranks are to be done; nil for what is measured to be the fastest.
  private var chosenAlgorithm: String? {
    algorithm.flatMap { $0 == "auto" ? nil : $0 }
      ?? ProcessInfo.processInfo.environment["FASTDP_ALLREDUCE"]
  }

  /// How sums over ranks are done: as asked for, or as measured.
  private func chooseAlgorithms(_ communicator: Communicator) throws {
    if let table = chosenAlgorithm {
      communicator.algorithms = try AlgorithmTable(table)
    } else {
      try communicator.tune()
    }
  }

  /// Plans and trains, on one rank or on each of several.
  ///
  /// - Returns: What it came to; nil where only a plan was asked for.
  private func train(
    _ ranks: TrainingRanks?, sharing place: LaunchEnvironment? = nil
  ) throws -> TrainingOutcome? {
    let leads = ranks?.leads ?? true
    let config = try config.map { try TrainConfig(contentsOf: $0) }
    let options = config.map { self.options.over($0.options) } ?? self.options
    let data = data.isEmpty ? config?.data ?? [] : data
    guard !data.isEmpty else {
      throw CommandError.usage("no data; give a dataset file, or a table with --schema")
    }
    let directory = try runDirectory(leads: leads)
    let dataset = try options.table.open(data, ranks: ranks)
    var name = options.accountant ?? .pld
    var training = try options.trainingOptions()
    if resume, let directory {
      let plan = try Trainer.plan(of: directory, over: ranks)
      training = training.resuming(plan, given: options)
      // A run goes on by the method it was planned with.
      let planned = plan.privacy.flatMap { AccountantName(rawValue: $0.accountant) }
      name = options.accountant ?? planned ?? name
    }
    let accountant = name.accountant
    let plan = try TrainingPlan(training, dataset: dataset, accountant: accountant)
    if leads { for warning in plan.warnings { Console.message("warning: \(warning)") } }
    if try ledger.register(plan, accountant) {
      show(plan)
      return nil
    }
    guard let directory, !planOnly else {
      show(plan)
      return nil
    }
    let account = leads ? try ledger.account(plan, dataset, folder: directory.path) : nil
    let trainer = try Trainer(
      plan, dataset: dataset, accountant: accountant, ledger: account, ranks: ranks)
    let control = control(options, leads: leads, sharing: place)
    defer { Console.clearProgress() }
    return try resume
      ? trainer.resume(in: directory, control: control)
      : trainer.start(in: directory, overwrite: overwrite, control: control)
  }

  /// Prints what a run came to.
  private func report(_ outcome: TrainingOutcome) throws {
    guard !outcome.interrupted else {
      throw CommandError(
        status: ExitStatus.interrupted,
        message: "interrupted after \(outcome.stepsTaken) of \(outcome.plan.steps) steps; "
          + "--resume goes on from there")
    }
    output.json
      ? Console.print(TrainReport.json(outcome))
      : Console.print(TrainReport.rows(outcome, directory: RunDirectory(path: out ?? "")))
  }

  /// The run's folder, found fit before any work; nil where only a plan is asked for.
  private func runDirectory(leads: Bool) throws -> RunDirectory? {
    guard let out else {
      guard planOnly || ledger.registerPlan != nil else {
        throw CommandError.usage("no folder for the run; give --out RUN")
      }
      return nil
    }
    guard !out.isEmpty else { throw CommandError.usage("--out is empty; name the run's folder") }
    let directory = RunDirectory(path: out)
    if leads, !resume, !planOnly { try directory.checkFree(overwrite: overwrite) }
    return directory
  }

  private func control(
    _ options: TrainOptions, leads: Bool, sharing place: LaunchEnvironment?
  ) -> TrainingControl {
    ProcessControl.watchSignals()
    var control = TrainingControl()
    if let every = options.checkpointEvery { control.checkpointInterval = every.duration }
    let processors = ProcessInfo.processInfo.activeProcessorCount
    control.threads = options.threads ?? place?.threads(sharing: processors) ?? processors
    control.shouldStop = { ProcessControl.isStopRequested }
    guard leads else { return control }
    control.onProgress = TrainReport.show
    control.onMessage = Console.message
    return control
  }

  private func show(_ plan: TrainingPlan) {
    output.json
      ? Console.print(TrainReport.json(plan)) : Console.print(TrainReport.rows(plan))
  }
}

extension TrainingOptions {
  /// The settings of the run that is resumed, changed by what the command line gives.
  ///
  /// What is not given is the run's, so a changed setting is one that was really asked for.
  fileprivate func resuming(_ plan: TrainingPlan, given: TrainOptions) -> TrainingOptions {
    var options = self
    if given.hidden == nil { options.hidden = plan.hidden }
    if given.activation == nil { options.activation = plan.activation }
    if given.epsilon == nil, given.noiseMultiplier == nil, !given.nonPrivate {
      options.privacy =
        plan.privacy.map { privacy in
          privacy.targetEpsilon.map { .epsilon($0) } ?? .noiseMultiplier(privacy.noiseMultiplier)
        } ?? .none
    }
    if given.epochs == nil, given.steps == nil { options.length = .steps(plan.steps) }
    if given.delta == nil { options.delta = plan.privacy?.delta }
    if given.clip == nil, let clip = plan.privacy?.clip { options.clipNorm = clip }
    if given.clipping == nil, let rule = plan.privacy?.clipping { options.clipping = rule }
    if given.batchSize == nil { options.batchSize = plan.batchSize }
    if given.learningRate == nil { options.learningRate = plan.learningRate }
    if given.schedule == nil { options.schedule = plan.schedule.shape }
    if given.warmup == nil { options.warmup = plan.schedule.warmup }
    if given.weightDecay == nil { options.weightDecay = plan.weightDecay }
    if given.optimizer == nil { options.optimizer = plan.optimizer }
    if given.neighbouring == nil, let relation = plan.privacy?.relation {
      options.relation = relation
    }
    if given.noise == nil, let noise = plan.privacy?.noise { options.noise = noise }
    if given.numerics == nil { options.numerics = plan.numerics }
    if given.insecureSeed == nil { options.insecureSeed = plan.insecureSeed }
    return options
  }
}
