import GRPCCore
import SparkConnect
import Testing

@Suite struct ClassificationTests {
  /// Conditions as Spark 4 sends them, and what each means.
  @Test(arguments: [
    ("PARSE_SYNTAX_ERROR", "42601", 70), ("UNRESOLVED_COLUMN.WITH_SUGGESTION", "42703", 70),
    ("UNSUPPORTED_FEATURE.X", "0A000", 70), ("INTERNAL_ERROR", "XX000", 70),
    ("PATH_NOT_FOUND", "42K03", 66), ("TABLE_OR_VIEW_NOT_FOUND", "42P01", 66),
    ("FAILED_READ_FILE.FILE_NOT_EXIST", "KD001", 66), ("UNABLE_TO_INFER_SCHEMA", "42KD9", 66),
    ("CAST_INVALID_INPUT", "22018", 65), ("CAST_OVERFLOW", "22003", 65),
    ("DIVIDE_BY_ZERO", "22012", 65),
    ("MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION", "22023", 65),
    ("USER_RAISED_EXCEPTION", "P0001", 65),
    ("FAILED_READ_FILE.CANNOT_READ_FILE_FOOTER", "KD001", 65),
    ("FAILED_READ_FILE.NO_HINT", "KD001", 74), ("TASK_WRITE_FAILED", "58030", 74),
    ("PATH_ALREADY_EXISTS", "42K04", 73), ("LOCATION_ALREADY_EXISTS", "42710", 73),
    ("INVALID_HANDLE.SESSION_CLOSED", "HY000", 69),
    ("INVALID_HANDLE.SESSION_NOT_FOUND", "HY000", 69),
    ("INVALID_HANDLE.SESSION_CHANGED", "HY000", 69),
    ("INVALID_HANDLE.OPERATION_ABANDONED", "HY000", 69),
    ("INVALID_CURSOR.POSITION_NOT_AVAILABLE", "HY109", 69), ("OPERATION_CANCELED", "HY008", 69),
    ("CANNOT_MODIFY_CONFIG", "46110", 70),
  ])
  func conditions(condition: String, sqlState: String, status: Int32) {
    let fault = ServerFault(
      condition: condition, sqlState: sqlState,
      text: "[\(condition)] Some words. SQLSTATE: \(sqlState)")
    let error = Classification.failure([fault])
    #expect(error.status.rawValue == status)
    #expect(error.condition == condition)
    #expect(error.sqlState == sqlState)
    #expect(!error.message.isEmpty && !error.remedy.isEmpty)
    #expect(!error.message.contains("SQLSTATE:") && !error.message.contains("["))
  }

  @Test(arguments: [
    ("java.io.IOException: Mkdirs failed to create file:/root/x", 73),
    (
      "org.apache.hadoop.security.AccessControlException: Permission denied: user=a, access=WRITE",
      73
    ),
    ("cannot create table with location to a non-empty directory file:/x", 73),
    ("java.io.IOException: No space left on device", 74),
    ("java.io.FileNotFoundException: /gone", 66),
    ("Job aborted due to stage failure: ExecutorLostFailure (executor 3 exited)", 69),
    ("Cannot call methods on a stopped SparkContext.", 69),
    ("java.lang.IllegalStateException: odd", 70),
  ])
  func exceptionsWithoutACondition(text: String, status: Int32) {
    let outer = ServerFault(classes: ["org.apache.spark.SparkException"], text: "Job aborted.")
    #expect(Classification.failure([outer, ServerFault(text: text)]).status.rawValue == status)
  }

  /// A query reads only: what it may not do is no output's fault.
  @Test(arguments: [
    "org.apache.hadoop.security.AccessControlException: Permission denied: user=a, access=READ",
    "java.nio.file.AccessDeniedException: s3a://b/p.csv: getFileStatus",
    "java.io.FileNotFoundException: /data/p.csv (Permission denied)",
  ])
  func aQueryThatMayNotRead(text: String) {
    let outer = ServerFault(classes: ["org.apache.spark.SparkException"], text: "Job aborted.")
    let chain = [outer, ServerFault(text: text)]
    #expect(Classification.failure(chain, of: .query).status == .inputMissing)
    let hasRule = !text.contains("FileNotFound")
    #expect(
      Classification.failure(chain, of: .command).status
        == (hasRule ? .cannotCreate : .inputMissing))
  }

  /// The cause decides, wherever in the chain it stands.
  @Test func causesDecide() {
    let cast = ServerFault(
      condition: "CAST_INVALID_INPUT", sqlState: "22018", text: "[CAST_INVALID_INPUT] 'secret'",
      parameters: ["sourceType": "\"STRING\"", "targetType": "\"INT\"", "expression": "'secret'"])
    let others = [
      ServerFault(condition: "TASK_WRITE_FAILED", sqlState: "58030", text: "written 'secret'"),
      ServerFault(classes: ["java.io.IOException"], text: "java.io.IOException: secret"),
    ]
    for chain in [[cast] + others, [others[0], cast, others[1]], others + [cast]] {
      let error = Classification.failure(chain)
      #expect(error.status == .data)
      #expect(!error.message.contains("secret"))
    }
  }

  @Test func oneLineWithoutTraces() {
    let text = """
      [PARSE_SYNTAX_ERROR] Syntax error at or near 'SELCT'. SQLSTATE: 42601 (line 1, pos 0)

      == SQL ==
      SELCT 1
      ^^^
      """
    let fault = ServerFault(condition: "PARSE_SYNTAX_ERROR", sqlState: "42601", text: text)
    #expect(
      Classification.failure([fault]).message
        == "PARSE_SYNTAX_ERROR: Syntax error at or near 'SELCT'.")
    let long = ServerFault(text: String(repeating: "x y\n", count: 10_000))
    #expect(Classification.failure([long]).message.count <= 500)
  }

  @Test(
    arguments: [
      (RPCError.Code.unauthenticated, 69, "token"), (.permissionDenied, 69, "token"),
      (.unimplemented, 69, "not as Spark Connect"), (.deadlineExceeded, 69, "in time"),
      (.resourceExhausted, 70, "larger than"), (.unavailable, 69, "lost"),
      (.dataLoss, 69, "ends the call"),
    ] as [(RPCError.Code, Int32, String)])
  func callsThatFail(code: RPCError.Code, status: Int32, words: String) throws {
    let remote = try SparkRemote("sc://spark:15002/;token=hidden", user: "me")
    let error = Classification.failure(RPCError(code: code, message: "x"), at: remote)
    #expect(error.status.rawValue == status)
    #expect(error.message.contains(words) && error.message.contains("spark:15002"))
    #expect(!error.message.contains("hidden"))
  }

  @Test func trailersThatAreNone() {
    #expect(FaultTrailer(RPCError(code: .internalError, message: "x")) == nil)
    for bytes in [[], [0xff, 0xff], Array("hello".utf8)] as [[UInt8]] {
      var metadata: Metadata = [:]
      metadata.addBinary(bytes, forKey: "grpc-status-details-bin")
      #expect(FaultTrailer(RPCError(code: .internalError, message: "x", metadata: metadata)) == nil)
    }
  }
}
