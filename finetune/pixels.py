"""Former name of `finetune.images.decode`, for adapters written elsewhere; goes with version 0.3."""

from finetune.images.decode import *  # noqa: F403
