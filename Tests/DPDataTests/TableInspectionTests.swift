import DPData
import Foundation
import TestSupport
import Testing

/// An inspection counts what a preparation would do, and finds what does not fit.
struct TableInspectionTests {
  private static let schema = """
    label: y
    unit: h
    max_rows_per_unit: 2
    where: age >= 18
    columns:
      age: {type: numeric, bounds: [18, 90]}
      income: {type: numeric, bounds: [0, 10], missing: impute, impute: mean}
      c: {type: categorical, categories: [u, v]}
      y: {type: binary, values: [no, yes]}
    derive:
      old: {condition: income > 5, missing: indicator}
    """

  private static let table = """
    h,age,income,c,y
    1,20,NA,u,yes
    1,120,5,v,no
    1,30,6,u,no
    2,10,x,x,x
    2,40,-3,w,yes
    2,50,11,NA,yes
    NA,50,1,u,yes
    3,x,1,u,yes
    3,50,1,u
    3,51,1,w,no
    4,60,2,v,NA
    5,70,x,z,yes

    """

  @Test func everythingIsCounted() throws {
    let folder = try ScratchFolder()
    let path = try folder.write(Self.table, to: "t.csv")
    let schema = try Schema(text: Self.schema, file: "s.yaml")
    var options = PrepareOptions()
    options.testFraction = 0
    let found = try TableInspection(of: [path], schema: schema, options: options)
    #expect(found.rowsRead == 12 && found.trainRows == 12)
    #expect(found.rowsKept == 2 && found.rowsBounded == 1 && found.rowsFiltered == 1)
    #expect(found.rowsMissing == 2 && found.rowsRejected == 6)
    #expect(found.classes.map(\.name) == ["no", "yes"] && found.classes.map(\.rows) == [1, 1])
    #expect(
      found.rejections.map(\.problem) == [
        "column \"c\" is not one of its declared categories",
        "column \"h\" is missing, but tells rows apart", "column \"age\" is not a number",
        "another number of fields than the header", "column \"income\" is not a number",
      ])
    #expect(found.rejections.map(\.rows) == [2, 1, 1, 1, 1])
    #expect(found.rejections[0].first.map(\.description) == ["\(path):6:9", "\(path):11:8"])
    let columns = Dictionary(uniqueKeysWithValues: found.columns.map { ($0.name, $0) })
    #expect(found.columns.map(\.name) == ["age", "income", "c", "y", "old"])
    let age = try #require(columns["age"])
    #expect(age.smallest == 20 && age.largest == 120 && age.above == 1 && age.below == 0)
    let income = try #require(columns["income"])
    #expect(income.missing == 1 && income.below == 1 && income.above == 1)
    #expect(income.notAllowed == 1)
    #expect(columns["c"]?.missing == 1 && columns["c"]?.notAllowed == 3)
    #expect(columns["y"]?.missing == 1 && columns["old"]?.missing == 1)

    // A preparation that tolerates them makes the same of the rows.
    options.maxRejected = 12
    let resolved = try schema.resolved(with: ["income": "1"])
    let report = try Dataset.prepare(tables: [path], schema: resolved, options: options).report
    #expect(report.rowsKept == found.rowsKept && report.rowsBounded == found.rowsBounded)
    #expect(report.rowsMissing == found.rowsMissing && report.rowsFiltered == found.rowsFiltered)
    #expect(report.rowsRejected == found.rowsRejected && report.trainRows == found.trainRows)
  }

  @Test func aTableWithoutRowsIsRefused() throws {
    let folder = try ScratchFolder()
    let path = try folder.write("h,age,income,c,y\n", to: "t.csv")
    let error = #expect(throws: DataError.self) {
      _ = try TableInspection(of: [path], schema: Schema(text: Self.schema, file: "s.yaml"))
    }
    #expect(error?.code == .noRows)
  }
}
