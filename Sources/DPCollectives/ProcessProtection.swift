internal import CDPSystem

/// What keeps keys within this process.
package enum ProcessProtection {
  /// Keeps this process's memory out of core files, and away from other processes of its user.
  ///
  /// - Returns: Whether the system has agreed.
  @discardableResult
  package static func forbidDumps() -> Bool { cdp_forbid_dumps() == 0 }
}
