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

extension Schema {
  /// What a difference of encoded labels is multiplied by to be in label units; 1 for classes.
  package var labelScale: Double {
    guard case .numeric(let bounds) = labelKind else { return 1 }
    return (bounds.upperBound - bounds.lowerBound) / 2
  }
}
