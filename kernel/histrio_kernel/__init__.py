"""The engine: how one actor runs."""
