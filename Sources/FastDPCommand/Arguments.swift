public import ArgumentParser
public import FastDP

extension NeighbouringRelation: ExpressibleByArgument {}
extension OptimizerRule: ExpressibleByArgument {}
extension Activation: ExpressibleByArgument {}
