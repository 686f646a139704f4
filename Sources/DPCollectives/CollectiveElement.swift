internal import DPKernels

/// A number that collectives can sum.
///
/// Sums of floating-point numbers depend on the order of their terms, which the algorithm fixes;
/// sums of integers wrap, and are the same for all algorithms.
public protocol CollectiveElement: BitwiseCopyable, Sendable {
  /// What the number is, for peers.
  static var kind: ElementKind { get }
}

/// The numbers that collectives know.
public enum ElementKind: UInt8, Hashable, Sendable {
  /// `Float`.
  case float32 = 0
  /// `Double`.
  case float64 = 1
  /// `Int32`.
  case int32 = 2
  /// `Int64`.
  case int64 = 3

  /// Bytes of one number.
  public var byteCount: Int { self == .float32 || self == .int32 ? 4 : 8 }

  /// How such numbers are summed.
  var sum: VectorSum {
    switch self {
    case .float32: VectorSum(of: .float32)
    case .float64: VectorSum(of: .float64)
    case .int32: VectorSum(of: .int32)
    case .int64: VectorSum(of: .int64)
    }
  }
}

extension Float: CollectiveElement {
  /// `float32`.
  public static var kind: ElementKind { .float32 }
}

extension Double: CollectiveElement {
  /// `float64`.
  public static var kind: ElementKind { .float64 }
}

extension Int32: CollectiveElement {
  /// `int32`.
  public static var kind: ElementKind { .int32 }
}

extension Int64: CollectiveElement {
  /// `int64`.
  public static var kind: ElementKind { .int64 }
}
