"""How fast Histrio is, beside a peer that does the same work in the same run: `python -m tests.benchmarks`."""
