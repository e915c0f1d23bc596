"""The tests of Histrio. Counts of rounds and examples stand in `effort.py`."""
