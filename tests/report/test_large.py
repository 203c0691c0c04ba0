"""Five thousand items with five hundred pictures of noise, the worst there is to compress: size, and what is drawn."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image
from report import chromium, rich_run

from finetune.data import example_files
from finetune.pipeline import report
from finetune.report import gallery
from finetune.rundir import read_json, read_jsonl

COPIES = 56
ITEMS = 90 * COPIES


def grown(run):
    """Repeats every test item under other names, in all files that the gallery reads."""
    examples = list(example_files.read_split(run.data / "test.jsonl"))
    more = [dataclasses.replace(e, id=f"{e.id}_{copy}") for copy in range(COPIES) for e in examples]
    run.write_jsonl(run.data / "test.jsonl", map(example_files.to_row, more))
    for path in run.eval.glob("*.predictions.jsonl"):
        if "validation" not in path.name:
            rows = list(read_jsonl(path))
            long = "The surface shows what looks like wear, and besides that nothing of note. " * 8
            longer = [
                row | {"id": f"{row['id']}_{copy}", "text": row["text"] + long}
                for copy in range(COPIES)
                for row in rows
            ]
            run.write_jsonl(path, longer)
    metrics = read_json(run.metrics)
    for kind in ("regressions", "suspects"):
        metrics[kind] = [row | {"id": f"{row['id']}_{copy}"} for copy in range(COPIES) for row in metrics[kind]]
    run.write_json(run.metrics, metrics)
    outcomes = read_json(run.comparison)["outcomes"]
    many = {who: {name: COPIES * count for name, count in counts.items()} for who, counts in outcomes.items()}
    rich_run.altered(run.comparison, outcomes=many, n=ITEMS)


def noise(path, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, compress_level=0)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    chosen, run = rich_run.write(tmp_path_factory.mktemp("runs") / "run", parts=30)
    grown(run)
    for number, path in enumerate(sorted(run.images.iterdir())):
        noise(path, number)
    report.run(chosen, run)
    return run


@pytest.mark.slow
def test_it_stays_small(run):
    text = (run.report / "report.html").read_text(encoding="utf-8")
    assert len(text.encode()) < 15_000_000
    items = json.loads(text.partition('id="items">')[2].partition("</script>")[0])["items"]
    assert len(items) == ITEMS
    assert sum(item["picture"] is not None for item in items) == gallery.MOST_PICTURES
    assert text.count("data:image/webp") == gallery.MOST_PICTURES + text.count('<img src="data:image/webp')


@pytest.mark.slow
@pytest.mark.browser
def test_a_filter_draws_one_page_at_once(run):
    """A filter's result is there when its event returns, and no more than a page of it is ever in the document."""
    with chromium.browser() as page:
        page.open(run.report / "report.html")
        wrong = sum(row["outcome"] == "wrong" for row in read_jsonl(run.predictions("tuned")))
        drawn = page.run(
            "(() => { const s = document.getElementById('outcome'); s.value = 'wrong';"
            " s.dispatchEvent(new Event('change'));"
            " return [document.querySelectorAll('#list li').length, document.getElementById('count').textContent]; })()"
        )
        assert drawn == [48, f"{wrong:,} of {ITEMS:,} test images, the first 48 shown"]
        page.run("document.getElementById('more').click()")
        assert page.run("document.querySelectorAll('#list li').length") == 96
        found = page.run(
            "(() => { const s = document.getElementById('search'); s.value = 'view1_55';"
            " s.dispatchEvent(new Event('input')); return document.querySelectorAll('#list li').length; })()"
        )
        names = [row["id"] for row in read_jsonl(run.predictions("tuned")) if row["outcome"] == "wrong"]
        assert found == min(48, sum("view1_55" in name for name in names))
        assert page.complaints() == []


def test_noise_takes_no_more_than_its_share():
    pixels = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    share = gallery.MOST_BYTES // gallery.MOST_PICTURES
    assert len(gallery.thumbnail(Image.fromarray(pixels), False)) <= share + len("data:image/webp;base64,")
