import DPAccounting
import DPLedger
import TestSupport
import Testing

@Suite struct RunLedgerTests {
  @Test func theBudgetIsSpentToTheLastStepAndNotBeyond() throws {
    let fixture = try LedgerFixture()
    try fixture.register("people", roomFor: 100)
    let account = try fixture.ledger.openAccount(run: "a", source: "people")
    let step = try fixture.mechanism()
    try account.checkRoom(for: 100, of: step)
    #expect(privacyCode { try account.checkRoom(for: 101, of: step) } == .budgetExceeded)
    try account.reserve(0..<60, of: step)
    #expect(privacyCode { try account.reserve(60..<101, of: step) } == .budgetExceeded)
    try account.reserve(60..<100, of: step)
    let head = account.head
    #expect(privacyCode { try account.reserve(100..<101, of: step) } == .budgetExceeded)
    #expect(account.head == head)
    #expect(try fixture.steps(of: "people") == 100)
    #expect(try fixture.ledger.verify().problems.isEmpty)
  }

  @Test func differentStepsAddUpInAnyOrder() throws {
    let fixture = try LedgerFixture()
    try fixture.register("people", roomFor: 100)
    let account = try fixture.ledger.openAccount(run: "a", source: "people")
    let (cheap, dear) = (try fixture.mechanism(2), try fixture.mechanism(0.95))
    let target = try fixture.ledger.summary(accountant: RDPAccountant()).sources[0].source.target
    let accountant = try RDPAccountant(orders: [8])
    var counts = [cheap: 0, dear: 0]
    for step in 0..<1000 {
      let mechanism = step % 3 == 0 ? dear : cheap
      var after = counts
      after[mechanism, default: 0] += 1
      let spent = try accountant.epsilon(
        of: after.map { try ComposedSteps(of: $0.key, count: $0.value) }, delta: target.delta)
      let refused = privacyCode { try account.reserve(step..<step + 1, of: mechanism) } != nil
      #expect(refused == (spent.upper > target.epsilon))
      if refused { break }
      counts = after
    }
    #expect(counts.values.allSatisfy { $0 > 10 })
  }

  @Test func aReleasedTailIsFree() throws {
    let fixture = try LedgerFixture()
    try fixture.register("people", roomFor: 100)
    let account = try fixture.ledger.openAccount(run: "a", source: "people")
    let step = try fixture.mechanism()
    try account.reserve(0..<100, of: step)
    try account.release(40..<100)
    try account.release(40..<40)
    #expect(try fixture.steps(of: "people") == 40)
    try account.release(30..<40)
    try account.reserve(30..<100, of: step)
    #expect(privacyCode { try account.reserve(100..<101, of: step) } == .budgetExceeded)
    #expect(try fixture.ledger.verify().problems.isEmpty)
  }

  @Test func twoConnectionsSeeEachOthersCharges() throws {
    let fixture = try LedgerFixture()
    try fixture.register("people", roomFor: 101)
    let second = try Ledger(path: fixture.path)
    let accounts = [
      try fixture.ledger.openAccount(run: "a", source: "people"),
      try second.openAccount(run: "b", source: "people"),
    ]
    let step = try fixture.mechanism()
    for round in 0..<50 {
      for account in accounts { try account.reserve(round..<round + 1, of: step) }
    }
    try accounts[1].reserve(50..<51, of: step)
    for account in accounts {
      #expect(privacyCode { try account.reserve(60..<61, of: step) } == .budgetExceeded)
    }
    #expect(try fixture.steps(of: "people", in: second) == 101)
    #expect(try second.verify(heads: accounts.map { ("run", $0.head ?? "") }).problems.isEmpty)
  }

  @Test func manyThreadsSpendTheBudgetOnce() async throws {
    let fixture = try LedgerFixture()
    try fixture.register("people", roomFor: 70)
    let path = fixture.path
    let step = try fixture.mechanism()
    let charged = try await withThrowingTaskGroup(of: Int.self) { group in
      for worker in 0..<4 {
        group.addTask {
          let account = try Ledger(path: path).openAccount(run: "\(worker)", source: "people")
          for index in 0..<30 {
            do { try account.reserve(index..<index + 1, of: step) } catch is PrivacyError {
              return index
            }
          }
          return 30
        }
      }
      return try await group.reduce(0, +)
    }
    #expect(charged == 70)
    #expect(try fixture.steps(of: "people") == 70)
    #expect(try fixture.ledger.verify().problems.isEmpty)
  }

  @Test func aRaisedBudgetHasRoomAtOnce() throws {
    let fixture = try LedgerFixture()
    try fixture.register("people", roomFor: 10)
    let account = try fixture.ledger.openAccount(run: "a", source: "people")
    let step = try fixture.mechanism()
    try account.reserve(0..<10, of: step)
    #expect(privacyCode { try account.reserve(10..<11, of: step) } == .budgetExceeded)
    try fixture.ledger.register(
      source: "people", target: PrivacyTarget(epsilon: 50, delta: 1e-5))
    try account.reserve(10..<11, of: step)
    try fixture.ledger.register(
      source: "people", target: PrivacyTarget(epsilon: 2, delta: 1e-5))
    #expect(try fixture.ledger.verify().problems.isEmpty)
  }

  /// Lowering a budget stops what comes; it makes no promise about what was done under a larger one.
  @Test func aLoweredBudgetStopsStepsAndGuaranteesNoLess() throws {
    let fixture = try LedgerFixture()
    try fixture.register("people", roomFor: 10)
    let account = try fixture.ledger.openAccount(run: "a", source: "people")
    let step = try fixture.mechanism()
    for epsilon in [50, 4.0] {
      try fixture.ledger.register(
        source: "people", target: PrivacyTarget(epsilon: epsilon, delta: 1e-5))
      if epsilon == 50 { try account.reserve(0..<5000, of: step) }
      let source = try fixture.ledger.summary(accountant: RDPAccountant()).sources[0].source
      #expect(source.target.epsilon == epsilon)
      #expect(source.guaranteedEpsilon == 50)
    }
    #expect(privacyCode { try account.reserve(5000..<5001, of: step) } == .budgetExceeded)
    #expect(try fixture.ledger.verify().problems.isEmpty)
  }

  /// Registered plans run whatever the budget says later, so it may not say less.
  @Test func plansKeepTheBudgetThatTheyWereRegisteredFor() throws {
    let fixture = try LedgerFixture()
    let ledger = fixture.ledger
    func register(_ epsilon: Double) throws {
      try ledger.register(
        source: "people", target: PrivacyTarget(epsilon: epsilon, delta: 1e-6), rule: .plans)
    }
    for epsilon in [4, 2, 3.0] { try register(epsilon) }
    let steps = try ComposedSteps(of: fixture.mechanism(), count: 10)
    try ledger.register(plan: "p", steps, source: "people", accountant: RDPAccountant())
    #expect(ledgerCode { try register(2.9) } == .invalidRequest)
    try register(3.5)
  }

  @Test func sourcesDoNotShareBudgets() throws {
    let fixture = try LedgerFixture()
    for name in ["x", "y"] { try fixture.register(name, roomFor: 10) }
    for name in ["x", "y"] {
      let account = try fixture.ledger.openAccount(run: "a", source: name)
      try account.reserve(0..<10, of: fixture.mechanism())
    }
    #expect(try fixture.steps(of: "x") == 10)
  }

  /// Steps without cost pass every budget; their count must not overflow.
  @Test func endlesslyManyStepsAreRefused() throws {
    let fixture = try LedgerFixture()
    let target = try PrivacyTarget(epsilon: 1, delta: 1e-6)
    try fixture.ledger.register(source: "people", target: target)
    try fixture.ledger.register(source: "planned", target: target, rule: .plans)
    let free = try PoissonSubsampledGaussian(samplingRate: 0, noiseMultiplier: 1)
    let accounts = try ["a", "b"].map { try fixture.ledger.openAccount(run: $0, source: "people") }
    for account in accounts {
      #expect(ledgerCode { try account.reserve(0..<Int.max, of: free) } == .invalidRequest)
      try account.reserve(0..<1 << 40, of: free)
      #expect(ledgerCode { try account.reserve(1 << 40..<Int.max, of: free) } == .invalidRequest)
    }
    #expect(try fixture.steps(of: "people") == 1 << 41)
    let plan = try ComposedSteps(of: free, count: .max)
    #expect(
      ledgerCode {
        try fixture.ledger.register(
          plan: "p", plan, source: "planned", accountant: RDPAccountant())
      } == .invalidRequest)
  }

  @Test func anotherRelationIsRefused() throws {
    let fixture = try LedgerFixture()
    try fixture.register("people", roomFor: 10)
    let account = try fixture.ledger.openAccount(run: "a", source: "people")
    let other = try PoissonSubsampledGaussian(
      samplingRate: 0.01, noiseMultiplier: 1, relation: .replace)
    #expect(ledgerCode { try account.reserve(0..<1, of: other) } == .invalidRequest)
  }

  /// Plans are composed for Gaussian noise, and filters of other orders have no proof for another.
  @Test func discreteNoiseIsChargedWhereItsCostIsProved() throws {
    let fixture = try LedgerFixture()
    let ledger = fixture.ledger
    let target = try PrivacyTarget(epsilon: 3, delta: 1e-6)
    try ledger.register(source: "usual", target: target)
    try ledger.register(source: "fraction", target: target, order: 10.5)
    try ledger.register(source: "replaced", target: target, relation: .replace)
    try ledger.register(source: "planned", target: target, rule: .plans)
    let steps = try ComposedSteps(of: fixture.mechanism(), count: 4)
    try ledger.register(plan: "p", steps, source: "planned", accountant: RDPAccountant())
    _ = try ledger.openAccount(run: "a", source: "usual", noise: .discrete)
    for (name, plan) in [("fraction", nil), ("replaced", nil), ("planned", "p")] {
      _ = try ledger.openAccount(run: "a", source: name, plan: plan)
      #expect(
        ledgerCode {
          _ = try ledger.openAccount(run: "a", source: name, plan: plan, noise: .discrete)
        }
          == .invalidRequest)
    }
  }

  @Test func otherRowsAndOtherNamesAreWarnedOf() throws {
    let fixture = try LedgerFixture()
    for name in ["x", "y"] { try fixture.register(name, roomFor: 10) }
    func warnings(_ source: String, _ hash: String) throws -> Int {
      try fixture.ledger.openAccount(run: "a", source: source, contentHash: hash).warnings.count
    }
    #expect(try warnings("x", "1") == 0)
    #expect(try warnings("x", "1") == 0)
    #expect(try warnings("x", "2") == 1)
    #expect(try warnings("y", "3") == 0)
    #expect(try warnings("y", "1") == 2)
  }

  @Test func plansAreComposedAndClosedByTheFirstCharge() throws {
    let fixture = try LedgerFixture()
    let ledger = fixture.ledger
    let target = try PrivacyTarget(epsilon: 3, delta: 1e-6)
    try ledger.register(source: "people", target: target, rule: .plans)
    let accountant = RDPAccountant()
    let steps = try ComposedSteps(of: fixture.mechanism(), count: 400)
    #expect(
      ledgerCode { _ = try ledger.openAccount(run: "a", source: "people") } == .invalidRequest)
    let first = try ledger.register(plan: "p", steps, source: "people", accountant: accountant)
    #expect(first == (try accountant.epsilon(of: [steps], delta: 1e-6)))
    let large = try ComposedSteps(of: fixture.mechanism(), count: 100_000)
    #expect(
      privacyCode {
        try ledger.register(plan: "q", large, source: "people", accountant: accountant)
      } == .budgetExceeded)
    let more = try ComposedSteps(of: fixture.mechanism(2), count: 50)
    try ledger.register(plan: "q", more, source: "people", accountant: accountant)
    let account = try ledger.openAccount(run: "a", source: "people", plan: "p")
    try account.reserve(0..<300, of: fixture.mechanism(1.5))
    #expect(
      ledgerCode { try account.reserve(300..<301, of: fixture.mechanism(0.99)) } == .invalidRequest)
    #expect(
      ledgerCode { try ledger.register(plan: "r", more, source: "people", accountant: accountant) }
        == .invalidRequest)
    let other = try ledger.openAccount(run: "b", source: "people", plan: "p")
    try other.reserve(0..<100, of: fixture.mechanism())
    let step = try fixture.mechanism()
    #expect(privacyCode { try account.reserve(300..<301, of: step) } == .budgetExceeded)
    let summary = try ledger.summary(accountant: accountant).sources[0]
    #expect(summary.plans.map(\.chargedSteps) == [400, 0])
    #expect(summary.epsilonOfPlans.map { $0.upper <= 3 } == true)
    #expect(try ledger.verify().problems.isEmpty)
  }
}
