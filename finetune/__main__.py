"""Takes the working folder off the path before anything is imported; the rest is `finetune.cli`."""

import os
import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    # `python -m` puts the working folder first: a yaml.py that lies there would be run. Children inherit the variable.
    os.environ["PYTHONSAFEPATH"] = "1"
    os.execve(sys.executable, [sys.executable, "-P", *sys.orig_argv[1:]], dict(os.environ))

from finetune.cli.main import program

if __name__ == "__main__":
    program()
