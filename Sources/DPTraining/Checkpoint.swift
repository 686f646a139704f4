internal import DPFiles
internal import DPModels
internal import Foundation

/// Where a run can go on from: released values only, no key and no record of any example.
struct Checkpoint {
  /// Parameters and optimizer state.
  let state: ModelState
  /// The steps of the run that had been taken or given up.
  let steps: Int
  /// Identifies the plan.
  let planDigest: String

  private static let planKey = "fastdp.plan"
  private static let stepsKey = "steps"
  private static let optimizerStepsKey = "optimizerSteps"

  init(state: ModelState, steps: Int, planDigest: String) {
    self.state = state
    self.steps = steps
    self.planDigest = planDigest
  }

  /// Writes the checkpoint, whole or not at all.
  ///
  /// - Parameter path: The file to make or replace.
  /// - Throws: ``FileError``.
  func write(to path: String) throws {
    let vectors =
      [("parameters", state.parameters)]
      + state.optimizerState.enumerated().map {
        ("optimizer.\($0.offset)", $0.element)
      }
    let layout = SafetensorsLayout(
      vectors.map { .init($0.0, .f32, shape: [$0.1.count]) },
      metadata: [
        Checkpoint.planKey: planDigest, Checkpoint.stepsKey: "\(steps)",
        Checkpoint.optimizerStepsKey: "\(state.optimizerSteps)",
      ])
    var writer = try SafetensorsWriter(path: path, layout: layout, overwrite: true)
    for vector in vectors { try writer.write(vector.1) }
    try writer.commit()
  }

  /// Reads a checkpoint.
  ///
  /// - Parameters:
  ///   - path: A file that ``write(to:)`` made.
  ///   - plan: The plan that it must belong to.
  ///   - planDigest: Identifies that plan.
  /// - Throws: ``FileError`` when it cannot be read, ``TrainingError`` when it does not fit.
  init(contentsOf path: String, plan: TrainingPlan, planDigest: String) throws {
    let reader = try SafetensorsReader(contentsOf: path)
    let count = try plan.architecture().parameterCount
    guard reader.metadata[Checkpoint.planKey] == planDigest,
      let steps = reader.metadata[Checkpoint.stepsKey].flatMap({ Int($0) }), steps >= 0,
      let taken = reader.metadata[Checkpoint.optimizerStepsKey].flatMap({ Int($0) }), taken >= 0,
      taken <= steps, steps <= plan.steps
    else {
      throw TrainingError(.changedPlan, "\(path): the checkpoint belongs to another plan")
    }
    func vector(_ name: String) throws -> [Float] {
      guard let values = reader.floats(name, shape: [count]) else {
        throw FileError(.malformed, "\(path): \(name) is absent or has another shape")
      }
      return values
    }
    self.init(
      state: ModelState(
        parameters: try vector("parameters"), optimizerSteps: taken,
        optimizerState: try (0..<plan.optimizer.stateVectors).map { try vector("optimizer.\($0)") }
      ), steps: steps, planDigest: planDigest)
  }
}
