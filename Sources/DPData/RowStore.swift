internal import DPFiles
internal import DPKernels

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// Rows of features that grow in number, in one piece of memory.
@safe final class RowStore<Element: FeatureElement> {
  /// Elements per row; at least 1.
  let features: Int
  /// How many rows there are.
  private(set) var count = 0
  private var capacity = 0
  private var base: UnsafeMutablePointer<Element>?

  init(features: Int) { self.features = features }

  deinit { unsafe free(base) }

  /// Adds a row of zeros.
  ///
  /// - Returns: The row, valid until the next call.
  /// - Complexity: O(features), amortised.
  @unsafe func appendZeros() -> UnsafeMutablePointer<Element> {
    if count == capacity { grow() }
    guard let base = unsafe base else { preconditionFailure("a store that grew has memory") }
    let row = unsafe base + count * features
    unsafe clear(row)
    count += 1
    return unsafe row
  }

  /// Makes the last row zeros again.
  func clearLast() {
    guard let base = unsafe base, count > 0 else { return }
    unsafe clear(base + (count - 1) * features)
  }

  /// Takes the last row away.
  func removeLast() { count -= 1 }

  /// Copies all rows, in order.
  ///
  /// - Parameter target: Room for exactly all of them.
  @unsafe func copy(to target: UnsafeMutableRawBufferPointer) {
    precondition(target.count == count * features * MemoryLayout<Element>.stride)
    guard let base = unsafe base else { return }
    unsafe target.copyMemory(from: UnsafeRawBufferPointer(start: base, count: target.count))
  }

  @unsafe private func clear(_ row: UnsafeMutablePointer<Element>) {
    unsafe memset(row, 0, features * MemoryLayout<Element>.stride)
  }

  /// Half as much again; the C library moves large blocks without copying them.
  private func grow() {
    capacity = max(1024, capacity + capacity / 2)
    let byteCount = capacity * features * MemoryLayout<Element>.stride
    // SAFETY: `base` came from this call or is nil; elements are plain bits.
    guard let memory = unsafe realloc(base, byteCount) else {
      fatalError("out of memory: \(byteCount) bytes for rows")
    }
    unsafe base = memory.assumingMemoryBound(to: Element.self)
  }
}

/// Labels that grow in number, in the type that the dataset file gives them.
enum LabelStore {
  case u8([UInt8])
  case i32([Int32])
  case f32([Float])

  init(_ type: TensorType) {
    switch type {
    case .u8: self = .u8([])
    case .i32: self = .i32([])
    default: self = .f32([])
    }
  }

  /// Adds a label, or the mark for no example.
  ///
  /// - Parameter label: A class index, a scaled number, or nil.
  mutating func append(_ label: Double?) {
    switch consume self {
    case .u8(var labels):
      labels.append(label.map { UInt8($0) } ?? ExampleTable.noByte)
      self = .u8(labels)
    case .i32(var labels):
      labels.append(label.map { Int32($0) } ?? ExampleTable.noInteger)
      self = .i32(labels)
    case .f32(var labels):
      labels.append(label.map { Float($0) } ?? ExampleTable.noFloat)
      self = .f32(labels)
    }
  }

  /// Copies all labels, in order.
  ///
  /// - Parameter target: Room for exactly all of them.
  @unsafe func copy(to target: UnsafeMutableRawBufferPointer) {
    switch self {
    case .u8(let labels): unsafe labels.withUnsafeBytes { unsafe target.copyMemory(from: $0) }
    case .i32(let labels): unsafe labels.withUnsafeBytes { unsafe target.copyMemory(from: $0) }
    case .f32(let labels): unsafe labels.withUnsafeBytes { unsafe target.copyMemory(from: $0) }
    }
  }
}
