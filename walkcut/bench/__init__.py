"""The benchmark: data sets, measures, baselines and a runner that survives being killed.

The core of `walkcut` never imports this package.
"""
