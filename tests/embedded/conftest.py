"""One freshly built processor for all tests of the embedded model."""

import pytest
from transformers import Idefics3Processor

from finetune.embedded.language import build_processor


@pytest.fixture(scope="session")
def processor() -> Idefics3Processor:
    return build_processor()
