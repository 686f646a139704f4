#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// What a launcher has told a process of its place among others.
///
/// Launchers say it by environment variables. They are looked for in this order, since a launcher
/// that was started by another is the one that counts:
///
/// | launcher | rank and ranks | rank 0's address |
/// |---|---|---|
/// | `fastdp launch` | `FASTDP_RANK`, `FASTDP_RANKS` | `FASTDP_MASTER=HOST:PORT` |
/// | torchrun | `RANK`, `WORLD_SIZE` | `MASTER_ADDR`, `MASTER_PORT` |
/// | Open MPI's mpirun | `OMPI_COMM_WORLD_RANK`, `OMPI_COMM_WORLD_SIZE` | none |
/// | mpirun of MPICH and Intel (hydra) | `PMI_RANK`, `PMI_SIZE` | none |
/// | Slurm's srun | `SLURM_PROCID`, `SLURM_STEP_NUM_TASKS` | the first of `SLURM_STEP_NODELIST` |
///
/// Whatever the launcher, `FASTDP_MASTER`, `FASTDP_SECRET_FILE`, `FASTDP_BIND` and
/// `FASTDP_GENERATION` are looked at too. Where all ranks are on one host and no address is needed,
/// they meet at a socket that lives in memory, and the system vouches for their user.
public struct LaunchEnvironment: Hashable, Sendable {
  /// Who has started the process.
  public enum Launcher: String, Sendable, CaseIterable {
    /// `fastdp launch`, or a person who has set our own variables.
    case fastdp = "fastdp launch"
    /// The options of the command line.
    case commandLine = "command line"
    /// PyTorch's.
    case torchrun
    /// Open MPI's mpirun.
    case openMPI = "Open MPI"
    /// mpirun of MPICH and Intel MPI.
    case hydra
    /// srun.
    case slurm = "Slurm"
  }

  /// Where ranks meet.
  public enum Master: Hashable, Sendable {
    /// Rank 0 listens at a port of a host.
    case network(host: String, port: UInt16)
    /// Rank 0 listens at a name of this machine, which nobody has to choose.
    case sameHost(name: String)
  }

  /// Where the group's secret is.
  public enum SecretSource: Hashable, Sendable {
    /// In a file that only its owner can read.
    case file(String)
    /// Behind a descriptor that was inherited.
    case descriptor(Int32)
  }

  /// Who has started the process.
  public let launcher: Launcher
  /// This process's rank, in 0..<ranks.
  public let rank: Int
  /// Ranks of the group.
  public let ranks: Int
  /// This process's place among those of its host; nil where nobody has said it.
  public let localRank: Int?
  /// How many ranks there are on this host; nil where nobody has said it.
  public let localRanks: Int?
  /// Where ranks meet.
  public let master: Master
  /// How often the group was started anew.
  public let generation: UInt32
  /// Where the secret is; nil where the system vouches for users.
  public let secret: SecretSource?
  /// The address at which rank 0 listens; nil for the loopback interface.
  public let bind: String?
  /// A socket that already listens, for rank 0.
  let listener: Int32?

  /// A place that is given on the command line.
  ///
  /// - Parameters:
  ///   - rank: This process's rank.
  ///   - ranks: Ranks of the group.
  ///   - master: Rank 0's address, "HOST:PORT".
  ///   - secretFile: A file with the group's secret.
  ///   - generation: How often the group was started anew, where no variable says it.
  ///   - variables: The environment, for what is not given: `FASTDP_SECRET_FILE`, `FASTDP_BIND`,
  ///     `FASTDP_GENERATION`.
  /// - Throws: ``CollectiveError`` of code `invalidOption`.
  public init(
    rank: Int, ranks: Int, master: String, secretFile: String?, generation: UInt32 = 0,
    variables: [String: String] = [:]
  ) throws(CollectiveError) {
    let place = try LaunchEnvironment.parse(master, named: "--master")
    let counted = ["FASTDP_SECRET_FILE", "FASTDP_BIND", "FASTDP_GENERATION"]
    let given = secretFile.map { ["FASTDP_SECRET_FILE": $0] } ?? [:]
    try self.init(
      .commandLine, rank: rank, ranks: ranks, local: nil, master: place, generation: generation,
      Variables(variables.filter { counted.contains($0.key) }.merging(given) { $1 }))
  }

  private init(
    _ launcher: Launcher, rank: Int, ranks: Int, local: (rank: Int?, ranks: Int?)?, master: Master,
    generation: UInt32, _ variables: Variables
  ) throws(CollectiveError) {
    guard ranks >= 1, ranks <= 65536 else {
      throw CollectiveError(
        .invalidOption,
        "\(launcher.rawValue) says that there are \(ranks) ranks; there must be at "
          + "least 1 and at most 65536")
    }
    guard rank >= 0, rank < ranks else {
      throw CollectiveError(
        .invalidOption,
        "\(launcher.rawValue) says that this is rank \(rank) of \(ranks); ranks "
          + "are counted from 0 to \(ranks - 1)")
    }
    self.launcher = launcher
    self.rank = rank
    self.ranks = ranks
    localRank = local?.rank
    localRanks = local?.ranks
    self.master = master
    self.generation =
      try variables.number("FASTDP_GENERATION").map { UInt32(clamping: $0) }
      ?? generation
    let descriptor = try variables.number("FASTDP_SECRET_FD").map { Int32(clamping: $0) }
    secret =
      descriptor.map { .descriptor($0) } ?? variables["FASTDP_SECRET_FILE"].map { .file($0) }
    bind = variables["FASTDP_BIND"]
    listener = try variables.number("FASTDP_LISTEN_FD").map { Int32(clamping: $0) }
  }

  /// How many threads this process should use so that the ranks of its host share the processors.
  ///
  /// - Parameter processors: Processors of the host.
  /// - Returns: At least 1.
  public func threads(sharing processors: Int) -> Int {
    max(1, processors / max(1, localRanks ?? 1))
  }

  /// Finds what a launcher has said.
  ///
  /// - Parameter variables: The environment.
  /// - Returns: This process's place; nil where no launcher has started it.
  /// - Throws: ``CollectiveError`` of code `invalidOption` where variables are incomplete or
  ///   contradict each other, with what to set.
  public static func detect(
    _ variables: [String: String]
  ) throws(CollectiveError) -> LaunchEnvironment? {
    let variables = Variables(variables)
    if let found = try own(variables) { return found }
    if let found = try torchrun(variables) { return found }
    if let found = try openMPI(variables) { return found }
    if let found = try hydra(variables) { return found }
    if let found = try slurm(variables) { return found }
    // Whoever set only some of them would train alone on every rank, and pay for each.
    try variables.refuseSome(of: ["FASTDP_RANK", "FASTDP_RANKS", "FASTDP_MASTER"])
    let names = ["RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"]
    let hasPlace = variables["RANK"] != nil || variables["WORLD_SIZE"] != nil
    // One such name alone may be another program's.
    if hasPlace, names.count(where: { variables[$0] != nil }) > 1,
      try variables.number("WORLD_SIZE") != 1
    {
      try variables.refuseSome(of: names)
    }
    return nil
  }

  // MARK: Launchers

  private static func own(_ variables: Variables) throws(CollectiveError) -> LaunchEnvironment? {
    guard let rank = try variables.number("FASTDP_RANK") else { return nil }
    let ranks = try variables.needed("FASTDP_RANKS", beside: "FASTDP_RANK")
    guard let master = try ranks <= 1 ? .sameHost(name: "") : variables.master() else {
      throw CollectiveError(
        .invalidOption,
        "FASTDP_RANK is set and FASTDP_MASTER is not; set it to rank 0's address, "
          + "HOST:PORT, on all ranks")
    }
    return try LaunchEnvironment(
      .fastdp, rank: rank, ranks: ranks,
      local: (
        try variables.number("FASTDP_LOCAL_RANK"), try variables.number("FASTDP_LOCAL_RANKS")
      ), master: master, generation: 0, variables)
  }

  private static func torchrun(
    _ variables: Variables
  ) throws(CollectiveError) -> LaunchEnvironment? {
    // Other programs use such short names too: they count only together, and `detect` refuses some.
    let isElastic = variables["TORCHELASTIC_RUN_ID"] != nil
    guard isElastic || variables["MASTER_ADDR"] != nil, let rank = try variables.number("RANK"),
      let ranks = try variables.number("WORLD_SIZE")
    else { return nil }
    if !isElastic { try contradict(variables, rank, ranks) }
    let localRanks = try variables.number("LOCAL_WORLD_SIZE")
    let job = [variables["TORCHELASTIC_RUN_ID"], variables["MASTER_PORT"]].map { $0 ?? "" }
    let master = try meeting(
      variables, ranks, localRanks, job: "torchrun \(job.joined(separator: " "))")
    return try LaunchEnvironment(
      .torchrun, rank: rank, ranks: ranks,
      local: (try variables.number("LOCAL_RANK"), localRanks), master: master,
      generation: UInt32(clamping: try variables.number("TORCHELASTIC_RESTART_COUNT") ?? 0),
      variables)
  }

  /// Refuses variables in torchrun's style that a launcher's ranks have inherited all alike.
  private static func contradict(
    _ variables: Variables, _ rank: Int, _ ranks: Int
  ) throws(CollectiveError) {
    for (name, other) in [
      ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"), ("PMI_RANK", "PMI_SIZE"),
      ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
    ] {
      guard let otherRank = try variables.number(name), let size = try variables.number(other),
        otherRank != rank || size != ranks
      else { continue }
      throw CollectiveError(
        .invalidOption,
        "RANK and WORLD_SIZE say rank \(rank) of \(ranks), \(name) and \(other) say "
          + "rank \(otherRank) of \(size); unset the wrong ones")
    }
  }

  private static func openMPI(
    _ variables: Variables
  ) throws(CollectiveError) -> LaunchEnvironment? {
    guard let rank = try variables.number("OMPI_COMM_WORLD_RANK") else { return nil }
    let ranks = try variables.needed("OMPI_COMM_WORLD_SIZE", beside: "OMPI_COMM_WORLD_RANK")
    let localRanks = try variables.number("OMPI_COMM_WORLD_LOCAL_SIZE")
    let job = variables["PMIX_NAMESPACE"] ?? variables["OMPI_MCA_ess_base_jobid"] ?? "\(getppid())"
    return try LaunchEnvironment(
      .openMPI, rank: rank, ranks: ranks,
      local: (try variables.number("OMPI_COMM_WORLD_LOCAL_RANK"), localRanks),
      master: try meeting(variables, ranks, localRanks, job: "Open MPI \(job)"),
      generation: 0, variables)
  }

  private static func hydra(_ variables: Variables) throws(CollectiveError) -> LaunchEnvironment? {
    guard let rank = try variables.number("PMI_RANK"), let ranks = try variables.number("PMI_SIZE")
    else { return nil }
    let localRanks = try variables.number("MPI_LOCALNRANKS")
    return try LaunchEnvironment(
      .hydra, rank: rank, ranks: ranks,
      local: (try variables.number("MPI_LOCALRANKID"), localRanks),
      // All ranks of a host are children of one proxy.
      master: try meeting(variables, ranks, localRanks, job: "hydra \(getppid())"),
      generation: 0, variables)
  }

  private static func slurm(_ variables: Variables) throws(CollectiveError) -> LaunchEnvironment? {
    // A batch script has these variables too, but is no task of a step: its step is a special one.
    guard let step = try variables.number("SLURM_STEP_ID"), step < 0xffff_0000,
      let rank = try variables.number("SLURM_PROCID"),
      let ranks = try variables.number("SLURM_STEP_NUM_TASKS", or: "SLURM_NTASKS"),
      ranks > 1
    else { return nil }
    let node = try variables.number("SLURM_NODEID") ?? 0
    let counts = variables["SLURM_STEP_TASKS_PER_NODE"].map(taskCounts)
    let localRanks = counts.flatMap { node < $0.count ? $0[node] : nil }
    let job = "\(variables["SLURM_JOB_ID"] ?? "") \(step)"
    return try LaunchEnvironment(
      .slurm, rank: rank, ranks: ranks,
      local: (try variables.number("SLURM_LOCALID"), localRanks),
      master: try slurmMaster(variables, ranks, localRanks, job),
      generation: UInt32(clamping: try variables.number("SLURM_RESTART_COUNT") ?? 0), variables)
  }

  private static func slurmMaster(
    _ variables: Variables, _ ranks: Int, _ localRanks: Int?, _ job: String
  ) throws(CollectiveError) -> Master {
    if let given = try variables.master() { return given }
    if localRanks == ranks { return .sameHost(name: "fastdp \(geteuid()) slurm \(job)") }
    let list = variables["SLURM_STEP_NODELIST"] ?? variables["SLURM_JOB_NODELIST"]
    guard let host = list.flatMap(firstHost) else {
      throw CollectiveError(
        .invalidOption,
        "Slurm's SLURM_STEP_NODELIST is '\(list ?? "")', which names no host; set "
          + "FASTDP_MASTER to rank 0's address, HOST:PORT, on all ranks")
    }
    return .network(host: host, port: port(of: job))
  }

  /// Where ranks meet when no launcher has said it in our way.
  private static func meeting(
    _ variables: Variables, _ ranks: Int, _ localRanks: Int?, job: String
  ) throws(CollectiveError) -> Master {
    if let given = try variables.master() { return given }
    if localRanks == ranks { return .sameHost(name: "fastdp \(geteuid()) \(job)") }
    guard let host = variables["MASTER_ADDR"] else {
      throw CollectiveError(
        .invalidOption,
        "ranks are on several hosts, and nobody has said where rank 0 is; set "
          + "FASTDP_MASTER to its address, HOST:PORT, on all ranks")
    }
    guard let port = try variables.number("MASTER_PORT").flatMap({ UInt16(exactly: $0) }), port > 0
    else {
      throw CollectiveError(
        .invalidOption,
        "MASTER_ADDR is set and MASTER_PORT is '\(variables["MASTER_PORT"] ?? "")', which is no port from 1 "
          + "to 65535; set both on all ranks")
    }
    // torchrun's own agent listens at the port.
    let isTaken = variables["TORCHELASTIC_USE_AGENT_STORE"]?.lowercased() == "true"
    return .network(host: host, port: isTaken ? (port < .max ? port + 1 : port - 1) : port)
  }

  // MARK: Texts

  /// Reads "HOST:PORT" or "[ADDRESS]:PORT".
  static func parse(_ text: String, named name: String) throws(CollectiveError) -> Master {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    let host = parts.dropLast().joined(separator: ":")
    let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
    guard parts.count >= 2, let port = parts.last.flatMap({ UInt16($0) }), port > 0,
      isBracketed || (parts.count == 2 && !host.isEmpty)
    else {
      throw CollectiveError(
        .invalidOption,
        "\(name) is '\(text)'; it must be HOST:PORT, such as 127.0.0.1:29500, or "
          + "[ADDRESS]:PORT, with a port from 1 to 65535")
    }
    return .network(host: isBracketed ? String(host.dropFirst().dropLast()) : host, port: port)
  }

  /// The first host of a list of Slurm's: "n[03-05,9],x1" gives "n03".
  static func firstHost(_ list: String) -> String? {
    var name = ""
    var rest = list[...]
    while let next = rest.first, next != "," {
      rest.removeFirst()
      guard next == "[" else {
        name.append(next)
        continue
      }
      guard let end = rest.firstIndex(of: "]") else { return nil }
      name += rest[..<end].prefix { $0 != "-" && $0 != "," }
      rest = rest[end...].dropFirst()
    }
    return name.isEmpty ? nil : name
  }

  /// Tasks of each node, from Slurm's "2(x3),1".
  static func taskCounts(_ text: String) -> [Int] {
    text.split(separator: ",").flatMap { part -> [Int] in
      let pieces = part.split(whereSeparator: { "(x)".contains($0) })
      guard let tasks = pieces.first.flatMap({ Int($0) }) else { return [] }
      let times = pieces.count > 1 ? Int(pieces[1]) ?? 1 : 1
      return Array(repeating: tasks, count: min(times, 65536))
    }
  }

  /// A port below those that the system gives to callers, the same for all ranks of a job.
  static func port(of job: String) -> UInt16 {
    let hash = job.utf8.reduce(UInt32(2_166_136_261)) { ($0 ^ UInt32($1)) &* 16_777_619 }
    return UInt16(20_000 + hash % 12_000)
  }
}

/// Environment variables, with errors that name them.
private struct Variables {
  private let values: [String: String]

  init(_ values: [String: String]) { self.values = values }

  /// A variable that is set and not empty.
  subscript(name: String) -> String? { values[name].flatMap { $0.isEmpty ? nil : $0 } }

  /// A variable that is a number, or another one where there is none.
  func number(_ name: String, or other: String) throws(CollectiveError) -> Int? {
    if let number = try number(name) { return number }
    return try number(other)
  }

  /// A variable that is a number.
  func number(_ name: String) throws(CollectiveError) -> Int? {
    guard let text = self[name] else { return nil }
    guard let number = Int(text), number >= 0 else {
      throw CollectiveError(.invalidOption, "\(name) is '\(text)'; it must be a number from 0 on")
    }
    return number
  }

  /// Refuses variables of which some are set and others are not.
  func refuseSome(of names: [String]) throws(CollectiveError) {
    let missing = names.filter { self[$0] == nil }
    guard !missing.isEmpty, missing.count < names.count else { return }
    let set = names.filter { self[$0] != nil }
    throw CollectiveError(
      .invalidOption,
      "\(set.joined(separator: ", ")) \(set.count > 1 ? "are" : "is") set and "
        + "\(missing.joined(separator: ", ")) \(missing.count > 1 ? "are" : "is") not, so that this process "
        + "would train alone; set all of them on all ranks, or unset them")
  }

  func needed(_ name: String, beside other: String) throws(CollectiveError) -> Int {
    guard let number = try number(name) else {
      throw CollectiveError(.invalidOption, "\(other) is set and \(name) is not; set both")
    }
    return number
  }

  func master() throws(CollectiveError) -> LaunchEnvironment.Master? {
    guard let text = self["FASTDP_MASTER"] else { return nil }
    return try LaunchEnvironment.parse(text, named: "FASTDP_MASTER")
  }
}
