/// Where a Spark Connect server is and who asks it: `sc://HOST[:PORT][/;NAME=VALUE;...]`.
///
/// | name | value |
/// |---|---|
/// | `token` | sent as `authorization: Bearer TOKEN` |
/// | `use_ssl` | `true` or `false`; where it is left out, TLS is on with a token for a host that is not loopback |
/// | `user_id` | who asks; the user's login name where it is left out |
/// | `user_agent` | how the client names itself to the server |
/// | `x-...` | a header of that name, as proxies before a cluster want them |
///
/// Values are percent-decoded. An IPv6 address stands in brackets.
package struct SparkRemote: Hashable, Sendable {
  package let host: String
  package let port: Int
  package let usesTLS: Bool
  package let token: String?
  package let userID: String
  package let userAgent: String
  package let headers: [String: String]

  /// Whether a token will cross a network that somebody may listen to, because `use_ssl=false` says so.
  package var sendsTokenInClear: Bool { token != nil && !usesTLS && !Self.isLoopback(host) }

  /// The server's name and port, an IPv6 address in brackets.
  package var server: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

  /// Reads a remote.
  ///
  /// - Parameters:
  ///   - text: `sc://...`.
  ///   - user: The `user_id` where the text has none.
  /// - Throws: ``SparkError`` `usage` for anything that is not understood; the token is in no message.
  package init(_ text: String, user: String) throws(SparkError) {
    guard text.hasPrefix("sc://") else {
      throw Self.malformed("the remote does not begin with sc://")
    }
    let rest = text.dropFirst(5)
    let address = rest.prefix { $0 != "/" && $0 != ";" }
    (host, port) = try Self.address(String(address))
    let values = try Self.parameters(rest.dropFirst(address.count))
    try Self.checkNames(values)
    token = values["token"].flatMap { $0.isEmpty ? nil : $0 }
    userID = values["user_id"] ?? user
    userAgent = values["user_agent"] ?? "fastdp-spark"
    headers = values.filter { $0.key.hasPrefix("x-") }
    switch values["use_ssl"] {
    case "true": usesTLS = true
    case "false": usesTLS = false
    case nil: usesTLS = token != nil && !Self.isLoopback(host)
    default: throw Self.malformed("use_ssl is neither true nor false")
    }
  }

  /// Whether a host is this machine by its name alone.
  package static func isLoopback(_ host: String) -> Bool {
    host == "localhost" || host == "::1" || (host.hasPrefix("127.") && isIPv4(host))
  }

  /// Whether a text is four numbers below 256 with dots between them.
  package static func isIPv4(_ text: String) -> Bool {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    return parts.count == 4 && parts.allSatisfy { $0.count <= 3 && UInt8($0) != nil }
  }

  private static func malformed(_ what: String) -> SparkError {
    SparkError(
      .usage, "\(what)",
      remedy: "write sc://HOST:PORT, then /;token=...;use_ssl=true;user_id=... where needed")
  }

  private static func address(_ text: String) throws(SparkError) -> (String, Int) {
    var host = Substring(text)
    var port: Substring?
    if text.hasPrefix("[") {
      guard let end = text.firstIndex(of: "]") else {
        throw malformed("the remote's IPv6 address has no closing bracket")
      }
      host = text[text.index(after: text.startIndex)..<end]
      let rest = text[text.index(after: end)...]
      guard rest.isEmpty || rest.hasPrefix(":") else {
        throw malformed("the remote has \(rest.count) characters between host and port")
      }
      port = rest.isEmpty ? nil : rest.dropFirst()
    } else if let colon = text.firstIndex(of: ":") {
      host = text[..<colon]
      port = text[text.index(after: colon)...]
    }
    return (try checkedHost(host, inBrackets: text.hasPrefix("[")), try checkedPort(port))
  }

  private static func checkedHost(_ host: Substring, inBrackets: Bool) throws(SparkError) -> String
  {
    let allowed: (Character) -> Bool = { character in
      inBrackets
        ? character.isHexDigit || character == ":" || character == "."
        : character.isASCII
          && (character.isLetter || character.isNumber || "-._".contains(character))
    }
    guard !host.isEmpty, host.allSatisfy(allowed) else {
      throw malformed("the remote has no host that could be one")
    }
    return String(host)
  }

  private static func checkedPort(_ port: Substring?) throws(SparkError) -> Int {
    guard let port else { return 15_002 }
    guard let number = Int(port), (1...65_535).contains(number) else {
      throw malformed("the remote's port is no number from 1 to 65535")
    }
    return number
  }

  private static func parameters(_ text: Substring) throws(SparkError) -> [String: String] {
    var text = text
    if text.hasPrefix("/") { text = text.dropFirst() }
    guard text.isEmpty || text.hasPrefix(";") else {
      throw malformed("the remote has a path; parameters begin with /;")
    }
    var values: [String: String] = [:]
    for part in text.split(separator: ";") {
      let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard pair.count == 2, let value = decoded(pair[1]) else {
        throw malformed("a parameter of the remote is not NAME=VALUE")
      }
      guard values.updateValue(value, forKey: String(pair[0])) == nil else {
        throw malformed("the remote names \(pair[0]) twice")
      }
    }
    return values
  }

  /// A text with `%7E` and the like as the bytes they stand for; nil where they are malformed or no UTF-8.
  private static func decoded(_ text: Substring) -> String? {
    var bytes: [UInt8] = []
    var rest = text.utf8
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "%") else {
        bytes.append(byte)
        continue
      }
      let digits = rest.prefix(2)
      guard digits.count == 2, digits.first != UInt8(ascii: "+"),
        let decoded = UInt8(Substring(digits), radix: 16)
      else { return nil }
      bytes.append(decoded)
      rest = rest.dropFirst(2)
    }
    return String(validating: bytes, as: UTF8.self)
  }

  private static func checkNames(_ values: [String: String]) throws(SparkError) {
    let known: Set = ["token", "use_ssl", "user_id", "user_agent"]
    for (name, value) in values {
      guard known.contains(name) || isHeader(name) else {
        throw malformed(
          name == "session_id"
            ? "the remote names a session; a new one is made for each run"
            : "the remote's parameter \(name.oneLine(limit: 40)) is not known")
      }
      guard value.unicodeScalars.allSatisfy({ (0x20...0x7e).contains($0.value) }) else {
        throw malformed("the remote's parameter \(name) has characters that no header can hold")
      }
    }
  }

  private static func isHeader(_ name: String) -> Bool {
    name.hasPrefix("x-")
      && name.allSatisfy {
        $0.isASCII && ($0.isLowercase || $0.isNumber || $0 == "-")
      }
  }
}
