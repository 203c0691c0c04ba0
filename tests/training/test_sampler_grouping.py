import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune.training.sampler import BatchSampler, Share, batches, grouped, waste


def test_waste_by_hand():
    # batches (10, 20), (30, 10), (5): 20 + 20 + 30 + 30 + 5 positions for 75 tokens
    assert waste([0, 1, 2, 3, 4], [10, 20, 30, 10, 5], 2) == pytest.approx(1 - 75 / 105)
    assert waste([0, 1], [7, 7], 2) == 0


def test_like_lengths_come_together_and_batches_stay_shuffled():
    lengths = [10, 100] * 20
    found = grouped(range(40), lengths, 4, np.random.default_rng(0))
    kinds = ["".join(str(lengths[index] // 100) for index in found[at : at + 4]) for at in range(0, 40, 4)]
    assert set(kinds) == {"0000", "1111"}
    assert kinds not in (sorted(kinds), sorted(kinds, reverse=True))


def test_little_padding_leaves_the_order_alone():
    lengths = [100, 104, 97, 101, 99, 103]
    assert grouped([3, 1, 5, 0, 2, 4], lengths, 2, np.random.default_rng(0)) == [3, 1, 5, 0, 2, 4]


@given(st.lists(st.integers(1, 500), min_size=1, max_size=300), st.integers(1, 7), st.integers(0, 3))
def test_nothing_is_lost_and_padding_never_grows_much(lengths, batch_size, seed):
    drawn = np.random.default_rng(seed).permutation(len(lengths)).tolist()
    found = grouped(drawn, lengths, batch_size, np.random.default_rng(seed))
    assert sorted(found) == list(range(len(lengths)))
    assert found == grouped(drawn, lengths, batch_size, np.random.default_rng(seed))
    assert waste(found, lengths, batch_size) <= waste(drawn, lengths, batch_size) + 1e-9


def test_the_sampler_groups_by_epoch_and_only_where_it_shuffles():
    lengths = [10, 200] * 10
    sampler = BatchSampler(20, Share(batch_size=2), seed=1, shuffle=True, lengths=lengths)
    first = list(sampler)
    assert all(lengths[a] == lengths[b] for a, b in first)
    assert sorted(index for batch in first for index in batch) == list(range(20))
    sampler.epoch = 1
    assert list(sampler) != first
    plain = batches(20, Share(batch_size=2), 1, 0, shuffle=False, lengths=lengths)
    assert plain == [[at, at + 1] for at in range(0, 20, 2)]


def test_two_ranks_see_the_batches_of_one():
    lengths = [10, 200] * 8
    one = batches(16, Share(batch_size=4), seed=5, epoch=1, shuffle=True, lengths=lengths)
    shares = [Share(rank, 2, 2, 1, whole=4) for rank in (0, 1)]
    two = [batches(16, share, seed=5, epoch=1, shuffle=True, lengths=lengths) for share in shares]
    assert [sorted(mine + other) for mine, other in zip(*two, strict=True)] == [sorted(batch) for batch in one]
