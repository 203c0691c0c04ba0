"""Commands beside running a recipe: `python -m finetune NAME ...` runs `NAME.run(arguments)`; a name is a file."""
