"""OpenAI, Anthropic, Gemini and others through any-llm-sdk. Needs a policy file."""

from finetune.baseline.live import answers as predict
from finetune.baseline.live import identity

__all__ = ["identity", "predict"]
