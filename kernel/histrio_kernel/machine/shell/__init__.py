"""What Trio adds to a machine: waits, and a scope for every activation of a state, which owns the work done in it.

From the ground: `errors`; `ground`, what a machine stands on; `waits`; `activations` and `tasks`; `keeper`, which hears
of transitions; `scopes`; `machine`, which a program holds.
"""
