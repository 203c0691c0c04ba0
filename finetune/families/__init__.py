"""One file a model family: which modules are which component, and what an image costs in tokens."""
