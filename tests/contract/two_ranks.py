"""Runs under torchrun: gradients of two ranks against those of one, for every family whose folder is given.

Rank 0 holds an example with an image, rank 1 one without where the family allows it. Data parallel over gloo, as the
trainer does it: each rank divides its sum by the mean number of labelled tokens.
"""

import json
import sys
from pathlib import Path

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel
from training import micro

from finetune.config.schema import Config, HardwareConfig, MethodConfig, ModelConfig
from finetune.models import load as models
from finetune.models.encoding import Encoder
from finetune.training import lora
from finetune.training.loss import answer_loss, count_labels


def compared(name, folder, rank):
    """Largest difference of a gradient and the largest gradient, on rank 0."""
    config = Config(
        model=ModelConfig(family=name, path=str(folder)),
        method=MethodConfig(rank=2),
        hardware=HardwareConfig(device="cpu"),
    )
    loaded = models.load(config)
    encoder, model = Encoder(loaded.processor, loaded.family), lora.adapt(loaded, config)
    pictured = [True, "text_only" in loaded.family.gaps]
    examples = [micro.example(n, "yes" if n else "scratch", images=int(pictured[n])) for n in (0, 1)]
    images = [[micro.picture(n)] if pictured[n] else [] for n in (0, 1)]
    own = encoder.supervised([examples[rank]], [images[rank]])
    tokens = torch.tensor(float(count_labels([own])))
    distributed.all_reduce(tokens)
    parallel = DistributedDataParallel(model, find_unused_parameters=True)
    answer_loss(parallel, own, tokens / 2).backward()
    two = {key: value.grad.clone() for key, value in lora.trainable(model) if value.grad is not None}
    model.zero_grad()
    both = encoder.supervised(examples, images)
    answer_loss(model, both, count_labels([both])).backward()
    one = {key: value.grad for key, value in lora.trainable(model) if value.grad is not None}
    assert one.keys() <= two.keys()
    gap = max(float((two[key] - grad).abs().max()) for key, grad in one.items())
    return {"gap": gap, "largest": max(float(grad.abs().max()) for grad in one.values())}


if __name__ == "__main__":
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    mine = distributed.get_rank()
    found = {}
    for folder in map(Path, sys.argv[2:]):
        found[folder.name] = compared(folder.name, folder, mine)
        distributed.barrier()
    if mine == 0:
        Path(sys.argv[1]).write_text(json.dumps(found))
    distributed.destroy_process_group()
