"""A little of `bench/fuzz.py` in the suite: strange bytes end in rows, reasons or errors of ours."""

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import finetune

sys.path.append(str(Path(finetune.__file__).resolve().parents[1] / "bench"))
import fuzz  # bench/ is no package


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory):
    return fuzz.Fuzzer(tmp_path_factory.mktemp("fuzz"), 1e9)


PIECES = st.lists(st.one_of(st.sampled_from(fuzz.STRANGE), st.binary(max_size=4)), min_size=1, max_size=3)


def check(fuzzer, number, at, cut, pieces):
    """A valid input with something strange in the place of a few of its bytes."""
    inputs = fuzzer.inputs()
    content = bytearray(inputs[number % len(inputs)])
    start = 1 + at % len(content)
    content[start : start + cut] = b"".join(pieces)
    fuzzer.one(bytes(content))
    assert fuzzer.crashes == {}


PLACES = (st.integers(0, 99), st.integers(0, 5000), st.integers(0, 6), PIECES)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(*PLACES)
def test_strange_bytes_are_told(fuzzer, number, at, cut, pieces):
    check(fuzzer, number, at, cut, pieces)


@pytest.mark.slow
@settings(max_examples=4000, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(*PLACES)
def test_many_strange_bytes_are_told(fuzzer, number, at, cut, pieces):
    check(fuzzer, number, at, cut, pieces)


def test_the_fuzzer_sees_a_crash(fuzzer, capsys, monkeypatch):
    """And counts the ends: valid inputs give rows; what is none of our errors is printed with its input."""
    own = fuzz.Fuzzer(fuzzer.root, 1e9)
    for content in own.inputs():
        own.one(content)
    assert own.report() == 0
    assert {end for end in own.ends if not end.endswith(": rows")} == set()
    monkeypatch.setitem(own.readers, "coco", ("annotations.json", lambda at: 1 // 0))
    own.one(bytes([own.names.index("coco")]))
    assert own.report() == 1
    assert "CRASH in coco with b''" in capsys.readouterr().out
