"""The set for the embedded model: always the same, closed, of every kind, with a readable answer."""

from collections import Counter

from finetune.images import decode
from finetune.regressions import embedded_questions
from finetune.tasks import classify


def test_questions_are_closed_and_of_every_kind(tmp_path):
    items = embedded_questions.items(tmp_path, 42)
    kinds = Counter(item.example.id.partition("/")[0] for item in items)
    assert kinds == dict.fromkeys(("surface", "kind", "position", "present", "verdict", "count", "larger"), 6)
    assert len({item.example.id for item in items}) == 42
    for item in items:
        assert item.example.target in item.choices
        assert classify.parse(item.example.target, item.choices) == item.example.target
        assert decode.load(tmp_path, item.example.images[0]).size == (128, 128)


def test_the_same_questions_every_time(tmp_path):
    (tmp_path / "again").mkdir()
    first, second = embedded_questions.items(tmp_path, 9), embedded_questions.items(tmp_path / "again", 9)
    assert first == second
    for item in first:
        name = item.example.images[0].path
        assert (tmp_path / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_seeds_are_far_from_those_of_the_pretraining():
    from finetune.embedded import evaluate

    assert embedded_questions.FIRST_SEED >= evaluate.FIRST_SEED + 10**12
