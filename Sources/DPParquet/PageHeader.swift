/// What stands before a page.
struct PageHeader {
  /// The kinds of pages.
  enum Kind {
    static let data = 0
    static let index = 1
    static let dictionary = 2
    static let dataV2 = 3
  }

  var kind = -1
  var uncompressedBytes = -1
  var compressedBytes = -1
  var checksum: UInt32?
  var values = -1
  var encoding = -1
  var levelEncoding = Encoding.runs
  var definitionBytes = 0
  var repetitionBytes = 0
  var isCompressed = true
  /// The bytes of this header.
  var byteCount = 0

  /// Reads a header.
  ///
  /// - Parameter bytes: Begin with it.
  /// - Throws: ``Fault`` `malformed`.
  @unsafe init(_ bytes: UnsafeRawBufferPointer) throws(Fault) {
    var reader = unsafe ThriftReader(bytes)
    try reader.structure { (reader, field) throws(Fault) in
      switch field.id {
      case 1: kind = try reader.integer(field)
      case 2: uncompressedBytes = try reader.integer(field)
      case 3: compressedBytes = try reader.integer(field)
      case 4: checksum = UInt32(truncatingIfNeeded: try reader.integer(field))
      case 5: try readData(&reader, field)
      case 7: try readDictionary(&reader, field)
      case 8: try readDataV2(&reader, field)
      default: try reader.skip(field)
      }
    }
    byteCount = reader.position
    guard compressedBytes >= 0, uncompressedBytes >= 0, uncompressedBytes <= Int32.max else {
      throw .damaged("the page's size is missing or negative")
    }
  }

  private mutating func readData(
    _ reader: inout ThriftReader, _ field: ThriftReader.Field
  ) throws(Fault) {
    try reader.structure(field) { (reader, field) throws(Fault) in
      switch field.id {
      case 1: values = try reader.integer(field)
      case 2: encoding = try reader.integer(field)
      case 3: levelEncoding = try reader.integer(field)
      default: try reader.skip(field)
      }
    }
  }

  private mutating func readDictionary(
    _ reader: inout ThriftReader, _ field: ThriftReader.Field
  ) throws(Fault) {
    try reader.structure(field) { (reader, field) throws(Fault) in
      switch field.id {
      case 1: values = try reader.integer(field)
      case 2: encoding = try reader.integer(field)
      default: try reader.skip(field)
      }
    }
  }

  private mutating func readDataV2(
    _ reader: inout ThriftReader, _ field: ThriftReader.Field
  ) throws(Fault) {
    try reader.structure(field) { (reader, field) throws(Fault) in
      switch field.id {
      case 1: values = try reader.integer(field)
      case 4: encoding = try reader.integer(field)
      case 5: definitionBytes = try reader.integer(field)
      case 6: repetitionBytes = try reader.integer(field)
      case 7: isCompressed = try reader.boolean(field)
      default: try reader.skip(field)
      }
    }
  }
}

/// The format's numbers for encodings.
enum Encoding {
  static let plain = 0
  static let plainDictionary = 2
  static let runs = 3
  static let bitPacked = 4
  static let deltas = 5
  static let deltaLengths = 6
  static let deltaStrings = 7
  static let dictionary = 8
  static let streams = 9
}
