"""The report in a real Chromium: no request leaves, no complaint, the gallery filters, keys work, 390 px are enough."""

from pathlib import Path

import pytest
import synthetic
from report import chromium

from finetune.rundir import read_jsonl
from finetune.stages import report

pytestmark = pytest.mark.browser
ATTACK = ("good", '</script><img src="https://example.org/x.png" onerror="alert(1)">', "pit")
PARTS = 10


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        chosen, run = synthetic.evaluated(patch, tmp_path_factory.mktemp("runs") / "run", parts=PARTS, labels=ATTACK)
    report.run(chosen, run)
    return run


@pytest.fixture(scope="module")
def chromium_page():
    with chromium.browser() as page:
        yield page


@pytest.fixture
def page(chromium_page, run):
    chromium_page.open(run.report / "report.html")
    return chromium_page


def visible(page):
    return page.run("document.querySelectorAll('#list .item').length")


def choose(page, name, value):
    page.run(
        f"(() => {{ const s = document.getElementById({name!r}); s.value = {value!r};"
        " s.dispatchEvent(new Event('change')); s.dispatchEvent(new Event('input')); })()"
    )


def kinds(run):
    """Outcome of each test item, counted from the prediction files themselves."""
    sides = [[row["outcome"] == "correct" for row in read_jsonl(run.predictions(who))] for who in ("tuned", "base")]
    names = {(True, True): "both_right", (True, False): "fixed", (False, True): "broken", (False, False): "both_wrong"}
    found = [names[pair] for pair in zip(*sides, strict=True)]
    return {name: found.count(name) for name in names.values()}


def test_nothing_leaves_and_nothing_complains(page, run):
    page.run("document.querySelectorAll('#list .item')[0].click()")
    page.run("window.scrollTo(0, document.body.scrollHeight)")
    assert page.requests() == [Path(run.report / "report.html").as_uri()]
    assert page.complaints() == []


def test_the_policy_would_stop_what_gets_in(page):
    """A request tried on purpose is refused by the policy, so the test above is not blind."""
    page.run("(() => { const i = new Image(); i.src = 'https://example.org/pixel.png'; document.body.append(i); })()")
    assert any("Content Security Policy" in text for text in page.complaints())
    page.run("(() => { const s = document.createElement('script'); s.textContent = 'window.evil = 1';"
             " document.body.append(s); })()")  # fmt: skip
    assert page.run("window.evil") is None


def test_labels_are_text_and_nothing_else(page):
    assert page.run("document.querySelectorAll('img[onerror]').length") == 0
    assert page.run("document.querySelector('#class').options[2].value") == ATTACK[1]


def test_the_gallery_filters_by_outcome(page, run):
    expected = kinds(run)
    assert visible(page) == sum(expected.values()) == 3 * PARTS
    assert len([count for count in expected.values() if count]) >= 3
    for kind, count in expected.items():
        page.run(f"document.querySelector('#kinds button[value={kind}]').click()")
        assert visible(page) == count
        assert page.run("document.getElementById('count').textContent") == f"{count} of {3 * PARTS} test images"
        assert page.run(f"document.querySelector('#kinds button[value={kind}]').getAttribute('aria-pressed')") == "true"
    page.run("document.querySelector('#kinds button[value=all]').click()")
    assert visible(page) == 3 * PARTS


def test_the_gallery_filters_by_class_answer_and_name(page, run):
    rows = list(read_jsonl(run.predictions("tuned")))
    choose(page, "class", "pit")
    assert visible(page) == sum(row["gold"] == "pit" for row in rows)
    choose(page, "answer", "good")
    assert visible(page) == sum(row["gold"] == "pit" and row["answer"] == "good" for row in rows)
    choose(page, "class", "")
    choose(page, "answer", "")
    choose(page, "search", "part003")
    assert visible(page) == 3
    choose(page, "search", "")
    choose(page, "order", "confident")
    wrong = [row["probabilities"][row["answer"]] for row in rows if row["outcome"] == "wrong"]
    shown = page.run("document.querySelector('#list .item .p').textContent")
    assert shown == (">99 %" if max(wrong) > 0.995 else f"{round(100 * max(wrong))} %")


def test_an_item_opens_and_moves_by_keys(page):
    page.run("document.querySelector('#list .item').focus()")
    page.press("Enter")
    assert page.run("document.getElementById('sheet').open") is True
    first = page.run("document.querySelector('.told').textContent")
    page.press("ArrowRight")
    assert page.run("document.querySelector('.told').textContent") != first
    page.press("ArrowLeft")
    assert page.run("document.querySelector('.told').textContent") == first
    page.press("Escape")
    assert page.run("document.getElementById('sheet').open") is False
    assert page.run("document.activeElement.className") == "item"


def test_a_picture_says_what_it_is(page):
    assert page.run("[...document.querySelectorAll('img')].every(i => i.alt && i.src.startsWith('data:image/webp'))")
    assert page.run("document.querySelector('#list img').naturalWidth") > 0


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_nothing_is_wider_than_the_screen(chromium_page, run, width):
    chromium_page.open(run.report / "report.html", width=width)
    assert chromium_page.run("document.documentElement.scrollWidth") <= width


def test_it_prints(page):
    """The printed page has no controls, and its pictures are there."""
    page.send("Emulation.setEmulatedMedia", media="print")
    assert page.run("getComputedStyle(document.querySelector('.filters')).display") == "none"
    assert len(page.send("Page.printToPDF", printBackground=True)["data"]) > 20_000
    page.send("Emulation.setEmulatedMedia", media="")
