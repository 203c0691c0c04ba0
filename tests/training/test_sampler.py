from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from finetune.training.sampler import BatchSampler, batches, order


def test_source_order_without_shuffling():
    assert batches(5, 2, seed=1, epoch=3, shuffle=False) == [[0, 1], [2, 3], [4]]


def test_known_order():
    # numpy's PCG64 stream for the key (7, 0) is part of the promise that a run can be repeated elsewhere
    assert order(6, seed=7, epoch=0, shuffle=True) == [5, 2, 0, 4, 1, 3]


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 9), st.integers(0, 5), st.integers(0, 3))
def test_an_epoch_holds_every_example_once(size, batch_size, seed, epoch):
    seen = [index for batch in batches(size, batch_size, seed, epoch, shuffle=True) for index in batch]
    assert sorted(seen) == list(range(size))


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 4))
def test_ranks_run_the_same_number_of_steps_and_miss_nothing(size, batch_size, world):
    dealt = [batches(size, batch_size, 0, 0, True, rank=rank, world=world) for rank in range(world)]
    assert len({len(mine) for mine in dealt}) == 1
    assert {index for mine in dealt for batch in mine for index in batch} == set(range(size))
    assert len(BatchSampler(size, batch_size, 0, True, world=world)) == len(dealt[0])


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


def test_two_ranks_see_at_one_step_what_one_rank_sees_at_two():
    one = batches(8, 2, seed=5, epoch=1, shuffle=True)
    two = [batches(8, 2, seed=5, epoch=1, shuffle=True, rank=rank, world=2) for rank in (0, 1)]
    assert [batch for step in zip(*two, strict=True) for batch in step] == one


def test_epochs_and_seeds_differ_and_repeat():
    first = order(50, seed=0, epoch=0, shuffle=True)
    assert first != order(50, seed=0, epoch=1, shuffle=True)
    assert first != order(50, seed=1, epoch=0, shuffle=True)
    assert first == order(50, seed=0, epoch=0, shuffle=True)


def test_the_sampler_follows_its_epoch():
    sampler = BatchSampler(6, 2, seed=0, shuffle=True)
    first = list(sampler)
    sampler.epoch = 1
    assert list(sampler) == batches(6, 2, 0, 1, True) != first
