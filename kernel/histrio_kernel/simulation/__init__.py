"""Runs whose every choice is drawn from a seed. The one package that touches what Trio keeps to itself."""
