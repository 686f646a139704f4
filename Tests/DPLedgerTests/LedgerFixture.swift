import DPAccounting
import DPLedger
import TestSupport

/// A ledger in a folder of its own.
struct LedgerFixture {
  let folder: ScratchFolder
  let ledger: Ledger
  var path: String { ledger.path }

  init() throws {
    folder = try ScratchFolder()
    ledger = try Ledger.create(path: folder.file("ledger"))
  }

  /// A source whose filter has room for so many of ``mechanism(_:)``, and not one more.
  func register(_ name: String, roomFor steps: Int) throws {
    var low = 1e-3
    var high = 50.0
    func room(_ epsilon: Double) throws -> Int {
      guard
        let filter = try? RenyiFilter(PrivacyTarget(epsilon: epsilon, delta: 1e-5), order: 8)
      else { return 0 }
      return filter.steps(of: filter.cost(of: try mechanism()), after: 0)
    }
    var found = try room((low + high) / 2)
    while found != steps {
      if found < steps { low = (low + high) / 2 } else { high = (low + high) / 2 }
      found = try room((low + high) / 2)
    }
    try ledger.register(
      source: name, target: PrivacyTarget(epsilon: (low + high) / 2, delta: 1e-5), order: 8)
  }

  func mechanism(_ sigma: Double = 1) throws -> PoissonSubsampledGaussian {
    try PoissonSubsampledGaussian(samplingRate: 0.01, noiseMultiplier: sigma)
  }

  func steps(of source: String, in other: Ledger? = nil) throws -> Int {
    try (other ?? ledger).summary(of: source, accountant: RDPAccountant()).sources[0].steps
  }
}

/// The kind of the privacy error that a call throws.
func privacyCode(_ body: () throws -> Void) -> PrivacyError.Code? {
  do { try body() } catch { return (error as? PrivacyError)?.code }
  return nil
}

/// The kind of the ledger's error that a call throws.
func ledgerCode(_ body: () throws -> Void) -> LedgerError.Code? {
  do { try body() } catch { return (error as? LedgerError)?.code }
  return nil
}
