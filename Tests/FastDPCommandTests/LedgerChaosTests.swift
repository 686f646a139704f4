import Foundation
import TestSupport
import Testing

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// The promise of a ledger, kept while processes die: the short form of `scripts/chaos_ledger`.
struct LedgerChaosTests {
  /// What a process printed on standard output, whole lines only: each is a charge it may rely on.
  private func acknowledged(_ outcome: Outcome) throws -> [[String: Any]] {
    let whole = outcome.output.lastIndex(of: "\n").map { outcome.output[...$0] } ?? ""
    return try whole.split(separator: "\n").map { try jsonObject(Data($0.utf8)) }
  }

  private func charge(_ ledger: String, repeating count: Int) throws -> RunningProgram {
    try RunningProgram(
      fastdp: "ledger", "charge", ledger, "people", "--sampling-rate", "0.01",
      "--noise-multiplier", "1.5", "--steps", "3", "--repeat", "\(count)", "--json")
  }

  /// Two processes charge at once, one of them killed again and again after a few acknowledgements.
  @Test func whatWasAcknowledgedIsThereOnceAndTheBudgetHolds() throws {
    let folder = try ScratchFolder()
    let ledger = folder.file("ledger")
    try succeed("ledger", "init", ledger)
    // At order 12 this has room for 515 charges: more than the steady process makes.
    try succeed(
      "ledger", "register", ledger, "people", "--epsilon", "1.5", "--delta", "1e-6", "--order",
      "12")
    let steady = try charge(ledger, repeating: 100)
    var charges: [[String: Any]] = []
    let kills = 6
    for round in 0..<kills {
      let victim = try charge(ledger, repeating: 1_000_000)
      // From a kill at the start to one amid many charges; nothing depends on how many it makes.
      usleep(UInt32(round * 12_000))
      victim.send(SIGKILL)
      let outcome = try victim.wait()
      #expect([-SIGKILL, 77].contains(outcome.status))
      charges += try acknowledged(outcome)
      #expect(try succeed("ledger", "verify", ledger, "--json").json()["valid"] as? Bool == true)
    }
    let outcome = try steady.wait()
    #expect([0, 77].contains(outcome.status))
    charges += try acknowledged(outcome)
    let rest = try charge(ledger, repeating: 1_000_000).wait()
    #expect(rest.status == 77, "\(rest.errors)")
    charges += try acknowledged(rest)

    let summary = try succeed("ledger", "show", ledger, "--json").json()
    let source = try #require((summary["sources"] as? [[String: Any]])?.first)
    let share = try #require(source["spentShare"] as? Double)
    #expect(share <= 1 && share > 0.99)
    let total = try #require(source["charges"] as? Int)
    #expect(try #require(source["steps"] as? Int) == 3 * total)
    #expect(charges.count <= total && total <= charges.count + kills)
    try expectEach(charges, in: ledger)
  }

  /// Every acknowledged charge is an entry of the chain, and no two are the same.
  private func expectEach(_ charges: [[String: Any]], in ledger: String) throws {
    let export = try succeed("ledger", "export", ledger, "--json").json()
    let entries = try #require(export["entries"] as? [[String: Any]])
    let hashes = Set(entries.compactMap { $0["hash"] as? String })
    let heads = charges.compactMap { $0["head"] as? String }
    #expect(heads.count == charges.count && Set(heads).count == heads.count)
    #expect(hashes.isSuperset(of: heads))
  }
}
