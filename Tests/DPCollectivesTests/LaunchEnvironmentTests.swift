import DPCollectives
import Testing

/// What launchers say is understood, and what they do not say is asked for.
struct LaunchEnvironmentTests {
  /// A launcher's variables, and what they mean.
  struct Case: Sendable, CustomTestStringConvertible {
    let launcher: LaunchEnvironment.Launcher
    let variables: [String: String]
    let rank: Int
    let ranks: Int
    let localRanks: Int?
    let master: LaunchEnvironment.Master?
    var generation: UInt32 = 0

    var testDescription: String { "\(launcher.rawValue) \(rank) of \(ranks)" }
  }

  static let cases = [
    Case(
      launcher: .fastdp,
      variables: [
        "FASTDP_RANK": "1", "FASTDP_RANKS": "3", "FASTDP_LOCAL_RANKS": "3",
        "FASTDP_MASTER": "[::1]:4000", "FASTDP_GENERATION": "7",
        // The launcher that is nearest counts.
        "OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "1",
      ], rank: 1, ranks: 3, localRanks: 3, master: .network(host: "::1", port: 4000),
      generation: 7),
    Case(
      launcher: .torchrun,
      variables: [
        "TORCHELASTIC_RUN_ID": "none", "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1",
        "LOCAL_WORLD_SIZE": "4", "GROUP_RANK": "1", "MASTER_ADDR": "n1", "MASTER_PORT": "29500",
        "TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "2",
        // torchrun was started once per host, by srun.
        "SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_ID": "0",
      ], rank: 5, ranks: 8, localRanks: 4, master: .network(host: "n1", port: 29501),
      generation: 2),
    Case(
      launcher: .torchrun,
      variables: [
        "RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "n1", "MASTER_PORT": "29500",
      ], rank: 0, ranks: 2, localRanks: nil, master: .network(host: "n1", port: 29500)),
    Case(
      launcher: .openMPI,
      variables: [
        "OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "4",
        "OMPI_COMM_WORLD_LOCAL_RANK": "0", "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
        "PMIX_RANK": "2", "PMIX_NAMESPACE": "77", "FASTDP_MASTER": "n1:5000",
      ], rank: 2, ranks: 4, localRanks: 2, master: .network(host: "n1", port: 5000)),
    Case(
      launcher: .hydra,
      variables: [
        "PMI_RANK": "1", "PMI_SIZE": "2", "MPI_LOCALNRANKS": "1", "MASTER_ADDR": "10.0.0.1",
        "MASTER_PORT": "5000",
      ], rank: 1, ranks: 2, localRanks: 1, master: .network(host: "10.0.0.1", port: 5000)),
    Case(
      launcher: .slurm,
      variables: [
        "SLURM_JOB_ID": "12", "SLURM_STEP_ID": "3", "SLURM_PROCID": "4",
        "SLURM_STEP_NUM_TASKS": "5", "SLURM_NODEID": "2", "SLURM_LOCALID": "0",
        "SLURM_STEP_TASKS_PER_NODE": "2(x2),1", "SLURM_STEP_NODELIST": "n[03-05],x1",
        "FASTDP_MASTER": "n03:6000",
      ], rank: 4, ranks: 5, localRanks: 1, master: .network(host: "n03", port: 6000)),
  ]

  /// Every launcher's variables give its rank, ranks, local ranks, address and generation.
  @Test(arguments: cases)
  func launchersAreUnderstood(test: Case) throws {
    let found = try #require(try LaunchEnvironment.detect(test.variables))
    #expect(found.launcher == test.launcher)
    #expect(found.rank == test.rank && found.ranks == test.ranks)
    #expect(found.localRanks == test.localRanks)
    #expect(found.master == test.master)
    #expect(found.generation == test.generation)
    #expect(found.threads(sharing: 8) == max(1, 8 / (test.localRanks ?? 1)))
  }

  /// Slurm's list of hosts gives rank 0's, and all tasks of a step the same port, below those that
  /// the system gives to callers.
  @Test(arguments: [
    ("n[03-05],x1", "n03"), ("n03", "n03"), ("a[7,9]b,c", "a7b"), ("host-1,host-2", "host-1"),
  ])
  func slurmsFirstHostIsRankZeros(list: String, host: String) throws {
    func master(_ rank: String, step: String = "3") throws -> LaunchEnvironment.Master? {
      try LaunchEnvironment.detect([
        "SLURM_JOB_ID": "12", "SLURM_STEP_ID": step, "SLURM_PROCID": rank,
        "SLURM_STEP_NUM_TASKS": "9", "SLURM_STEP_NODELIST": list,
      ])?.master
    }
    guard case .network(let found, let port) = try master("4") else {
      Issue.record("no address from \(list)")
      return
    }
    #expect(found == host)
    #expect((20_000..<32_000).contains(port))
    #expect(try master("0") == .network(host: found, port: port))
    #expect(try master("0", step: "4") != .network(host: found, port: port))
  }

  /// Without a launcher there is no place: also in Slurm's batch scripts and interactive shells, and
  /// where other programs use short names.
  @Test(arguments: [
    [:], ["RANK": "3"], ["WORLD_SIZE": "4"], ["RANK": "0", "WORLD_SIZE": "1"],
    ["MASTER_ADDR": "n", "MASTER_PORT": "1"], ["HOME": "/", "PMI_RANK": "0"],
    ["SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_JOB_ID": "1"],
    [
      "SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_STEP_ID": "4294967291",
      "SLURM_STEP_NUM_TASKS": "4",
    ],
    ["SLURM_PROCID": "0", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "1"],
  ])
  func nobodyIsNoLauncher(variables: [String: String]) throws {
    #expect(try LaunchEnvironment.detect(variables) == nil)
  }

  /// Places by hand have of the environment what is not given: the secret, the address, the generation.
  @Test func optionsAreCompletedByVariables() throws {
    let variables = [
      "FASTDP_SECRET_FILE": "s", "FASTDP_BIND": "10.0.0.1", "FASTDP_GENERATION": "4",
    ]
    let place = try LaunchEnvironment(
      rank: 1, ranks: 2, master: "a:1", secretFile: nil, variables: variables)
    #expect(place.secret == .file("s") && place.bind == "10.0.0.1" && place.generation == 4)
    #expect(place.launcher == .commandLine)
    let given = try LaunchEnvironment(
      rank: 1, ranks: 2, master: "a:1", secretFile: "t", variables: variables)
    #expect(given.secret == .file("t"))
  }

  /// What is incomplete or contradicts itself names the variable and what to do.
  @Test(arguments: [
    (["FASTDP_RANK": "1"], "FASTDP_RANKS"),
    (["FASTDP_RANK": "1", "FASTDP_RANKS": "2"], "FASTDP_MASTER"),
    (["FASTDP_RANK": "2", "FASTDP_RANKS": "2", "FASTDP_MASTER": "a:1"], "rank 2 of 2"),
    (["FASTDP_RANK": "x", "FASTDP_RANKS": "2", "FASTDP_MASTER": "a:1"], "'x'"),
    (["FASTDP_RANK": "0", "FASTDP_RANKS": "2", "FASTDP_MASTER": "a"], "HOST:PORT"),
    (["FASTDP_RANK": "0", "FASTDP_RANKS": "2", "FASTDP_MASTER": "a:0"], "HOST:PORT"),
    (["FASTDP_RANK": "0", "FASTDP_RANKS": "2", "FASTDP_MASTER": "::1:80"], "HOST:PORT"),
    (["FASTDP_RANK": "0", "FASTDP_RANKS": "0"], "0 ranks"),
    (["OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "4"], "FASTDP_MASTER"),
    (
      [
        "RANK": "0", "WORLD_SIZE": "4", "MASTER_ADDR": "n", "MASTER_PORT": "1",
        "OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "4",
      ], "unset"
    ),
    (["RANK": "0", "WORLD_SIZE": "4", "MASTER_ADDR": "n"], "MASTER_PORT"),
    (
      ["RANK": "0", "WORLD_SIZE": "4", "MASTER_ADDR": "n", "MASTER_PORT": "80000"],
      "MASTER_PORT is '80000'"
    ),
    // Every rank would train alone, and each spend its own ε.
    (["RANK": "3", "WORLD_SIZE": "4"], "MASTER_ADDR, MASTER_PORT are not"),
    (["RANK": "1", "MASTER_ADDR": "n", "MASTER_PORT": "1"], "WORLD_SIZE is not"),
    (["WORLD_SIZE": "2", "MASTER_ADDR": "n", "MASTER_PORT": "1"], "RANK is not"),
    (["FASTDP_RANKS": "2"], "FASTDP_RANK, FASTDP_MASTER are not"),
    (["FASTDP_MASTER": "a:1"], "FASTDP_RANK, FASTDP_RANKS are not"),
  ])
  func mistakesAreNamed(variables: [String: String], word: String) {
    let error = failure(Result { try LaunchEnvironment.detect(variables) })
    expect(error, [.invalidOption], naming: [word])
  }
}
