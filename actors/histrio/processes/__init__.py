"""Units of work that have states and are advanced until they are done (S7)."""
