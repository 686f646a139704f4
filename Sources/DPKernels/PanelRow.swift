/// One number for each lane of some panels.
@safe package final class PanelRow {
  /// The number of panels.
  package let panels: Int
  @unsafe let base: UnsafeMutablePointer<Float>

  /// Allocates a row of zeros.
  package init(panels: Int) {
    precondition(panels > 0, "\(panels) panels")
    self.panels = panels
    let count = panels * Lanes.examples
    // SAFETY: the block is initialised whole and lives until deinit.
    let memory = UnsafeMutableRawPointer.allocate(byteCount: 4 * count, alignment: 64)
    unsafe base = memory.bindMemory(to: Float.self, capacity: count)
    unsafe base.initialize(repeating: 0, count: count)
  }

  deinit { unsafe base.deallocate() }

  /// The numbers of a panel.
  package subscript(panel: Int) -> Lanes {
    get {
      precondition(panel >= 0 && panel < panels, "panel \(panel) of \(panels)")
      // SAFETY: the panel lies within the block, which is aligned to 64 bytes.
      return unsafe UnsafeRawPointer(base + panel * Lanes.examples).load(as: Lanes.self)
    }
    set {
      precondition(panel >= 0 && panel < panels, "panel \(panel) of \(panels)")
      // SAFETY: as for reading.
      unsafe UnsafeMutableRawPointer(base + panel * Lanes.examples)
        .storeBytes(of: newValue, as: Lanes.self)
    }
  }
}
