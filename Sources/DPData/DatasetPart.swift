internal import DPFiles

/// The tensors of a dataset.
enum DatasetPart: String, CaseIterable {
  case trainFeatures = "x_train"
  case testFeatures = "x_test"
  case trainLabels = "y_train"
  case testLabels = "y_test"

  /// Whether it belongs to the training split.
  var isTraining: Bool { self == .trainFeatures || self == .trainLabels }

  /// Bytes of one row of it.
  func rowBytes(_ shape: RowShape) -> Int {
    switch self {
    case .trainFeatures, .testFeatures: shape.rowBytes
    case .trainLabels, .testLabels: shape.labelType.byteCount
    }
  }
}
