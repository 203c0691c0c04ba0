"""The report stage: complete, self-contained, safe against the text of labels and answers, without a model."""

import json
import re
import subprocess
import sys
from dataclasses import replace

import pytest
import synthetic

from finetune.config.schema import ReportConfig
from finetune.errors import DataError
from finetune.pipeline import report
from finetune.rundir import read_json

ATTACK = ("good", "</script><script>alert(1)</script>", "p|t <b>`x`</b>")


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        return synthetic.evaluated(patch, tmp_path_factory.mktemp("runs") / "run", parts=8)


def page(chosen, run):
    html, text, _ = report.run(chosen, run)
    return html.read_text(encoding="utf-8"), text.read_text(encoding="utf-8")


def items(html):
    found = re.search(r'<script type="application/json" id="items">(.*?)</script>', html, re.DOTALL)[1]
    return json.loads(found)["items"]


def picture(html, item):
    """The thumbnail of an item, which may stand elsewhere on the page."""
    shown = item["picture"]
    return re.search(rf'<img id="{shown[1:]}" src="([^"]*)"', html)[1] if shown and shown[0] == "#" else shown


def test_it_says_what_the_numbers_say(evaluated):
    html, text = page(*evaluated)
    found = read_json(evaluated[1].comparison)
    tuned, pair = found["models"]["tuned"]["accuracy"], found["pairs"]["tuned-base"]
    for told in (html, text):
        assert f"{100 * tuned['value']:.1f}\u202f%" in told
        assert f"{100 * tuned['low']:.1f} to {100 * tuned['high']:.1f}" in told
        assert f"{100 * pair['difference']:+.1f}" in told
        assert "24 test images in 8 groups" in told
        assert "No proprietary baseline was evaluated" in told
    assert "image file is truncated" in html


def test_every_test_item_is_in_the_gallery(evaluated):
    html, _ = page(*evaluated)
    found = items(html)
    assert [item["id"] for item in found] == [f"part{p:03d}_view{v}" for p in range(8) for v in range(3)]
    assert all(picture(html, item).startswith("data:image/webp;base64,") for item in found)
    names = {(True, True): "both_right", (True, False): "fixed", (False, True): "broken", (False, False): "both_wrong"}
    for item in found:
        right = tuple(item["said"][who]["outcome"] == "correct" for who in ("tuned", "base"))
        assert item["kinds"] == [names[right]]


def test_nothing_points_outside(evaluated):
    html, _ = page(*evaluated)
    assert "default-src &#39;none&#39;" in html
    assert re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', html) == []
    assert "@import" not in html
    assert not re.search(r"\sstyle=|\son\w+=", html)


@pytest.mark.parametrize(("shown", "some"), [("none", False), ("blurred", True)])
def test_pictures_may_be_left_out_or_blurred(evaluated, shown, some):
    chosen, run = evaluated
    html, _ = page(chosen, run)
    full = picture(html, items(html)[0])
    html, _ = page(replace(chosen, report=ReportConfig(pictures=shown)), run)
    other = picture(html, items(html)[0])
    assert bool(other) == some
    assert other != full
    assert len(other or "") < len(full) / 2


def test_restricted_data_show_no_pictures(evaluated):
    chosen, run = evaluated
    restricted = replace(chosen, data=replace(chosen.data, sensitivity="restricted"))
    html, _ = page(restricted, run)
    assert "data:image" not in html
    assert report.pictures(replace(restricted, report=ReportConfig(pictures="full"))) == "full"


def test_labels_cannot_become_markup(tmp_path, monkeypatch):
    chosen, run = synthetic.evaluated(monkeypatch, tmp_path / "run", parts=5, labels=ATTACK)
    html, text = page(chosen, run)
    assert html.count("<script") == 2
    assert "<b>" not in re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    assert items(html)[6]["gold"] == ATTACK[1]
    assert "<script" not in text.replace("\\<", "")
    assert r"p\|t \<b\>\`x\`\</b\>" in text


def test_a_run_without_training_records_still_reports(tmp_path, monkeypatch):
    chosen, run = synthetic.evaluated(monkeypatch, tmp_path / "run", parts=5)
    for path in (run.train / "log.jsonl", run.train / "validation.jsonl", run.train / "trainable.json"):
        path.unlink()
    html, _ = page(chosen, run)
    assert "How training went" not in html
    assert "Results" in html


@pytest.mark.parametrize("models", [("majority",), ("tuned", "majority"), ("base",)])
def test_fewer_models(tmp_path, monkeypatch, models):
    from finetune.pipeline import evaluate

    chosen, run = synthetic.prepare(tmp_path / "run", parts=5)
    chosen = replace(chosen, evaluate=replace(chosen.evaluate, models=models))
    synthetic.script(monkeypatch)
    evaluate.run(chosen, run)
    html, text = page(chosen, run)
    assert "Tuned and base model were not both evaluated." in html
    assert "Tuned and base model were not both evaluated." in text


def test_folds_are_shown(tmp_path, monkeypatch):
    chosen, run = synthetic.evaluated(monkeypatch, tmp_path / "run", parts=4, folds=2)
    html, text = page(chosen, run)
    assert "2-fold cross-validation" in html
    assert "fold 1" in html
    assert "of 2 folds, pooled" in text


def test_a_missing_image_is_named(tmp_path, monkeypatch):
    chosen, run = synthetic.evaluated(monkeypatch, tmp_path / "run", parts=4)
    (run.images / "part001_view2.png").unlink()
    with pytest.raises(DataError, match=r"part001_view2\.png"):
        report.run(chosen, run)


def test_the_report_needs_no_torch(evaluated):
    """From files only: also on the laptop of the person who signs."""
    chosen, run = evaluated
    code = (
        "import sys; from pathlib import Path; from finetune.config import compose; from finetune.rundir import RunDir;"
        "from finetune.pipeline import report; root = Path(sys.argv[1]);"
        "report.run(compose.from_yaml(root / 'config.yaml'), RunDir(root));"
        "assert not {'torch', 'transformers', 'peft'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(run.root)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert chosen.recipe in (run.report / "report.html").read_text()
