"""A server that speaks OpenAI's protocol: vLLM, Ollama, Together, an internal gateway. Needs a policy file."""

from finetune.baseline.live import answers as predict
from finetune.baseline.live import identity

__all__ = ["identity", "predict"]
