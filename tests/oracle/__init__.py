"""Every number of an evaluation once more, from its predictions alone, with formulas of its own.

Nothing here imports `finetune.scoring`, `finetune.stats`, `finetune.evaluation` or `finetune.tasks`: an error in one is
not repeated by the other. Of a task only the parser is used again (`tasks.Reader`).
"""

from oracle.differences import check
from oracle.tasks import known

__all__ = ["check", "known"]
