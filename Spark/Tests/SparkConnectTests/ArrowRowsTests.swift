import SparkConnect
import Testing

@Suite struct ArrowRowsTests {
  private func rows(_ bytes: [UInt8]) throws -> ArrowRows {
    var rows = ArrowRows()
    #expect(try rows.append(bytes, limit: 1_000))
    return rows
  }

  /// Every type that the protocol names, as pyarrow writes it and as Python says it.
  @Test func allTypes() throws {
    let line = Reply.rows(try rows(try fixture("types.arrow"))).line(to: 1)
    let rows = try #require(JSON.parse(Array(line.utf8))?["rows"])
    let expected = try #require(JSON.parse(try fixture("types.json")))
    #expect(rows["columns"] == expected["columns"])
    #expect(rows["types"] == expected["types"])
    let values = try #require(rows["values"]?.list)
    let wanted = try #require(expected["values"]?.list)
    try #require(values.count == wanted.count)
    for (row, (value, want)) in zip(values, wanted).enumerated() {
      let (cells, wants) = (try #require(value.list), try #require(want.list))
      try #require(cells.count == wants.count)
      for (column, (cell, want)) in zip(cells, wants).enumerated() {
        #expect(cell == want, "row \(row), column \(column)")
      }
    }
  }

  @Test func batchesAddUp() throws {
    var rows = ArrowRows()
    let bytes = try fixture("types.arrow")
    for _ in 0..<3 { #expect(try rows.append(bytes, limit: 15)) }
    #expect(rows.values.count == 15)
    // As texts, since NaN differs from itself.
    #expect("\(rows.values[0..<5])" == "\(rows.values[10..<15])")
  }

  @Test func noRowBeyondTheLimit() throws {
    var rows = ArrowRows()
    #expect(try !rows.append(try fixture("types.arrow"), limit: 4))
    #expect(rows.values.count <= 4)
  }

  @Test func emptyTable() throws {
    let rows = try rows(try fixture("empty.arrow"))
    #expect(rows.columns.count == 19)
    #expect(rows.values.isEmpty)
  }

  @Test(arguments: [
    ("array", "array"), ("struct", "struct"), ("map", "map"), ("interval", "interval"),
    ("duration", "duration"), ("uint64", "unsigned 64-bit integer"),
    ("dictionary", "dictionary"), ("float16", "16-bit float"),
  ])
  func otherTypesAreRefusedByName(name: String, type: String) throws {
    let bytes = try fixture("odd_\(name).arrow")
    let fault = try #require(throws: ArrowFault.self) { try rows(bytes) }
    #expect(fault == .unsupported(column: "odd", type: type))
  }

  @Test func compressedIsRefused() throws {
    let bytes = try fixture("compressed.arrow")
    #expect(throws: ArrowFault.compressed) { try rows(bytes) }
  }

  @Test func batchesOfTwoSchemasAreRefused() throws {
    var rows = try rows(try fixture("types.arrow"))
    let other = try fixture("odd_uint64.arrow")
    #expect(throws: ArrowFault.self) { _ = try rows.append(other, limit: 1_000) }
  }

  /// Damaged data are refused or read, never a crash: cut at every byte, and every byte changed.
  @Test func damage() throws {
    let bytes = try fixture("types.arrow")
    let whole = try rows(bytes)
    for count in 0..<bytes.count {
      var rows = ArrowRows()
      _ = try? rows.append(Array(bytes[..<count]), limit: 1_000)
      #expect(rows.values.count <= whole.values.count)
    }
    for index in bytes.indices {
      for change in [0x01, 0x80, 0xff] as [UInt8] {
        var damaged = bytes
        damaged[index] ^= change
        var rows = ArrowRows()
        _ = try? rows.append(damaged, limit: 1_000)
        #expect(rows.values.count <= 1_000)
      }
    }
  }
}
