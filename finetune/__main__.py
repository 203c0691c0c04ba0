"""Three lines: the command line lives in `finetune.cli`."""

from finetune.cli.main import program

if __name__ == "__main__":
    program()
