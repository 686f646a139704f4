/// What a Parquet file's footer says, as far as a reader of flat tables needs it.
///
/// - SeeAlso: apache/parquet-format, parquet.thrift.
struct FileMetadata {
  /// A node of the schema's tree, in depth-first order.
  struct Element {
    var type: Int?
    var typeLength = 0
    var repetition = 0
    var name = ""
    var children = 0
    var converted: Int?
    var scale = 0
    var precision = 0
    var logical: Logical?
  }

  /// A logical type, by the number of its field in the union.
  struct Logical {
    var kind = 0
    var scale = 0
    var precision = 0
    var isUTC = false
    var unit = 0
    var bits = 0
    var isSigned = true
  }

  /// A column's part of a row group.
  struct Chunk {
    var type = -1
    var codec = -1
    var values = -1
    var uncompressedBytes = -1
    var compressedBytes = -1
    var dataOffset = -1
    var dictionaryOffset = 0
    var isElsewhere = false
    var isEncrypted = false

    /// Where the first page begins.
    ///
    /// Some writers leave the dictionary's place out, some write 0.
    var start: Int {
      dictionaryOffset > 0 && dictionaryOffset < dataOffset ? dictionaryOffset : dataOffset
    }
  }

  /// Some of the rows.
  struct Group {
    var chunks: [Chunk] = []
    var rows = -1
  }

  var elements: [Element] = []
  var rows = -1
  var groups: [Group] = []
  var writer = ""
  var isEncrypted = false
}

extension FileMetadata {
  /// Reads a footer.
  ///
  /// - Parameters:
  ///   - bytes: The footer alone.
  ///   - account: Charged with what the description takes.
  /// - Throws: ``Fault`` `malformed` or `tooLarge`.
  @unsafe init(
    _ bytes: UnsafeRawBufferPointer, account: MemoryAccount
  ) throws(Fault) {
    var reader = unsafe ThriftReader(bytes)
    var result = FileMetadata()
    try reader.structure { (reader, field) throws(Fault) in
      switch field.id {
      case 2:
        try reader.list(field) { (reader) throws(Fault) in
          try account.take(MemoryLayout<Element>.stride)
          result.elements.append(try Element(&reader))
        }
      case 3: result.rows = try reader.integer(field)
      case 4:
        try reader.list(field) { (reader) throws(Fault) in
          try account.take(MemoryLayout<Group>.stride)
          result.groups.append(try Group(&reader, account: account))
        }
      case 6: result.writer = try reader.text(field)
      case 8:
        result.isEncrypted = true
        try reader.skip(field)
      default: try reader.skip(field)
      }
    }
    self = result
  }
}

extension FileMetadata.Element {
  fileprivate init(_ reader: inout ThriftReader) throws(Fault) {
    var result = Self()
    try reader.structure { (reader, field) throws(Fault) in
      switch field.id {
      case 1: result.type = try reader.integer(field)
      case 2: result.typeLength = try reader.integer(field)
      case 3: result.repetition = try reader.integer(field)
      case 4: result.name = try reader.text(field)
      case 5: result.children = try reader.integer(field)
      case 6: result.converted = try reader.integer(field)
      case 7: result.scale = try reader.integer(field)
      case 8: result.precision = try reader.integer(field)
      case 10: result.logical = try FileMetadata.Logical(&reader, field)
      default: try reader.skip(field)
      }
    }
    self = result
  }
}

extension FileMetadata.Logical {
  /// A union is a structure with one field.
  fileprivate init(_ reader: inout ThriftReader, _ field: ThriftReader.Field) throws(Fault) {
    var result = Self()
    try reader.structure(field) { (reader, choice) throws(Fault) in
      result.kind = choice.id
      try reader.structure(choice) { (reader, field) throws(Fault) in
        try result.read(&reader, field)
      }
    }
    self = result
  }

  private mutating func read(
    _ reader: inout ThriftReader, _ field: ThriftReader.Field
  ) throws(Fault) {
    switch (kind, field.id) {
    case (5, 1): scale = try reader.integer(field)
    case (5, 2): precision = try reader.integer(field)
    case (7, 1), (8, 1): isUTC = try reader.boolean(field)
    case (7, 2), (8, 2):
      var unit = 0
      try reader.structure(field) { (reader, choice) throws(Fault) in
        unit = choice.id
        try reader.skip(choice)
      }
      self.unit = unit
    case (10, 1): bits = try reader.integer(field)
    case (10, 2): isSigned = try reader.boolean(field)
    default: try reader.skip(field)
    }
  }
}

extension FileMetadata.Group {
  fileprivate init(
    _ reader: inout ThriftReader, account: MemoryAccount
  ) throws(Fault) {
    var result = Self()
    try reader.structure { (reader, field) throws(Fault) in
      switch field.id {
      case 1:
        try reader.list(field) { (reader) throws(Fault) in
          try account.take(MemoryLayout<FileMetadata.Chunk>.stride)
          result.chunks.append(try FileMetadata.Chunk(&reader))
        }
      case 3: result.rows = try reader.integer(field)
      default: try reader.skip(field)
      }
    }
    self = result
  }
}

extension FileMetadata.Chunk {
  fileprivate init(_ reader: inout ThriftReader) throws(Fault) {
    var result = Self()
    var hasFacts = false
    try reader.structure { (reader, field) throws(Fault) in
      switch field.id {
      case 1: result.isElsewhere = try !reader.text(field).isEmpty
      case 3:
        hasFacts = true
        try reader.structure(field) { (reader, field) throws(Fault) in
          try result.read(&reader, field)
        }
      case 8:
        result.isEncrypted = true
        try reader.skip(field)
      default: try reader.skip(field)
      }
    }
    // A description of one byte may not take the memory of a column's.
    guard hasFacts || result.isEncrypted else { throw .damaged("a column has no description") }
    self = result
  }

  private mutating func read(
    _ reader: inout ThriftReader, _ field: ThriftReader.Field
  ) throws(Fault) {
    switch field.id {
    case 1: type = try reader.integer(field)
    case 4: codec = try reader.integer(field)
    case 5: values = try reader.integer(field)
    case 6: uncompressedBytes = try reader.integer(field)
    case 7: compressedBytes = try reader.integer(field)
    case 9: dataOffset = try reader.integer(field)
    case 11: dictionaryOffset = try reader.integer(field)
    default: try reader.skip(field)
    }
  }
}
