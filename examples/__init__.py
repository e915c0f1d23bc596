"""Programs on Histrio that run: each one is read by newcomers, shown in the docs, and tested in tests/examples."""
