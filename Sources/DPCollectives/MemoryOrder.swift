internal import CDPSystem

/// Lets other processors go first for a few cycles.
@inline(__always)
func relax() { cdp_relax() }
