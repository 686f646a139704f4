// Trains a private model from a table, from Swift.
//
// Usage: swift run TrainModel TABLE.csv SCHEMA.yaml RUN

import FastDP

let arguments = CommandLine.arguments
guard arguments.count == 4 else {
  fatalError("usage: TrainModel TABLE.csv SCHEMA.yaml RUN")
}
let schema = try Schema(contentsOf: arguments[2])
let (dataset, _) = try Dataset.prepare(tables: [arguments[1]], schema: schema)

var options = TrainingOptions()
options.privacy = .epsilon(1)
options.hidden = [32]

let accountant = PLDAccountant()
let plan = try TrainingPlan(options, dataset: dataset, accountant: accountant)
print("sigma \(plan.privacy?.noiseMultiplier ?? 0), \(plan.steps) steps")

let outcome = try Trainer(plan, dataset: dataset, accountant: accountant)
  .start(in: RunDirectory(path: arguments[3]))
print("epsilon \(outcome.statement.epsilon ?? .infinity)")
print("test accuracy \(outcome.evaluation?.accuracy ?? 0), for the operator only")
