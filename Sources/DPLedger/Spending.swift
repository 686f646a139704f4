internal import DPAccounting
internal import GRDB

/// What the charges of one source add up to.
///
/// Rows of charges are never changed, so a sum is brought up to date by the rows that came since.
struct Spending {
  /// The net number of steps of each mechanism.
  private(set) var steps: [PoissonSubsampledGaussian: Int] = [:]
  /// The net number of steps of each plan, by the plan's key.
  private(set) var planSteps: [Int64: Int] = [:]
  private var lastRow: Int64 = 0
  private let source: LedgerSource

  init(of source: LedgerSource) {
    self.source = source
  }

  /// Adds the rows that came since the last call.
  ///
  /// - Parameter db: The database, in a transaction that has added none of its own.
  /// - Throws: ``PrivacyError`` where a row was changed to nonsense.
  /// - Complexity: O(new rows).
  mutating func update(_ db: Database) throws {
    let rows = try Row.fetchCursor(
      db,
      sql: """
        SELECT charges.*, runs.plan AS plan FROM charges JOIN runs ON runs.id = charges.run
        WHERE runs.source = ? AND charges.id > ? ORDER BY charges.id
        """, arguments: [source.id, lastRow])
    while let row = try rows.next() {
      let mechanism = try PoissonSubsampledGaussian(row, relation: source.relation)
      let first: Int = row["first_step"]
      let end: Int = row["end_step"]
      let kind: String = row["kind"]
      let net = kind == "release" ? first - end : end - first
      steps[mechanism, default: 0] += net
      if let plan: Int64 = row["plan"] { planSteps[plan, default: 0] += net }
      lastRow = row["id"]
    }
  }

  /// Counts further steps, without recording them.
  mutating func add(_ count: Int, of mechanism: PoissonSubsampledGaussian) {
    steps[mechanism, default: 0] += count
  }

  /// The steps by mechanism, in an order that depends on nothing but them.
  var composition: [ComposedSteps] {
    steps.filter { $0.value > 0 }
      .sorted {
        ($0.key.samplingRate.value, $0.key.noiseMultiplier.value, $0.key.groupSize)
          < ($1.key.samplingRate.value, $1.key.noiseMultiplier.value, $1.key.groupSize)
      }
      .compactMap { try? ComposedSteps(of: $0.key, count: $0.value) }
  }

  /// The net number of steps.
  var totalSteps: Int { steps.values.reduce(0, +) }

  /// The sum of the divergences at a filter's order.
  ///
  /// - Parameters:
  ///   - filter: The filter.
  ///   - costs: What ``RenyiFilter/cost(of:)`` has said before.
  /// - Returns: Nats; the same for the same steps, whatever their order.
  func divergence(_ filter: RenyiFilter, _ costs: inout [PoissonSubsampledGaussian: Double])
    -> Double
  {
    var sum = 0.0
    for part in composition {
      let cost = costs[part.mechanism] ?? filter.cost(of: part.mechanism)
      costs[part.mechanism] = cost
      sum += Double(part.count) * cost
    }
    return sum
  }
}

extension PoissonSubsampledGaussian {
  /// The mechanism of a row of charges or plans.
  init(_ row: Row, relation: NeighbouringRelation) throws {
    try self.init(
      samplingRate: row["sampling_rate"], noiseMultiplier: row["sigma_effective"],
      relation: relation, groupSize: row["group_size"] ?? 1)
  }

  /// What a row of charges or plans holds: nothing for single rows, as before there were groups.
  var storedGroupSize: Int? { groupSize > 1 ? groupSize : nil }
}
