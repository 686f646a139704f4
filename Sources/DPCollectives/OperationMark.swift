/// Which operation a rank is in, for those that share its memory.
package struct OperationMark: Hashable, Sendable {
  /// Its number since the group was started; the first is 1.
  package let sequence: UInt64
  /// What it is.
  package let fingerprint: UInt64

  /// A mark.
  package init(sequence: UInt64, fingerprint: UInt64) {
    self.sequence = sequence
    self.fingerprint = fingerprint
  }

  /// Number and fingerprint in one: the same operation at another time differs.
  var mixed: UInt64 { fingerprint ^ (sequence &* 0x9e37_79b9_7f4a_7c15) }

  /// 32 bits of the number, then 32 of the fingerprint.
  var packed: UInt64 { sequence << 32 | (fingerprint ^ fingerprint >> 32) & 0xffff_ffff }
}
