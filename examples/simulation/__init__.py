"""Programs in simulations: what they promise holds under unlucky schedules, failing disks, lost messages and power cuts.

`kv_store` asks the store of the key-value service, `supervised` a tree of actors whose disk fails, `two_phase_commit` three
machines that crash. Each is run by `python -m examples.simulation.kv_store`, and so on.
"""
