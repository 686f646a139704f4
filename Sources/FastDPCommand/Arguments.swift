public import ArgumentParser
package import DPCollectives
public import FastDP

extension NeighbouringRelation: ExpressibleByArgument {}
extension NoiseKind: ExpressibleByArgument {}
extension OptimizerRule: ExpressibleByArgument {}
extension LearningRateSchedule.Shape: ExpressibleByArgument {}
extension Activation: ExpressibleByArgument {}
extension Clipping: ExpressibleByArgument {}
extension Numerics: ExpressibleByArgument {}
extension RankProcesses.Link: ExpressibleByArgument {}
extension GroupTransport: ExpressibleByArgument {}
