// The whole library under one name: `import FastDP` brings the public API of these modules.
@_exported public import DPAccounting
@_exported public import DPCollectives
@_exported public import DPData
@_exported public import DPFiles
@_exported public import DPKernels
@_exported public import DPMechanisms
@_exported public import DPModels
@_exported public import DPTraining
