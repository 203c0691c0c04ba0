"""From a source of images to the splits of a run."""
