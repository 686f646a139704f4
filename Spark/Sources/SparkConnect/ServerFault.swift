package import GRPCCore
package import SparkProto
internal import SwiftProtobuf

#if canImport(FoundationEssentials)
internal import FoundationEssentials
#else
internal import Foundation
#endif

/// One error of a server as it came: of the chain that ends in the statement's failure.
package struct ServerFault: Hashable, Sendable {
  /// Spark's name for it (`CAST_INVALID_INPUT`), where it has one.
  package var condition: String?
  /// Five letters or digits, where it has any.
  package var sqlState: String?
  /// The exception's classes, the most special first.
  package var classes: [String] = []
  /// Spark's whole text; it may hold cell values and stack traces.
  package var text: String
  /// What the text was made of.
  package var parameters: [String: String] = [:]

  package init(
    condition: String? = nil, sqlState: String? = nil, classes: [String] = [], text: String,
    parameters: [String: String] = [:]
  ) {
    self.condition = condition
    self.sqlState = sqlState
    self.classes = classes
    self.text = text
    self.parameters = parameters
  }
}

/// What the trailer of a failed call says about the failure.
package struct FaultTrailer: Hashable, Sendable {
  package let fault: ServerFault
  /// Under which the server keeps the long form of the error, for a short while.
  package let errorID: String?

  /// Reads a failure's trailer.
  ///
  /// There is none where the server did not answer, or is another program.
  ///
  /// - Parameter error: The failure.
  package init?(_ error: RPCError) {
    guard
      let bytes = error.metadata[binaryValues: "grpc-status-details-bin"].first(where: { _ in true }
      ),
      let status = try? RPCStatus(serializedBytes: bytes),
      let detail = status.details.first(where: { $0.typeURL.hasSuffix("google.rpc.ErrorInfo") }),
      let info = try? RPCErrorInfo(serializedBytes: [UInt8](detail.value))
    else { return nil }
    let metadata = info.metadata
    var classes = Self.decode([String].self, metadata["classes"]) ?? []
    if classes.isEmpty { classes = [info.reason] }
    fault = ServerFault(
      condition: metadata["errorClass"], sqlState: metadata["sqlState"], classes: classes,
      text: status.message.isEmpty ? error.message : status.message,
      parameters: Self.decode([String: String].self, metadata["messageParameters"]) ?? [:])
    errorID = metadata["errorId"]
  }

  private static func decode<T: Decodable>(_ type: T.Type, _ text: String?) -> T? {
    text.flatMap { try? JSONDecoder().decode(type, from: Data($0.utf8)) }
  }
}

extension ServerFault {
  /// The chain of an error's long form, from what failed to what caused it.
  ///
  /// - Parameter details: The server's answer.
  /// - Returns: At most 32 errors; empty where the server has forgotten the error.
  package static func chain(_ details: SCFetchErrorDetailsResponse) -> [ServerFault] {
    var chain: [ServerFault] = []
    var index = details.hasRootErrorIdx ? Int(details.rootErrorIdx) : -1
    while details.errors.indices.contains(index), chain.count < 32 {
      let error = details.errors[index]
      let throwable = error.sparkThrowable
      chain.append(
        ServerFault(
          condition: throwable.hasErrorClass ? throwable.errorClass : nil,
          sqlState: throwable.hasSqlState ? throwable.sqlState : nil,
          classes: error.errorTypeHierarchy, text: error.message,
          parameters: throwable.messageParameters))
      index = error.hasCauseIdx ? Int(error.causeIdx) : -1
    }
    return chain
  }
}
