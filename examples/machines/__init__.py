"""Programs on machines: states that many at once may hold, that require and remove each other, and that own work."""
