/// What a line of standard input asks for.
package struct Request: Hashable, Sendable {
  /// What is asked.
  package enum Body: Hashable, Sendable {
    case connect(Connect)
    case run(kind: StatementKind, sql: String, title: String?)
    case cancel(Int64)
    case disconnect
  }

  /// How to come to a session.
  package struct Connect: Hashable, Sendable {
    package var remote: String?
    package var local: LocalSparkOptions?
    package var authorities: String?
    package var configuration: [String: String] = [:]
    package var patience: Duration?

    package init() {}
  }

  package let id: Int64
  package let body: Body

  /// A line that asks for nothing that is known, with the request's id where it has one.
  package struct Malformed: Error, Hashable, Sendable {
    package let id: Int64?
    package let error: SparkError
  }

  /// Reads a line.
  ///
  /// - Parameter line: The bytes without the line's end.
  /// - Throws: ``Malformed``.
  package init(_ line: [UInt8]) throws(Malformed) {
    guard let members = JSON.parse(line)?.members else {
      throw Self.malformed(nil, "a line of \(line.count) bytes is no JSON object")
    }
    guard case .integer(let id)? = members["id"] else {
      throw Self.malformed(nil, "a request has no whole number as its id")
    }
    self.id = id
    let names = members.keys.filter { $0 != "id" }
    guard names.count == 1, let name = names.first, let content = members[name]?.members else {
      throw Self.malformed(
        id, "a request has \(names.count) members beside its id, or no object in it")
    }
    do throws(SparkError) {
      body = try Self.body(name, Fields(content, of: name))
    } catch {
      throw Malformed(id: id, error: error)
    }
  }

  private static func body(_ name: String, _ fields: Fields) throws(SparkError) -> Body {
    switch name {
    case "connect": return .connect(try connect(fields))
    case "run": return try run(fields)
    case "cancel":
      try fields.allow("id")
      return .cancel(try fields.integer("id"))
    case "disconnect":
      try fields.allow()
      return .disconnect
    default:
      throw refusal("\(name.oneLine(limit: 40)) is no request")
    }
  }

  private static func run(_ fields: Fields) throws(SparkError) -> Body {
    try fields.allow("sql", "kind", "title")
    guard let sql = try fields.text("sql"), let name = try fields.text("kind"),
      let kind = StatementKind(rawValue: name)
    else { throw refusal("run needs sql, and kind query or command") }
    return .run(kind: kind, sql: sql, title: try fields.text("title"))
  }

  private static func connect(_ fields: Fields) throws(SparkError) -> Connect {
    try fields.allow("remote", "local", "ca", "configuration", "patience")
    var connect = Connect()
    connect.remote = try fields.text("remote")
    connect.local = try local(fields)
    connect.authorities = try fields.text("ca")
    connect.configuration = try fields.texts("configuration")
    connect.patience = try fields.seconds("patience")
    guard (connect.remote == nil) != (connect.local == nil) else {
      throw refusal("connect needs one of remote and local")
    }
    return connect
  }

  private static func local(_ fields: Fields) throws(SparkError) -> LocalSparkOptions? {
    guard let content = try fields.fields("local") else { return nil }
    try content.allow("cores", "memory", "configuration")
    var options = LocalSparkOptions()
    options.cores = try content.text("cores") ?? options.cores
    options.memory = try content.text("memory") ?? options.memory
    options.configuration = try content.texts("configuration")
    guard options.cores == "*" || Int(options.cores).map({ $0 > 0 }) == true else {
      throw refusal("local.cores is neither a count nor *")
    }
    guard let unit = options.memory.last, "kmgt".contains(unit),
      Int(options.memory.dropLast()).map({ $0 > 0 }) == true
    else { throw refusal("local.memory is not as 2g or 512m") }
    return options
  }

  private static func malformed(_ id: Int64?, _ message: String) -> Malformed {
    Malformed(id: id, error: refusal(message))
  }

  static func refusal(_ message: String) -> SparkError {
    SparkError(.usage, message, remedy: "see docs/spark-protocol.md")
  }
}

/// The members of an object, each asked for by name and type.
private struct Fields {
  private let members: [String: JSON]
  private let owner: String

  init(_ members: [String: JSON], of owner: String) {
    self.members = members
    self.owner = owner
  }

  func allow(_ names: String...) throws(SparkError) {
    if let other = members.keys.sorted().first(where: { !names.contains($0) }) {
      throw Request.refusal("\(owner) has a member \(other.oneLine(limit: 40)), which is not known")
    }
  }

  /// A member that is there and not null.
  private func value(_ name: String) -> JSON? {
    members[name].flatMap { $0 == .null ? nil : $0 }
  }

  func text(_ name: String) throws(SparkError) -> String? {
    guard let value = value(name) else { return nil }
    guard let text = value.text else { throw Request.refusal("\(owner).\(name) is no string") }
    return text
  }

  func integer(_ name: String) throws(SparkError) -> Int64 {
    guard case .integer(let number)? = value(name) else {
      throw Request.refusal("\(owner).\(name) is no whole number")
    }
    return number
  }

  func seconds(_ name: String) throws(SparkError) -> Duration? {
    switch value(name) {
    case nil: return nil
    case .integer(let seconds)? where (0...86_400).contains(seconds): return .seconds(seconds)
    case .double(let seconds)? where (0...86_400).contains(seconds): return .seconds(seconds)
    default: throw Request.refusal("\(owner).\(name) is no number of seconds from 0 to 86400")
    }
  }

  func fields(_ name: String) throws(SparkError) -> Fields? {
    guard let value = value(name) else { return nil }
    guard let members = value.members else {
      throw Request.refusal("\(owner).\(name) is no object")
    }
    return Fields(members, of: "\(owner).\(name)")
  }

  func texts(_ name: String) throws(SparkError) -> [String: String] {
    guard let value = value(name) else { return [:] }
    guard let members = value.members else {
      throw Request.refusal("\(owner).\(name) is no object")
    }
    var texts: [String: String] = [:]
    for (key, value) in members {
      guard let text = value.text else {
        throw Request.refusal(
          "\(owner).\(name) has a value that is no string: \(key.oneLine(limit: 80))")
      }
      texts[key] = text
    }
    return texts
  }
}
