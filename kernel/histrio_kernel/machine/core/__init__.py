"""The pure core of machines: states, relations, clocks, transitions. It imports neither Trio nor the rest of the kernel.

The floors, from the ground: `schema`; `resolve`, which remembers nothing; `automaton`, which remembers what it says;
`transition`, `negotiation` and `finals`; `drain`, which decides what comes next; `machine`, which a program holds.
"""
