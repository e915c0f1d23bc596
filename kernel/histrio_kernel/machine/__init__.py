"""Machines: relational states with clocks, and a scope for every state.

`core` decides what follows from a mutation and knows neither Trio nor the rest of the kernel; `states` are schemas as
classes; `shell` adds waits, scopes and tasks; `around` is what is attached from outside.
"""
