"""Ways to choose what comes next, one a file."""
