import SparkConnect
import Testing

@Suite struct SparkRemoteTests {
  @Test(arguments: [
    ("sc://spark", "spark:15002", false), ("sc://spark:7", "spark:7", false),
    ("sc://10.0.0.1:15002/", "10.0.0.1:15002", false),
    ("sc://[2001:db8::1]:15003", "[2001:db8::1]:15003", false),
    ("sc://[::1]", "[::1]:15002", false),
    ("sc://spark/;use_ssl=true", "spark:15002", true),
    ("sc://spark:443;use_ssl=true;", "spark:443", true),
  ])
  func hostPortAndTLS(text: String, server: String, usesTLS: Bool) throws {
    let remote = try SparkRemote(text, user: "me")
    #expect(remote.server == server)
    #expect(remote.usesTLS == usesTLS)
    #expect(remote.userID == "me")
    #expect(remote.token == nil)
  }

  @Test func parameters() throws {
    let remote = try SparkRemote(
      "sc://h/;token=a%3Bb%3D%20;user_id=it%27s;user_agent=x;x-cluster-id=7", user: "me")
    #expect(remote.token == "a;b= ")
    #expect(remote.userID == "it's")
    #expect(remote.userAgent == "x")
    #expect(remote.headers == ["x-cluster-id": "7"])
  }

  /// A token crosses a network in the clear only where the remote says so.
  @Test(arguments: [
    ("localhost", "", false, false), ("127.0.0.1", "", false, false), ("[::1]", "", false, false),
    ("127.evil.org", "", true, false), ("spark", "", true, false),
    ("spark", ";use_ssl=false", false, true), ("spark", ";use_ssl=true", true, false),
    ("localhost", ";use_ssl=true", true, false), ("localhost", ";use_ssl=false", false, false),
  ])
  func tokensAndTLS(host: String, more: String, usesTLS: Bool, isInClear: Bool) throws {
    let remote = try SparkRemote("sc://\(host)/;token=t\(more)", user: "me")
    #expect(remote.usesTLS == usesTLS)
    #expect(remote.sendsTokenInClear == isInClear)
  }

  @Test(arguments: [
    "", "spark", "spark:15002", "http://spark", "sc://", "sc://:15002", "sc://spark:",
    "sc://spark:0",
    "sc://spark:65536", "sc://spark:-1", "sc://spark:x", "sc://a:1:2", "sc://[::1", "sc://[::1]x",
    "sc://[spark]", "sc://2001:db8::1", "sc://sp ark", "sc://spark/path", "sc://spark/path;token=a",
    "sc://spark/;token", "sc://spark/;use_ssl=yes", "sc://spark/;use_sll=true",
    "sc://spark/;token=a;token=b", "sc://spark/;session_id=1", "sc://spark/;user_id=%zz",
    "sc://spark/;token=a%0d%0aevil: 1", "sc://spark/;X-Header=1", "sc://spark/;user_id=Zürich",
    "sc://\u{0}",
  ])
  func malformed(text: String) throws {
    let error = try #require(throws: SparkError.self) { try SparkRemote(text, user: "me") }
    #expect(error.status == .usage)
    #expect(!error.message.contains("\n") && !error.remedy.isEmpty)
  }

  @Test func noMessageQuotesTheToken() throws {
    for text in ["sc://h/;token=hidden;token=hidden", "sc://h/;token=hidden%0a", "sc://h/;hidden"] {
      let error = try #require(throws: SparkError.self) { try SparkRemote(text, user: "me") }
      #expect(!error.message.contains("hidden"))
    }
  }
}
