import DPFiles
import Foundation
import TestSupport
import Testing

struct SafetensorsTests {
  let folder: ScratchFolder

  init() throws { folder = try ScratchFolder() }

  /// A file with every element type, an empty tensor and a single number.
  private func sample() -> SafetensorsLayout {
    SafetensorsLayout(
      [
        .init("bytes", .u8, shape: [3]), .init("none", .f32, shape: [0, 4]),
        .init("ints", .i32, shape: [1, 2]), .init("one", .f64, shape: []),
        .init("floats", .f32, shape: [2]), .init("longs", .i64, shape: [1]),
      ], metadata: ["note": "quotes \" and \u{1F600}", "a/b": "c"])
  }

  private func writeSample(to path: String) throws {
    var writer = try SafetensorsWriter(path: path, layout: sample(), overwrite: false)
    try writer.write([0.5])
    try writer.write([Int64(-7)])
    try writer.write([Int32(1), Int32(-2)])
    try writer.write([Float(1.5), Float(-2.5)])
    try writer.write([UInt8(9), 8, 7])
    try writer.commit()
  }

  @Test func whatIsWrittenIsRead() throws {
    let path = folder.file("t.safetensors")
    try writeSample(to: path)
    let reader = try SafetensorsReader(contentsOf: path)
    #expect(reader.tensors.map(\.name) == ["one", "longs", "none", "ints", "floats", "bytes"])
    #expect(reader.metadata == ["note": "quotes \" and \u{1F600}", "a/b": "c"])
    for tensor in reader.tensors {
      #expect(tensor.range.lowerBound % tensor.type.byteCount == 0, "\(tensor.name)")
    }
    let floats = try #require(reader.tensor("floats"))
    #expect(floats.shape == [2] && floats.type == .f32)
    #expect(unsafe reader.buffer(of: floats).load(fromByteOffset: 4, as: Float.self) == -2.5)
    let one = try #require(reader.tensor("one"))
    #expect(unsafe one.shape.isEmpty && reader.buffer(of: one).load(as: Double.self) == 0.5)
    #expect(reader.tensor("other") == nil)
  }

  /// The bytes of a file with the given header, and that many bytes of data.
  private func file(_ header: String, data: Int) -> MappedBytes {
    let length = (0..<8).map { UInt8(truncatingIfNeeded: header.utf8.count >> (8 * $0)) }
    return MappedBytes(length + Array(header.utf8) + [UInt8](repeating: 1, count: data))
  }

  /// The header that Python's safetensors 0.8.0 `save_file` writes for an int32 of 5, a float32 of
  /// 2 by 3 and a uint8 of 3, with `metadata={"k": "v"}`.
  @Test func fileOfThePythonPackageIsRead() throws {
    let header =
      #"{"__metadata__":{"k":"v"},"b":{"dtype":"F32","shape":[2,3],"data_offsets":"#
      + #"[0,24]},"a":{"dtype":"I32","shape":[5],"data_offsets":[24,44]},"#
      + #""c":{"dtype":"U8","shape":[3],"data_offsets":[44,47]}} "#
    let reader = try SafetensorsReader(file(header, data: 47), name: "t")
    #expect(reader.tensors.map(\.name) == ["b", "a", "c"])
    #expect(reader.tensors.map(\.shape) == [[2, 3], [5], [3]])
    #expect(reader.metadata == ["k": "v"])
  }

  @Test(arguments: [
    (#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#, 4, true),
    (#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}   "#, 4, true),
    (#"{}"#, 0, true),
    (#"{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}"#, 1, true),
    (#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#, 3, false),
    (#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#, 5, false),
    (#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[4,0]}}"#, 4, false),
    (#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[-4,0]}}"#, 4, false),
    (#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0]}}"#, 4, false),
    (#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4,8]}}"#, 4, false),
    (#"{"a":{"dtype":"U8","shape":[5],"data_offsets":[0,4]}}"#, 4, false),
    (#"{"a":{"dtype":"U8","shape":[-4],"data_offsets":[0,4]}}"#, 4, false),
    (#"{"a":{"dtype":"U8","shape":[4.5],"data_offsets":[0,4]}}"#, 4, false),
    (#"{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}"#, 4, false),
    (#"{"a":{"dtype":"U8","shape":[4]}}"#, 4, false),
    (#"{"a":{"dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4]}}"#, 4, false),
    (#"{"a":{"dtype":"U8","shape":[4611686018427387904,4],"data_offsets":[0,0]}}"#, 0, false),
    (#"{"a":{"dtype":"U8","shape":[99999999999999999999],"data_offsets":[0,4]}}"#, 4, false),
    (
      #"{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"#
        + #""b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}"#, 4, false
    ),
    (
      #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"#
        + #""b":{"dtype":"U8","shape":[1],"data_offsets":[3,4]}}"#, 4, false
    ),
    (#"{"__metadata__":{"a":1}}"#, 0, false),
    (#"[]"#, 0, false),
    (#" {}"#, 0, false),
    (#"{"#, 0, false),
    (#""#, 0, false),
  ])
  func headerIsTakenOnlyIfAllOfItHolds(header: String, data: Int, isValid: Bool) {
    let bytes = file(header, data: data)
    if isValid {
      #expect(throws: Never.self) { _ = try SafetensorsReader(bytes, name: "t") }
    } else {
      expectFileError(.malformed) { _ = try SafetensorsReader(bytes, name: "t") }
    }
  }

  @Test func deepNestingNeverCrashes() {
    let header = "{\"a\":" + String(repeating: "[", count: 200_000)
    expectFileError(.malformed) { _ = try SafetensorsReader(file(header, data: 0), name: "t") }
  }

  /// Every shortened file is refused; a file with a changed byte is refused or read within bounds.
  @Test func damageNeverCrashes() throws {
    let path = folder.file("t.safetensors")
    try writeSample(to: path)
    let whole = try Data(contentsOf: URL(fileURLWithPath: path)).map(\.self)
    for count in 0..<whole.count {
      expectFileError(.malformed) {
        _ = try SafetensorsReader(MappedBytes(Array(whole[..<count])), name: "t")
      }
    }
    var random = SystemRandomNumberGenerator()
    for _ in 0..<4000 {
      var bytes = whole
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        let index = Int.random(in: 0..<bytes.count, using: &random)
        bytes[index] = Bool.random(using: &random) ? .random(in: 0...255) : bytes[index] ^ 1
      }
      guard let reader = try? SafetensorsReader(MappedBytes(bytes), name: "t") else { continue }
      for tensor in reader.tensors {
        #expect(tensor.range.upperBound <= bytes.count)
        #expect(tensor.count * tensor.type.byteCount == tensor.range.count)
        _ = unsafe XXH64.hash(reader.buffer(of: tensor))
      }
    }
  }

  /// A header with room to grow is read as one without.
  @Test(arguments: [0, 8, 1024])
  func roomInTheHeaderChangesNothing(room: Int) throws {
    let request = SafetensorsLayout.Request("x", .u8, shape: [2])
    let layout = SafetensorsLayout([request], metadata: ["a": "b"], headerByteCount: room)
    #expect(layout.header.count % 8 == 0 && layout.header.count >= room)
    let reader = try SafetensorsReader(MappedBytes(layout.header + [3, 4]), name: "t")
    #expect(
      reader.metadata == ["a": "b"] && reader.tensors.map(\.range) == layout.tensors.map(\.range))
    #expect(layout.byteCount == layout.header.count + 2)
  }
}
