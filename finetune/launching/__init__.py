"""Several processes for one training: the job that is started, and the one that looks after it."""
