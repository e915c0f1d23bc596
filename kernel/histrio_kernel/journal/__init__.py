"""What happened to actors, kept: the record format, the stores that hold it, and the codec of what is in it."""
