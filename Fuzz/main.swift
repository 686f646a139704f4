// What reads files from outside, under libFuzzer: tables, dataset files, schemas. scripts/fuzz builds
// and runs it.

import DPData
import DPFiles
import Foundation

@_silgen_name("LLVMFuzzerRunDriver")
func runDriver(
  _ count: UnsafeMutablePointer<Int32>,
  _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<Int8>?>>,
  _ body: @convention(c) (UnsafePointer<UInt8>?, Int) -> Int32
) -> Int32

/// Where tables are put for the engine to read.
let tablePath = "/dev/shm/fastdp-fuzz-\(ProcessInfo.processInfo.processIdentifier).csv"

let schemaText = """
  label: y
  na: ["", NA]
  columns:
    a: {type: binary}
    b: {type: numeric, bounds: [-1, 1]}
    c: {type: categorical, categories: [u, "v w"], other: true}
    d: {type: categorical, categories: [p, q], missing: indicator}
    y: {type: binary}
  """
let tableSchema = try Schema(text: schemaText, file: "fuzz")

/// A table read in one way: what came out, or the error.
func outcome(chunkSize: Int, delimiter: UInt8, usesRowPlan: Bool, variant: Int) -> String {
  var options = PrepareOptions()
  options.chunkSize = chunkSize
  options.delimiter = delimiter
  options.usesRowPlan = usesRowPlan
  options.scanVariant = PrepareOptions.hasScanVariant(variant) ? variant : nil
  options.maxRejected = 3
  options.testFraction = 0.3
  options.threads = 1
  do {
    let (data, report) = try Dataset.prepare(
      tables: [tablePath], schema: tableSchema, options: options)
    return "\(report.rowsRead) \(report.rowsMissing) \(report.rowsRejected) \(data.contentHash())"
  } catch {
    expectOneLine(error)
    return "\(error)"
  }
}

/// Any text reads the same in chunks of any size, by the loop in C and without it, on any processor.
func fuzzTable(_ bytes: [UInt8]) {
  guard bytes.count >= 2 else { return }
  let delimiter = [UInt8(ascii: ","), UInt8(ascii: ";"), 0x09, 0x20][Int(bytes[0] & 3)]
  let table = bytes[2...]
  _ = FileManager.default.createFile(atPath: tablePath, contents: Data(table))
  let expected = outcome(chunkSize: 1 << 17, delimiter: delimiter, usesRowPlan: false, variant: 0)
  for variant in 0..<3 {
    let found = outcome(
      chunkSize: Int(bytes[1]) + 1, delimiter: delimiter, usesRowPlan: true, variant: variant)
    precondition(found == expected, "\(found) instead of \(expected)")
  }
}

/// What is wrong is said in one line.
func expectOneLine(_ error: any Error) {
  let text = "\(error)"
  precondition(!text.contains(where: \.isNewline), "an error of several lines: \(text)")
}

/// Any bytes are refused, or give tensors and rows within the file.
func fuzzFile(_ bytes: [UInt8]) {
  do {
    let reader = try SafetensorsReader(MappedBytes(bytes), name: "fuzz")
    for tensor in reader.tensors {
      let sum = reader.buffer(of: tensor).reduce(0) { $0 &+ Int($1) }
      precondition(
        reader.buffer(of: tensor).count == tensor.count * tensor.type.byteCount, "\(sum)")
    }
    let data = try Dataset(MappedBytes(bytes), name: "fuzz")
    for examples in [data.train, data.test] {
      for row in 0..<examples.count {
        _ = examples.features(of: row)
        _ = examples.label(of: row)
      }
    }
  } catch { expectOneLine(error) }
}

/// As ``fuzzFile(_:)``, also with a header's length that fits however the header was changed.
func fuzzDataset(_ bytes: [UInt8]) {
  fuzzFile(bytes)
  guard bytes.count > 8, let end = bytes[8...].lastIndex(of: UInt8(ascii: "}")) else { return }
  fuzzFile(withUnsafeBytes(of: UInt64(end - 7).littleEndian, Array.init) + bytes[8...])
}

/// Any text is refused, or is a schema that its own JSON says again.
func fuzzSchema(_ bytes: [UInt8]) {
  let text = String(decoding: bytes, as: UTF8.self)
  do {
    let schema = try Schema(text: text, file: "fuzz")
    let again = try? Schema(text: schema.canonicalJSON, file: "fuzz")
    precondition(again == schema, "a schema's JSON says something else")
    precondition(again?.canonicalJSON == schema.canonicalJSON, "equal schemas have other texts")
    precondition(schema.featureNames.count == schema.features, "\(schema.features) features")
  } catch { expectOneLine(error) }
}

let target = ProcessInfo.processInfo.environment["FASTDP_FUZZ_TARGET"] ?? "csv"
guard ["csv", "safetensors", "schema"].contains(target) else { fatalError("no target \(target)") }

var count = CommandLine.argc
var arguments = CommandLine.unsafeArgv
let status = withUnsafeMutablePointer(to: &arguments) { pointer in
  runDriver(&count, pointer) { start, count in
    let bytes = Array(UnsafeBufferPointer(start: start, count: count))
    switch target {
    case "csv": fuzzTable(bytes)
    case "safetensors": fuzzDataset(bytes)
    default: fuzzSchema(bytes)
    }
    return 0
  }
}
try? FileManager.default.removeItem(atPath: tablePath)
exit(status)
