"""The rows of the benchmark, one module each; each has ``run(bench) -> RowResult``."""
