"""One file a source format: `read(path, options, images)` yields examples, `Options` says what it takes."""
