public import DPData
public import DPModels

extension Dataset {
  /// Applies a model to the test split and compares with its labels: exact facts about the data.
  ///
  /// - Parameter model: A model of this dataset's schema.
  /// - Returns: The metrics of the model's head; a regression's errors in label units.
  /// - Throws: ``TrainingError`` when the model was made for another schema, ``ModelError`` when its
  ///   file was changed by hand.
  public func evaluate(_ model: Model) throws -> Evaluation {
    guard try model.schema() == schema else {
      throw TrainingError(
        .otherSchema,
        "the model was trained on rows of another schema; prepare the data with the model's schema")
    }
    return model.architecture.evaluate(
      test.table, parameters: model.parameters, labelScale: schema.labelScale)
  }
}

extension TrainingRanks {
  /// Applies parameters to the test rows of a dataset that ranks share, all of which call this.
  ///
  /// Outcomes travel as gradients do, and each rank's are in their place, so that the metrics are those
  /// of one process that has all rows.
  ///
  /// - Parameters:
  ///   - parameters: The model's, the same on all ranks.
  ///   - architecture: The model's.
  ///   - dataset: This rank's rows.
  /// - Returns: The metrics of all test rows, on rank 0; nil elsewhere.
  /// - Throws: ``CollectiveError``.
  func evaluate(
    _ parameters: [Float], of architecture: DenseArchitecture, on dataset: Dataset
  ) throws -> Evaluation? {
    let own = architecture.outcomes(dataset.test.table, parameters: parameters)
    let places = try gather([dataset.held?.test.lowerBound ?? 0, own.count])
    let order = places.indices.sorted { (places[$0][0], $0) < (places[$1][0], $1) }
    var all: [Float] = []
    for owner in order {
      var numbers = owner == rank ? own : [Float](repeating: 0, count: places[owner][1])
      try broadcast(&numbers, from: owner)
      if leads { all += numbers }
    }
    return leads
      ? architecture.evaluation(of: all, labelScale: dataset.schema.labelScale) : nil
  }
}

extension Schema {
  /// What a difference of encoded labels is multiplied by to be in label units; 1 for classes.
  package var labelScale: Double {
    guard case .numeric(let bounds) = labelKind else { return 1 }
    return (bounds.upperBound - bounds.lowerBound) / 2
  }
}
