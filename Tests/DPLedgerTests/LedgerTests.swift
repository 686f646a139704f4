import DPAccounting
import DPLedger
import Foundation
import GRDB
import TestSupport
import Testing

@Suite struct LedgerTests {
  private func mode(_ path: String) throws -> Int {
    let attributes = try FileManager.default.attributesOfItem(atPath: path)
    return (attributes[.posixPermissions] as? Int ?? 0) & 0o777
  }

  @Test func onlyTheOwnerReadsTheFiles() throws {
    let fixture = try LedgerFixture()
    try fixture.register("people", roomFor: 10)
    #expect(try fixture.folder.names == ["ledger", "ledger-shm", "ledger-wal"])
    for name in try fixture.folder.names {
      #expect(try mode(fixture.folder.file(name)) == 0o600)
    }
  }

  @Test(arguments: ["wal", "delete", "truncate"])
  func everyCommitIsSyncedInWALMode(left: String) throws {
    let folder = try ScratchFolder()
    let path = folder.file("ledger")
    try Ledger.create(path: path, version: 5)
    let queue = try DatabaseQueue(path: path)
    try queue.writeWithoutTransaction { try $0.execute(sql: "PRAGMA journal_mode = \(left)") }
    try queue.close()
    for ledger in [try Ledger(path: path), try Ledger(path: path)] {
      #expect(try ledger.pragma("journal_mode") == "wal")
      #expect(try ledger.pragma("synchronous") == "2")
      #expect(try ledger.pragma("fullfsync") == "1")
      #expect(try ledger.pragma("foreign_keys") == "1")
    }
  }

  /// A disk that is full refuses charges, and keeps those that it took.
  @Test(.enabled(if: TinyDisk.isAvailable, "only the superuser can mount a disk"))
  func aFullDiskKeepsWhatWasCharged() throws {
    let disk = try #require(try TinyDisk(kilobytes: 2048))
    let ledger = try Ledger.create(path: disk.path + "/ledger")
    try ledger.register(
      source: "people", target: PrivacyTarget(epsilon: 50, delta: 1e-6), order: 12)
    let step = try PoissonSubsampledGaussian(samplingRate: 1e-3, noiseMultiplier: 5)
    let account = try ledger.openAccount(run: "a", source: "people")
    try account.reserve(0..<1, of: step)
    try disk.fill()
    var charged = 1
    let refusal = ledgerCode {
      while charged < 1000 {
        try account.reserve(charged..<charged + 1, of: step)
        charged += 1
      }
    }
    #expect(refusal == .inputOutput)
    func steps() throws -> Int {
      try Ledger(path: ledger.path).summary(accountant: RDPAccountant()).sources[0].steps
    }
    disk.free()
    #expect(try steps() == charged)
    try account.reserve(charged..<charged + 1, of: step)
    #expect(try steps() == charged + 1 && ledger.verify().problems.isEmpty)
  }

  @Test func aLedgerIsNeverOverwrittenAndLeavesNothingHalfMade() throws {
    let fixture = try LedgerFixture()
    #expect(ledgerCode { _ = try Ledger.create(path: fixture.path) } == .alreadyExists)
    let absent = fixture.folder.file("no/ledger")
    #expect(ledgerCode { _ = try Ledger.create(path: absent) } == .cannotCreate)
    #expect(ledgerCode { _ = try Ledger(path: absent) } == .missing)
    #expect(try fixture.folder.names.allSatisfy { !$0.hasSuffix(".partial") })
  }

  /// Foundation's own splitting of paths traps on names of one letter.
  @Test func namesMayBeShort() throws {
    let folder = try ScratchFolder()
    _ = try Ledger.create(path: folder.file("l"))
    for path in ["", ".", "..", folder.path + "/"] {
      #expect(ledgerCode { _ = try Ledger.create(path: path) } == .cannotCreate)
    }
  }

  @Test func otherFilesAreNoLedgers() throws {
    let folder = try ScratchFolder()
    for contents in [[], Array("age,employed\n41,1\n".utf8), [UInt8](repeating: 7, count: 5000)] {
      let path = try folder.write(contents, to: "file")
      #expect(ledgerCode { _ = try Ledger(path: path) } == .notALedger)
    }
  }

  @Test(arguments: [99, 6, -1, -2_000_000_000])
  func aVersionThatIsNotKnownIsRefused(version: Int) throws {
    let fixture = try LedgerFixture()
    let queue = try DatabaseQueue(path: fixture.path)
    try queue.writeWithoutTransaction { try $0.execute(sql: "PRAGMA user_version = \(version)") }
    #expect(ledgerCode { _ = try Ledger(path: fixture.path) } == .notALedger)
  }

  /// Charges to a file that nobody will open again are no charges.
  @Test(arguments: ["deleted", "restored"])
  func aFileThatIsNoLongerTheLedgerTakesNoCharges(change: String) throws {
    let fixture = try LedgerFixture()
    try fixture.register("people", roomFor: 10)
    let step = try fixture.mechanism()
    let account = try fixture.ledger.openAccount(run: "a", source: "people")
    try account.reserve(0..<1, of: step)
    let (files, kept) = (FileManager.default, fixture.folder.file("kept"))
    try files.moveItem(atPath: fixture.path, toPath: kept)
    // What the write-ahead log holds would become a part of a new ledger of that name.
    #expect(ledgerCode { _ = try Ledger.create(path: fixture.path) } == .alreadyExists)
    if change == "restored" { try files.copyItem(atPath: kept, toPath: fixture.path) }
    let head = account.head
    #expect(ledgerCode { try account.reserve(1..<2, of: step) } == .changed)
    #expect(ledgerCode { try account.release(0..<1) } == .changed)
    #expect(ledgerCode { try account.checkRoom(for: 1, of: step) } == .changed)
    #expect(ledgerCode { _ = try fixture.ledger.verify() } == .changed)
    #expect(account.head == head)
    try? files.removeItem(atPath: fixture.path)
    try files.moveItem(atPath: kept, toPath: fixture.path)
    try account.reserve(1..<3, of: step)
    #expect(try fixture.steps(of: "people") == 3)
  }

  @Test(arguments: [1, 2, 3, 4])
  func aLedgerOfAnOlderVersionMigratesWithItsChain(version: Int) throws {
    let folder = try ScratchFolder()
    let path = folder.file("old")
    try Ledger.create(path: path, version: version)
    let head = try VersionOne(path: path).fill()
    let ledger = try Ledger(path: path)
    #expect(try ledger.pragma("user_version") == "5")
    #expect(try ledger.verify(heads: [("run", head)]).problems.isEmpty)
    let summary = try ledger.summary(accountant: RDPAccountant())
    #expect(summary.sources.map(\.source.rule) == [.filter])
    #expect(summary.sources.map(\.steps) == [7])
    let account = try ledger.openAccount(run: "new", source: "people", contentHash: "1")
    try account.reserve(0..<5, of: PoissonSubsampledGaussian(samplingRate: 0.1, noiseMultiplier: 2))
    #expect(try ledger.verify(heads: [("run", head)]).problems.isEmpty)
    #expect(try ledger.summary(accountant: RDPAccountant()).sources.map(\.steps) == [12])
  }

  /// Steps for units are charged as what they are, apart from those for rows.
  @Test func groupsAreChargedByTheirSize() throws {
    let fixture = try LedgerFixture()
    try fixture.ledger.register(
      source: "people", target: PrivacyTarget(epsilon: 10, delta: 1e-5), order: 8)
    let account = try fixture.ledger.openAccount(run: "units", source: "people")
    let pair = try PoissonSubsampledGaussian(
      samplingRate: 0.01, noiseMultiplier: 2, groupSize: 4)
    let row = try PoissonSubsampledGaussian(samplingRate: 0.01, noiseMultiplier: 2)
    try account.reserve(0..<5, of: pair)
    try account.reserve(5..<7, of: row)
    let reopened = try Ledger(path: fixture.path)
    #expect(try reopened.verify().problems.isEmpty)
    let summary = try reopened.summary(of: "people", accountant: RDPAccountant()).sources[0]
    #expect(summary.composition.map(\.mechanism) == [row, pair])
    #expect(summary.composition.map(\.count) == [2, 5])
    let filter = try RenyiFilter(PrivacyTarget(epsilon: 10, delta: 1e-5), order: 8)
    let share = (2 * filter.cost(of: row) + 5 * filter.cost(of: pair)) / filter.limit
    #expect(
      abs(summary.spentShare - share) < 1e-12 && filter.cost(of: pair) > 4 * filter.cost(of: row))
  }

  /// A budget protects rows, or the units of one column: a table in which one row contributes nothing
  /// has another row of its unit in its place, which the charge for a unit of one row does not cover.
  @Test(arguments: [nil, "home", "person"] as [String?], [nil, "home"] as [String?])
  func aBudgetProtectsOneThing(first: String?, second: String?) throws {
    let fixture = try LedgerFixture()
    try fixture.register("people", roomFor: 30)
    let step = try fixture.mechanism()
    _ = try fixture.ledger.openAccount(run: "unused", source: "people", unit: "other")
    let one = try fixture.ledger.openAccount(run: "a", source: "people", unit: first)
    try one.reserve(0..<3, of: step)
    let two = try fixture.ledger.openAccount(run: "b", source: "people", unit: second)
    if first == second {
      try two.checkRoom(for: 5, of: step)
      try two.reserve(0..<5, of: step)
    } else {
      #expect(ledgerCode { try two.checkRoom(for: 5, of: step) } == .invalidRequest)
      #expect(ledgerCode { try two.reserve(0..<5, of: step) } == .invalidRequest)
    }
    try one.reserve(3..<4, of: step)
    let summary = try fixture.ledger.summary(of: "people", accountant: RDPAccountant()).sources[0]
    #expect(summary.unit == first && summary.steps == (first == second ? 9 : 4))
    #expect(try fixture.ledger.verify().problems.isEmpty)
  }

  @Test func aPlanIsForItsSizeOfGroup() throws {
    let fixture = try LedgerFixture()
    try fixture.ledger.register(
      source: "people", target: PrivacyTarget(epsilon: 10, delta: 1e-5), rule: .plans)
    let pair = try PoissonSubsampledGaussian(
      samplingRate: 0.01, noiseMultiplier: 2, groupSize: 2)
    try fixture.ledger.register(
      plan: "one", ComposedSteps(of: pair, count: 10), source: "people",
      accountant: RDPAccountant())
    let account = try fixture.ledger.openAccount(run: "r", source: "people", plan: "one")
    let row = try PoissonSubsampledGaussian(samplingRate: 0.01, noiseMultiplier: 2)
    #expect(ledgerCode { try account.reserve(0..<1, of: row) } == .invalidRequest)
    try account.reserve(0..<10, of: pair)
    #expect(try fixture.ledger.verify().problems.isEmpty)
  }

  @Test func epsilonMayChangeAndNothingElse() throws {
    let fixture = try LedgerFixture()
    let ledger = fixture.ledger
    let (one, two) = (
      try PrivacyTarget(epsilon: 1, delta: 1e-6), try PrivacyTarget(epsilon: 2, delta: 1e-6)
    )
    let first = try ledger.register(source: "people", target: one)
    #expect(try ledger.register(source: "people", target: two).order == first.order)
    #expect(try ledger.register(source: "people", target: one).target == one)
    let otherDelta = try PrivacyTarget(epsilon: 1, delta: 1e-5)
    for change: () throws -> Void in [
      { try ledger.register(source: "people", target: otherDelta) },
      { try ledger.register(source: "people", target: one, order: 3) },
      { try ledger.register(source: "people", target: one, rule: .plans) },
      { try ledger.register(source: "people", target: one, relation: .replace) },
    ] {
      #expect(ledgerCode(change) == .invalidRequest)
    }
    #expect(try ledger.verify().problems.isEmpty)
  }

  @Test(arguments: ["", "a\nb", String(repeating: "x", count: 201)])
  func namesThatCannotBeShownAreRefused(name: String) throws {
    let fixture = try LedgerFixture()
    let target = try PrivacyTarget(epsilon: 1, delta: 1e-6)
    #expect(
      ledgerCode { try fixture.ledger.register(source: name, target: target) } == .invalidRequest)
  }

  @Test func anUnknownSourceIsToldHowToBeRegistered() throws {
    let fixture = try LedgerFixture()
    let error = #expect(throws: LedgerError.self) {
      try fixture.ledger.openAccount(run: "run", source: "people")
    }
    #expect(error?.code == .unknownName)
    #expect(error?.message.contains("fastdp ledger register") == true)
  }
}
