"""A supervised ingest pipeline: lines come in over TCP, workers prepare them, a flaky sink stores them, metrics count.

Any part of it may be killed at any time, and no line is lost: what a client was told is accepted is stored at least
once, or is a dead letter with a reason. `python -m examples.ingest` runs it, with a client and with somebody who kills.
"""
