"""Package data; a Python package only so that editable installs find it."""
