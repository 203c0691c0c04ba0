"""Reading images safely: paths, headers, pixels."""
