"""What the benchmarks stand on: the server, one measured process, interleaved rounds, the table.

Nothing here knows fetchd: the rows (``bench.rows``) say which commands are compared.
"""
