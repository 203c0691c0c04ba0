"""The table and the commands of bench/side_by_side.py, from made-up figures."""

import json
import os
import sys
from argparse import Namespace
from pathlib import Path
from xml.dom import minidom

import pytest

from finetune.config.compose import compose

BENCH = Path(__file__).resolve().parents[2] / "bench"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    import side_by_side

    yield side_by_side
    for name in ("side_by_side", "jobs", "plot"):
        sys.modules.pop(name, None)


def test_the_ratio_is_of_the_medians_of_whole_commands(bench):
    ours, trl = bench.Line("smolvlm", "ours", 3), bench.Line("smolvlm", "trl", 3)
    found = {
        ours: bench.Measured([50.0, 54.0], 90.0, 2000.0, [2.0, 3.0], [1.5, 2.5], [1.0, 0.5]),
        trl: bench.Measured([104.0, 156.0], 200.0, 2840.0, [8.0, 10.0], [0.5, 0.7], [1.0, 0.50002]),
        bench.Line("smolvlm", "trl", 10): bench.Measured(),
    }
    heads, _, mine, theirs, _, gap = bench.table(found, 24).splitlines()
    assert heads.startswith("| job | tool | epochs | seconds (median) |")
    assert mine == "| smolvlm fp32 | ours | 3 | 52.0 (n=2) | 90 | 1.38 | 2.00 (1.50 to 2.50) | 2.5 | 2000 |  |"
    assert theirs == "| smolvlm fp32 | trl | 3 | 130.0 (n=2) | 200 | 0.55 | 0.60 (0.50 to 0.70) | 9.0 | 2840 | 2.50 x |"
    assert gap == "Losses of smolvlm-ours-3-fp32 and smolvlm-trl-3-fp32 differ by at most 2.0e-05."


def test_every_line_is_run_once_before_any_is_repeated(bench):
    once, twice = bench.Line("a", "ours", 10, 1), bench.Line("a", "ours", 3)
    assert list(bench.schedule([twice, once], 2)) == [twice, once, twice]
    found = {twice: bench.Measured([60.0]), once: bench.Measured()}
    assert bench.guess(once, found) == pytest.approx(200.0)


def test_our_command_composes(bench, tmp_path):
    for line in bench.LINES:
        if line.tool.startswith("ours"):
            command = bench.jobs.ours(line, Namespace(work=tmp_path), tmp_path)
            config = compose(command[3:])
            assert (config.train.epochs, config.train.precision) == (line.epochs, line.precision)
            assert config.train.augment == ("flips" if line.part == "tower" else "none")


def test_what_a_record_says(bench, tmp_path):
    (tmp_path / "run" / "train").mkdir(parents=True)
    rows = [
        {"loss": 2.0, "samples_per_s": 1.0},
        {"loss": 1.5, "samples_per_s": 4.0},
        {"loss": 1.0, "samples_per_s": 4.0},
    ]
    log, table = tmp_path / "run" / "train" / "log.jsonl", tmp_path / "run" / "train" / "trainable.json"
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    table.write_text("{}")
    os.utime(table, (1000, 1000))
    os.utime(log, (1007.5, 1007.5))  # 7.5 s after the weights were there, 2 of them for the steps after the first
    seen = bench.jobs.reading(bench.Line("smolvlm", "ours", 3), tmp_path, 0.0)
    assert (seen.losses, seen.first_s, seen.rate) == ([2.0, 1.5, 1.0], 5.5, 4.0)
    (tmp_path / "output.txt").write_text("{'loss': '11.62', 'grad_norm': '3'}\rTrain: {'loss': 0.5}\n")
    assert bench.jobs.reading(bench.Line("qwen2_vl", "swift", 3), tmp_path, 0.0).losses == [11.62, 0.5]


def test_curves_of_one_job_share_a_panel(bench, tmp_path):
    curves = {"smolvlm-ours-3-fp32": [2.0, 1.0], "smolvlm-trl-3-fp32": [2.0, 1.0], "tower-ours-1-fp32": [1.0]}
    bench.plot.write(curves, tmp_path / "x.svg")
    drawn = minidom.parse(str(tmp_path / "x.svg"))
    assert len(drawn.getElementsByTagName("g")) == 2
    assert drawn.getElementsByTagName("polyline")[0].getAttribute("points") == "40.0,40.0 380.0,110.0"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "nothing to run: name parts (see --help) or say --all"),
        (["embeded"], "nothing to run: name parts"),
        (["embedded", "--only", "embedded-trl-11-fp32"], "invalid choice: 'embedded-trl-11-fp32'"),
        (["qwen2_vl", "--only", "qwen2_vl-swift-3-fp32"], "ms-swift needs --swift"),
    ],
)
def test_what_names_no_line_is_refused_before_anything_is_made(bench, tmp_path, monkeypatch, capsys, words, told):
    monkeypatch.setattr(sys, "argv", ["side_by_side.py", str(tmp_path), *words, "--work", str(tmp_path / "work")])
    with pytest.raises(SystemExit):
        bench.main()
    assert told in capsys.readouterr().err
    assert not (tmp_path / "work").exists()
