"""The contract of a family: the frozen tower gives the linear rival features that a batch does not change."""

import numpy as np
from contract import clauses
from training import micro

from finetune.predictors import linear


@clauses.of("image")
def test_the_tower_gives_features_alone_and_in_a_batch(name, load, monkeypatch):
    loaded, config = load(name)
    monkeypatch.setattr("finetune.models.load.load", lambda _: loaded)
    tower = linear.Tower(config, None)
    examples, images = [micro.example(n) for n in range(3)], [[micro.picture(n)] for n in range(3)]
    alone = np.concatenate([tower._pooled([e], [own]) for e, own in zip(examples, images, strict=True)])
    assert np.isfinite(alone).all()
    assert len(np.unique(alone.round(5), axis=0)) == 3  # another picture, other features
    together = tower._pooled(examples, images)
    assert together.shape == alone.shape
    assert np.abs(together - alone).max() <= linear.SAME * np.abs(alone).max()
