/// How a condition is decided for the records of one table, without allocating memory.
@safe struct ConditionPlan {
  /// What a condition is for a record.
  enum Outcome {
    case isTrue
    case isFalse
    /// A missing value decides.
    case unknown
    /// A field that must be a number is none.
    case fault(RowFault)
  }

  /// One comparison of a field.
  private struct Test {
    let field: Int
    let comparison: Condition.Comparison
    let number: Double
    /// The bytes of a text, or nil to compare numbers.
    let text: [UInt8]?
  }

  /// A step of evaluation, in postfix order.
  private enum Step {
    case test(Int)
    case not
    case and
    case or
  }

  private let tests: [Test]
  private let steps: [Step]

  /// The fields that it compares.
  var fields: [Int] { tests.map(\.field) }

  /// Prepares to decide a condition.
  ///
  /// - Parameters:
  ///   - condition: The condition.
  ///   - field: The field of each of its columns.
  init(_ condition: Condition, field: (String) -> Int) {
    var tests: [Test] = []
    var steps: [Step] = []
    func visit(_ node: Condition.Node) {
      switch node {
      case .comparison(let column, let comparison, let literal):
        steps.append(.test(tests.count))
        tests.append(Self.test(field(column), comparison, literal))
      case .not(let inner):
        visit(inner)
        steps.append(.not)
      case .and(let left, let right):
        visit(left)
        visit(right)
        steps.append(.and)
      case .or(let left, let right):
        visit(left)
        visit(right)
        steps.append(.or)
      }
    }
    visit(condition.root)
    self.tests = tests
    self.steps = steps
  }

  private static func test(
    _ field: Int, _ comparison: Condition.Comparison, _ literal: Condition.Literal
  ) -> Test {
    switch literal {
    case .number(let value):
      Test(field: field, comparison: comparison, number: value, text: nil)
    case .text(let text):
      Test(field: field, comparison: comparison, number: 0, text: Array(text.utf8))
    }
  }

  /// Decides the condition for a record.
  ///
  /// All comparisons are made, also where an earlier one decides: whether a row is rejected does not
  /// depend on the order in which its condition is written.
  ///
  /// - Parameters:
  ///   - record: A row that has all fields.
  ///   - na: The texts that stand for a missing value.
  /// - Returns: The outcome; of several faults the first in the order of the file.
  /// - Complexity: O(bytes of the compared fields), no allocation.
  @unsafe func evaluate(_ record: RecordView, _ na: MissingTokens) -> Outcome {
    var stack = TruthStack()
    var fault: RowFault?
    for step in steps {
      switch step {
      case .test(let index):
        let test = tests[index]
        let bytes = unsafe record.trimmedField(test.field)
        if unsafe na.contains(bytes) {
          stack.push(isTrue: false, isKnown: false)
        } else {
          var isTrue = false
          if let reason = unsafe Self.compare(bytes, test, &isTrue) {
            fault = RowFault(reason: reason, field: test.field).first(before: fault)
          }
          stack.push(isTrue: isTrue, isKnown: true)
        }
      case .not: stack.negate()
      case .and: stack.conjoin()
      case .or: stack.disjoin()
      }
    }
    if let fault { return .fault(fault) }
    return !stack.isKnown ? .unknown : stack.isTrue ? .isTrue : .isFalse
  }

  @unsafe private static func compare(
    _ bytes: UnsafeRawBufferPointer, _ test: Test, _ isTrue: inout Bool
  ) -> RowFault.Reason? {
    if let text = test.text {
      let order = unsafe text.withUnsafeBytes { unsafe bytes.byteOrder(to: $0) }
      isTrue = test.comparison.holds(order, 0)
      return nil
    }
    switch unsafe DecimalNumber.read(bytes) {
    case .number(let value): isTrue = test.comparison.holds(value, test.number)
    case .notFinite: return .notFinite
    case .notANumber: return .notANumber
    }
    return nil
  }
}

extension Condition.Comparison {
  @inline(__always) fileprivate func holds<T: Comparable>(_ left: T, _ right: T) -> Bool {
    switch self {
    case .equal: left == right
    case .notEqual: left != right
    case .less: left < right
    case .lessOrEqual: left <= right
    case .greater: left > right
    case .greaterOrEqual: left >= right
    }
  }
}

extension UnsafeRawBufferPointer {
  /// Negative, zero or positive as the bytes are before, equal to or after others.
  fileprivate func byteOrder(to other: UnsafeRawBufferPointer) -> Int {
    for index in 0..<Swift.min(count, other.count) {
      let difference = unsafe Int(self[index]) - Int(other[index])
      if difference != 0 { return difference }
    }
    return count - other.count
  }
}

/// Truth values on a stack of 64 places, the top in the lowest bits.
///
/// A value that is not known is stored as false, so that each rule below is a line of logic.
private struct TruthStack {
  private var truths: UInt64 = 0
  private var knowns: UInt64 = 0

  var isTrue: Bool { truths & 1 == 1 }
  var isKnown: Bool { knowns & 1 == 1 }

  mutating func push(isTrue: Bool, isKnown: Bool) {
    truths = truths << 1 | (isTrue ? 1 : 0)
    knowns = knowns << 1 | (isKnown ? 1 : 0)
  }

  private mutating func pop() -> (isTrue: Bool, isKnown: Bool) {
    defer {
      truths >>= 1
      knowns >>= 1
    }
    return (isTrue, isKnown)
  }

  mutating func negate() {
    let top = pop()
    push(isTrue: top.isKnown && !top.isTrue, isKnown: top.isKnown)
  }

  /// False where either is known to be false.
  mutating func conjoin() {
    let right = pop()
    let left = pop()
    let isFalse = (left.isKnown && !left.isTrue) || (right.isKnown && !right.isTrue)
    push(isTrue: left.isTrue && right.isTrue, isKnown: isFalse || left.isKnown && right.isKnown)
  }

  /// True where either is.
  mutating func disjoin() {
    let right = pop()
    let left = pop()
    let isTrue = left.isTrue || right.isTrue
    push(isTrue: isTrue, isKnown: isTrue || left.isKnown && right.isKnown)
  }
}
