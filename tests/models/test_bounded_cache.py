"""Values are kept while there is room, and the rest is made again: never another value, never more than the room."""

from hypothesis import given
from hypothesis import strategies as st

from finetune.models.bounded_cache import Kept


def test_what_fits_is_made_once_and_what_does_not_each_time():
    made, kept = [], Kept(room=5, size=len)

    def make(value):
        made.append(value)
        return value

    for _ in range(2):
        assert kept.get("a", lambda: make("123")) == "123"
        assert kept.get("b", lambda: make("4567")) == "4567"  # 3 of 5 are used
        assert kept.get("c", lambda: make("89")) == "89"  # exactly full
    assert made == ["123", "4567", "89", "4567"]
    assert kept.room == 0


@given(st.integers(0, 60), st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 20)), max_size=40))
def test_each_name_gets_its_own_value_and_the_room_is_never_overdrawn(room, asked):
    kept, sizes = Kept(room=room, size=len), {}
    for name, size in asked:
        size = sizes.setdefault(name, size)
        assert kept.get(name, lambda name=name, size=size: name * size) == name * size
        assert kept.room >= 0
    assert room - kept.room <= sum(sizes.values())
