import DPSpark

/// A Spark to which something happens before a statement, or which is sent another.
final class ChangedExecutor: SparkExecutor {
  private let executor: any SparkExecutor
  private let change: (_ sql: String, _ title: String) -> String

  /// Another Spark that looks like one.
  ///
  /// - Parameters:
  ///   - executor: Runs the statements.
  ///   - change: Gets a statement and its title before it is sent, and returns what is sent.
  init(_ executor: any SparkExecutor, change: @escaping (String, String) -> String) {
    self.executor = executor
    self.change = change
  }

  func query(_ sql: String, title: String) throws(SparkError) -> [[SparkValue]] {
    try executor.query(change(sql, title), title: title)
  }

  func command(_ sql: String, title: String) throws(SparkError) {
    try executor.command(change(sql, title), title: title)
  }
}
