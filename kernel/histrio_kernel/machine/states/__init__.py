"""Schemas as classes, with typed arguments, and handlers as marked methods. Pure: it knows the core, and not Trio.

From the ground: `state`, `arguments`, `marks`; `family`, the class of a schema; `handlers`, the class of a binding;
`mixins`, which many schemas begin with.
"""
