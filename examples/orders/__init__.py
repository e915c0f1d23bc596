"""Orders that are paid, shipped and told of by e-mail, whatever happens to the process meanwhile.

`python -m examples.orders orders.db` takes orders from its input, a line each, and goes on with what it had begun.
"""
