"""One file a way to get answers."""
