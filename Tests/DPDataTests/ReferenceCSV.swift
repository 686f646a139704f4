/// The CSV dialect as the state machine of Python's `_csv.c`, byte by byte, with the place of every
/// field: slow, and plain enough to check by eye.
struct ReferenceCSV {
  struct Field: Equatable {
    var text: [UInt8] = []
    var line: Int
    var column: Int
  }

  enum Ending: Equatable {
    case whole
    /// The place of the quote that was never closed.
    case unclosedQuote(line: Int, column: Int)
  }

  private enum State {
    case startRecord
    case startField
    case inField
    case inQuotes
    case quoteInQuotes
  }

  private(set) var records: [[Field]] = []
  private(set) var ending = Ending.whole

  init(_ bytes: [UInt8], delimiter: UInt8 = 0x2C) {
    var state = State.startRecord
    var record: [Field] = []
    var field = Field(line: 1, column: 1)
    var line = 1
    var column = 1
    func saveField() { record.append(field) }
    func saveRecord() {
      records.append(record)
      record = []
    }
    for (index, byte) in bytes.enumerated() {
      let isLineEnd = byte == 0x0A || byte == 0x0D
      let isSecondOfPair = byte == 0x0A && index > 0 && bytes[index - 1] == 0x0D
      if state == .startRecord, !isLineEnd { state = .startField }
      if state == .startField { field = Field(line: line, column: column) }
      switch state {
      case .startRecord: break
      case .startField:
        if isLineEnd {
          saveField()
          saveRecord()
          state = .startRecord
        } else if byte == 0x22 {
          state = .inQuotes
        } else if byte == 0x20, delimiter != 0x20 {
          break
        } else if byte == delimiter {
          saveField()
        } else {
          field.text.append(byte)
          state = .inField
        }
      case .inField, .quoteInQuotes:
        if isLineEnd {
          saveField()
          saveRecord()
          state = .startRecord
        } else if byte == delimiter {
          saveField()
          state = .startField
        } else {
          field.text.append(byte)
          state = byte == 0x22 && state == .quoteInQuotes ? .inQuotes : .inField
        }
      case .inQuotes:
        if byte == 0x22 {
          state = .quoteInQuotes
        } else {
          field.text.append(byte)
        }
      }
      column += 1
      if isLineEnd {
        if !isSecondOfPair { line += 1 }
        column = 1
      }
    }
    if state == .inQuotes {
      ending = .unclosedQuote(line: field.line, column: field.column)
    } else if state != .startRecord {
      if state == .startField { field = Field(line: line, column: column) }
      saveField()
      saveRecord()
    }
  }
}
