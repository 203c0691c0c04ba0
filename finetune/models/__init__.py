"""Features of images in front of the language model, computed once where nothing about them can change."""
