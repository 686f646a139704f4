import DPKernels
import DPModels

/// A few examples in memory of their own, as the fast path and the reference read them.
@safe final class Examples {
  let width: Int
  var labels: [Float]
  private(set) var features: [Float]
  private let featureMemory: UnsafeMutablePointer<Float>
  private let labelMemory: UnsafeMutablePointer<Float>

  init(features: [Float], labels: [Float]) {
    self.features = features
    self.labels = labels
    width = labels.isEmpty ? features.count : features.count / labels.count
    // SAFETY: both blocks live until deinit and have room for what is copied into them.
    unsafe featureMemory = .allocate(capacity: max(1, features.count))
    unsafe labelMemory = .allocate(capacity: max(1, labels.count))
    unsafe featureMemory.initialize(from: features, count: features.count)
    unsafe labelMemory.initialize(from: labels, count: labels.count)
  }

  deinit {
    unsafe featureMemory.deallocate()
    unsafe labelMemory.deallocate()
  }

  var rows: [UInt32] { labels.indices.map { UInt32($0) } }

  var table: ExampleTable {
    // SAFETY: `self` owns both blocks, which have room for that many values.
    unsafe ExampleTable(
      features: .floats(featureMemory), labels: .floats(labelMemory), count: labels.count,
      width: width, owner: self)
  }

  /// Marks a row as one that holds no example.
  func remove(row: Int) {
    labels[row] = .nan
    unsafe labelMemory[row] = .nan
  }

  /// What is not removed, in Double.
  var inDouble: [(features: [Double], label: Double)] {
    labels.indices.filter { !labels[$0].isNaN }.map { row in
      (features[row * width..<(row + 1) * width].map(Double.init), Double(labels[row]))
    }
  }

  /// Random examples with labels that fit a head.
  static func random(
    _ count: Int, features: Int, head: Head, using generator: inout some RandomNumberGenerator
  ) -> Examples {
    let labels = (0..<count).map { _ in
      switch head {
      case .binary: Float(Int.random(in: 0...1, using: &generator))
      case .multiclass(let classes): Float(Int.random(in: 0..<classes, using: &generator))
      // Away from what an untrained network predicts: a difference of nearly equal numbers has
      // no digits to compare.
      case .regression: Float.random(in: 30...40, using: &generator)
      }
    }
    let values = (0..<count * features).map { _ in Float.random(in: -1...1, using: &generator) }
    return Examples(features: values, labels: labels)
  }
}

/// ‖x − y‖ / ‖y‖, and 0 for two zero vectors.
func relativeDistance(_ x: [Double], _ y: [Double]) -> Double {
  let difference = norm(zip(x, y).map { $0 - $1 })
  return difference == 0 ? 0 : difference / norm(y)
}

/// ‖x‖₂.
func norm(_ x: [Double]) -> Double { x.reduce(0) { $0 + $1 * $1 }.squareRoot() }
