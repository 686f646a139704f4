import DPParquet
import TestSupport
import Testing

/// The texts that stand for values, by the rules of `appendText`.
struct TextTests {
  private func text(_ type: ParquetType, _ values: ParquetValues) throws -> [String?] {
    let folder = try ScratchFolder()
    var writer = try ParquetWriter(path: folder.file("x"), columns: [.init("x", type)])
    try writer.write([values])
    try writer.finish()
    return try texts(of: try ParquetFile(path: folder.file("x")), "x")
  }

  @Test func days() throws {
    #expect(
      try text(
        .date, .int32s([0, -1, 11_016, 19_782, -719_162, -719_528, -719_529, 2_932_896, 2_932_897]))
        == [
          "1970-01-01", "1969-12-31", "2000-02-29", "2024-02-29", "0001-01-01", "0000-01-01",
          "-0001-12-31", "9999-12-31", "+10000-01-01",
        ])
    // Every day of 400 years follows its predecessor by the calendar's rule.
    let days = try text(.date, .int32s((0..<146_098).map { Int32($0) })).compactMap(\.self)
    var (year, month, day) = (1970, 1, 1)
    for text in days {
      let pad = { (number: Int) in number < 10 ? "0\(number)" : "\(number)" }
      guard text == "\(year)-\(pad(month))-\(pad(day))" else {
        Issue.record("\(text) is not \(year)-\(month)-\(day)")
        return
      }
      let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
      let length = month == 2 ? (isLeap ? 29 : 28) : [4, 6, 9, 11].contains(month) ? 30 : 31
      day += 1
      if day > length { (month, day) = (month + 1, 1) }
      if month > 12 { (year, month) = (year + 1, 1) }
    }
  }

  @Test func timestamps() throws {
    #expect(
      try text(
        .timestamp(.microseconds, isUTC: true),
        .int64s([0, -1, 1_500_000, 951_782_400_000_001, nil]))
        == [
          "1970-01-01 00:00:00", "1969-12-31 23:59:59.999999", "1970-01-01 00:00:01.5",
          "2000-02-29 00:00:00.000001", nil,
        ])
    #expect(
      try text(.timestamp(.nanoseconds, isUTC: false), .int64s([.min, .max]))
        == ["1677-09-21 00:12:43.145224192", "2262-04-11 23:47:16.854775807"])
    #expect(
      try text(.time(.milliseconds), .int32s([0, 86_399_999, 43_200_010]))
        == ["00:00:00", "23:59:59.999", "12:00:00.01"])
  }

  @Test func decimals() throws {
    #expect(
      try text(.decimal(precision: 9, scale: 2), .int32s([0, 1, -1, 150, -12_345, 999_999_999]))
        == ["0.00", "0.01", "-0.01", "1.50", "-123.45", "9999999.99"])
    #expect(
      try text(.decimal(precision: 18, scale: 0), .int64s([0, -7, 999_999_999_999_999_999]))
        == ["0", "-7", "999999999999999999"])
  }

  @Test func numbers() throws {
    #expect(
      try text(.integer(bits: 32, isSigned: false), .int32s([-1, 5])) == ["4294967295", "5"])
    #expect(
      try text(.integer(bits: 64, isSigned: false), .int64s([-1])) == ["18446744073709551615"])
    #expect(try text(.integer(bits: 64, isSigned: true), .int64s([.min])) == ["\(Int64.min)"])
    #expect(
      try text(.double, .doubles([0.1, 1, 1e16, 1e-7, .nan, -.infinity, -0.0]))
        == ["0.1", "1.0", "1e+16", "1e-07", "nan", "-inf", "-0.0"])
    #expect(try text(.float, .floats([0.1, 16_777_216])) == ["0.1", "16777216.0"])
    #expect(try text(.boolean, .booleans([true, nil, false])) == ["true", nil, "false"])
  }

  /// A Float counts as the digits that are written for it.
  @Test func floatsCountAsWritten() throws {
    var generator = SeededGenerator(seed: 3)
    var values: [Float] = [0, -0.0, .infinity, .greatestFiniteMagnitude, .leastNonzeroMagnitude]
    for _ in 0..<20_000 {
      values.append(Float(bitPattern: UInt32.random(in: 0...UInt32.max, using: &generator)))
      values.append(Float.random(in: -1000...1000, using: &generator))
      values.append(Float(Int.random(in: -99_999...99_999, using: &generator)) / 1000)
    }
    values = values.filter { !$0.isNaN }
    let folder = try ScratchFolder()
    var writer = try ParquetWriter(path: folder.file("x"), columns: [.init("x", .float)])
    try writer.write([.floats(values)])
    try writer.finish()
    let reader = try ParquetColumnReader(try ParquetFile(path: folder.file("x")), column: 0)
    try reader.select(rowGroup: 0)
    let batch = try #require(try reader.read(upTo: values.count))
    for (row, value) in values.enumerated() {
      #expect(batch.number(ofEntry: row)?.bitPattern == Double(value.description)?.bitPattern)
    }
  }
}
