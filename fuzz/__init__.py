"""Fuzzing of everything that reads what a stranger wrote: ``python -m fuzz heads --seconds 60 --seed 7``.

``engine`` makes cases and runs them, ``mutation`` tampers with octets, ``targets`` holds one file a parser, ``corpus``
a few small inputs of each. Nothing here is random beyond its seed, and nothing but fetchd's own needs is needed.
"""
