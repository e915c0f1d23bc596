"""Who waits for what in a system that stands still, for `System.step_until_idle`."""
