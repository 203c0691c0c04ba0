"""What `check` looks at before anything is trained: the data by eye and number, and what the model makes of it."""
