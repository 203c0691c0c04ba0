"""One file a task: how it asks, reads an answer and scores it."""
