"""Every number of an evaluation once more, from its predictions alone, with formulas of its own.

Nothing here imports `finetune.evaluation.comparison` or `finetune.stats`: an error in one is not repeated by the other.
"""

from finetune.recompute.differences import check

__all__ = ["check"]
