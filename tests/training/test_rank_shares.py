import pytest

from finetune.config import checks
from finetune.errors import ConfigError, ResourceError
from finetune.training import ranks
from finetune.training import worker as rank


@pytest.mark.parametrize(
    ("batch_size", "accumulate", "world", "expected"),
    [
        (8, 1, 1, (8, 1)),
        (8, 4, 2, (8, 2)),  # passes come out even
        (8, 1, 2, (4, 1)),  # examples of a pass do
        (8, 1, 8, (1, 1)),
        (6, 3, 9, (2, 1)),  # both have to be shared out
        (1, 16, 4, (1, 4)),
    ],
)
def test_a_step_holds_the_same_examples_on_any_number_of_ranks(batch_size, accumulate, world, expected):
    size, passes = checks.split_batch_across_ranks(batch_size, accumulate, world)
    assert (size, passes) == expected
    assert size * passes * world == batch_size * accumulate


def test_what_cannot_be_shared_out_says_what_could():
    with pytest.raises(ConfigError, match=r"8 x 1 examples a step cannot be shared out among 3 ranks; .*accumulate=3"):
        checks.split_batch_across_ranks(8, 1, 3)


def test_one_process_agrees_with_itself():
    assert (ranks.rank(), ranks.world(), ranks.is_main()) == (0, 1, True)
    assert ranks.gathered("a") == ["a"]
    assert ranks.from_main(3) == 3
    assert (ranks.any_says(True), ranks.any_says(False)) == (True, False)


def test_who_a_rank_is_comes_from_torchrun(monkeypatch):
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert (ranks.rank(), ranks.world(), ranks.is_main()) == (3, 4, False)


def test_the_interface_is_found_by_its_address(monkeypatch):
    import ipaddress

    found = [("lo", ipaddress.ip_address("127.0.0.1")), ("ib0", ipaddress.ip_address("10.3.0.7"))]
    monkeypatch.setattr(rank, "_addresses", lambda: iter(found))
    assert rank.interface("10.3.0.0/16") == "ib0"
    with pytest.raises(ResourceError, match=r"launch.rendezvous: no interface of \S+ has an address in 10.4.0.0/16"):
        rank.interface("10.4.0.0/16")


def test_the_addresses_of_this_machine_have_loopback_among_them():
    assert ("lo", "127.0.0.1") in [(name, str(address)) for name, address in rank._addresses()]
