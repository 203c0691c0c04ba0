from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from finetune.training.sampler import BatchSampler, Share, batches, order


def test_source_order_without_shuffling():
    assert batches(5, Share(batch_size=2), seed=1, epoch=3, shuffle=False) == [[0, 1], [2, 3], [4]]


def test_known_order():
    # numpy's PCG64 stream for the key (7, 0) is part of the promise that a run can be repeated elsewhere
    assert order(6, seed=7, epoch=0, shuffle=True) == [5, 2, 0, 4, 1, 3]


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 9), st.integers(0, 5), st.integers(0, 3))
def test_an_epoch_holds_every_example_once(size, batch_size, seed, epoch):
    seen = [
        index for batch in batches(size, Share(batch_size=batch_size), seed, epoch, shuffle=True) for index in batch
    ]
    assert sorted(seen) == list(range(size))


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 4), st.integers(1, 3), st.integers(1, 4), st.booleans())
def test_ranks_run_the_same_number_of_passes_and_share_each_step(size, batch_size, passes, world, dear):
    costs = [1 + index * 37 % 11 for index in range(size)] if dear else None
    shares = [Share(rank, world, batch_size, passes) for rank in range(world)]
    dealt = [batches(size, share, 0, 0, True, lengths=costs) for share in shares]
    alone = Share(batch_size=batch_size * passes * world, whole=batch_size)
    one = [index for batch in batches(size, alone, 0, 0, True, lengths=costs) for index in batch]
    assert len({len(mine) for mine in dealt}) == 1
    assert len(BatchSampler(size, shares[0], 0, True)) == len(dealt[0])
    examples = batch_size * passes * world
    for step in range(0, len(dealt[0]), passes):
        seen = [index for mine in dealt for batch in mine[step : step + passes] for index in batch]
        chunk = one[step // passes * examples :][:examples]
        assert sorted(index for index in seen if index >= 0) == sorted(chunk)
        assert all(-1 - index in chunk for index in seen if index < 0)
    assert max(len(batch) for mine in dealt for batch in mine) <= batch_size


def test_what_costs_most_is_divided_evenly():
    costs = [1, 9, 2, 8, 3, 7, 4, 6]
    dealt = [batches(8, Share(rank, 2, 2, 2), 0, 0, False, lengths=costs) for rank in (0, 1)]
    # dearest first: 9 8 7 6 in the first pass as 9+6 and 8+7, then 4 3 2 1 as 4+1 and 3+2
    assert [[sum(costs[index] for index in batch) for batch in mine] for mine in dealt] == [[15, 5], [15, 5]]


def test_a_rank_with_nothing_left_repeats_an_example_without_weight():
    dealt = [batches(5, Share(rank, 2, 1, 2), 0, 0, False) for rank in (0, 1)]
    assert dealt == [[[0], [2], [4]], [[1], [3], [-5]]]


def test_a_balanced_epoch_is_as_long_and_holds_every_label_equally_often():
    classes = ["rare"] * 2 + ["common"] * 9
    drawn = order(11, seed=0, epoch=4, shuffle=True, classes=classes)
    counts = Counter(classes[index] for index in drawn)
    assert counts == {"common": 6, "rare": 5}
    assert sorted(Counter(index for index in drawn if index < 2).values()) == [2, 3]
    assert max(Counter(index for index in drawn if index >= 2).values()) == 1


@settings(deadline=None)
@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=60), st.integers(0, 5))
def test_no_label_is_drawn_more_than_one_time_oftener_than_another(classes, epoch):
    drawn = order(len(classes), seed=1, epoch=epoch, shuffle=True, classes=classes)
    counts = Counter(classes[index] for index in drawn)
    assert len(drawn) == len(classes)
    assert set(counts) <= set(classes)
    assert max(counts.values()) - min(counts[name] for name in set(classes)) <= 1


def test_epochs_and_seeds_differ_and_repeat():
    first = order(50, seed=0, epoch=0, shuffle=True)
    assert first != order(50, seed=0, epoch=1, shuffle=True)
    assert first != order(50, seed=1, epoch=0, shuffle=True)
    assert first == order(50, seed=0, epoch=0, shuffle=True)


def test_the_sampler_follows_its_epoch():
    sampler = BatchSampler(6, Share(batch_size=2), seed=0, shuffle=True)
    first = list(sampler)
    sampler.epoch = 1
    assert list(sampler) == batches(6, Share(batch_size=2), 0, 1, True) != first
