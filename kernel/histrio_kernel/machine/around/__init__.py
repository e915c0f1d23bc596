"""What is built around a machine: who watches it, what it is connected to, and how it is shown.

Nothing here is needed to run a machine, and all of it works on the core's machine and on what is built on that.
From the ground: `watcher`, what the others have in common; `explaining`, why resolution came out as it did; `conditions`
and `groups`, which ask; `records` and `history`, `logs`, `inspecting`, which watch; `folding`, `diagrams` and `plain`,
which show; `flows` and `pipes`, which connect; `mirror`, `submachines` and `disposal`, built on pipes and tracers;
`retrying`, the only one that waits.
"""
