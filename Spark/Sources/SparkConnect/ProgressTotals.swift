package import SparkProto
internal import SwiftProtobuf

/// How far a statement is, from reports that repeat, forget stages and count tasks twice.
///
/// No number ever falls. A task that ran twice, because its executor was lost, counts once at most:
/// per stage, what is completed is clamped to the stage's tasks.
package struct ProgressTotals: Hashable, Sendable {
  private struct Stage: Hashable, Sendable {
    var tasks: Int64 = 0
    var completed: Int64 = 0
    var bytesRead: Int64 = 0
    var isDone = false
  }

  private var seen: [Int64: Stage] = [:]

  package init() {}

  package var stages: Int { seen.count }
  package var stagesDone: Int { seen.values.count(where: \.isDone) }
  package var tasks: Int64 { total(\.tasks) }
  package var completed: Int64 { total(\.completed) }
  package var bytesRead: Int64 { total(\.bytesRead) }

  /// Takes a report.
  ///
  /// - Parameter report: What the server sent; negative numbers count as 0.
  package mutating func take(_ report: SCExecutePlanResponse.ExecutionProgress) {
    for info in report.stages {
      var stage = seen[info.stageID] ?? Stage()
      stage.tasks = max(stage.tasks, info.numTasks)
      stage.completed = min(stage.tasks, max(stage.completed, info.numCompletedTasks))
      stage.bytesRead = max(stage.bytesRead, info.inputBytesRead)
      stage.isDone = stage.isDone || info.done
      seen[info.stageID] = stage
    }
  }

  private func total(_ number: KeyPath<Stage, Int64>) -> Int64 {
    seen.values.reduce(0) {
      let (sum, overflows) = $0.addingReportingOverflow($1[keyPath: number])
      return overflows ? .max : sum
    }
  }
}
