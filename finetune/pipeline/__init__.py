"""One file a stage; stages talk through the run directory alone."""
