"""Benchmarks, to be run from the root of the project; see `benchmarks.accuracy`."""
