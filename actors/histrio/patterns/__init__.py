"""Patterns on top of actors: names for them, news for many of them, and work shared among them (S8)."""
