"""The report in a real Chromium: no request leaves, no complaint, the gallery filters, keys work, 390 px are enough."""

from itertools import pairwise
from pathlib import Path

import pytest
from report import chromium, rich_run

from finetune.pipeline import report
from finetune.rundir import read_jsonl

pytestmark = pytest.mark.browser
ATTACK = ("good", '</script><img src="https://example.org/x.png" onerror="alert(1)">', "pit")
PARTS = 16


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    chosen, run = rich_run.write(tmp_path_factory.mktemp("runs") / "run", parts=PARTS, labels=ATTACK)
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


def against(run):
    """The same against the model to be replaced: items that only one of the two has right."""
    sides = [
        [row["outcome"] == "correct" for row in read_jsonl(run.predictions(who))] for who in ("tuned", rich_run.RIVAL)
    ]
    pairs = list(zip(*sides, strict=True))
    return {"lost": pairs.count((False, True)), "won": pairs.count((True, False))}


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
    assert visible(page) == sum(expected.values()) == 3 * PARTS == 48  # one page of the gallery
    assert len([count for count in expected.values() if count]) >= 3
    for kind, count in (expected | against(run)).items():
        page.run(f"document.querySelector('#kinds button[value={kind}]').click()")
        assert visible(page) == count
        assert page.run("document.getElementById('count').textContent") == f"{count} of {3 * PARTS} test images"
        assert page.run(f"document.querySelector('#kinds button[value={kind}]').getAttribute('aria-pressed')") == "true"
    page.run("document.querySelector('#kinds button[value=all]').click()")
    assert visible(page) == 3 * PARTS


def test_the_gallery_filters_by_class_model_outcome_answer_and_name(page, run):
    rows = {who: list(read_jsonl(run.predictions(who))) for who in ("tuned", rich_run.RIVAL)}
    choose(page, "class", "pit")
    assert visible(page) == sum(row["gold"] == "pit" for row in rows["tuned"])
    choose(page, "answer", "good")
    assert visible(page) == sum(row["gold"] == "pit" and row["answer"] == "good" for row in rows["tuned"])
    choose(page, "class", "")
    choose(page, "answer", "")
    choose(page, "outcome", "wrong")
    assert visible(page) == sum(row["outcome"] == "wrong" for row in rows["tuned"])
    choose(page, "model", rich_run.RIVAL)
    assert visible(page) == sum(row["outcome"] == "wrong" for row in rows[rich_run.RIVAL])
    choose(page, "outcome", "")
    choose(page, "model", "tuned")
    choose(page, "search", "part003")
    assert visible(page) == 3
    choose(page, "search", "")
    choose(page, "order", "confident")
    wrong = [row["probabilities"][row["answer"]] for row in rows["tuned"] if row["outcome"] == "wrong"]
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


def test_it_can_be_used_without_a_mouse(page):
    """The first stop is the skip link; every region that scrolls can be focused and says what it is."""
    page.press("Tab")
    assert page.run("document.activeElement.className") == "skip"
    page.press("Enter")
    assert page.run("document.activeElement.id") == "main"
    assert page.run("[...document.querySelectorAll('.scroll')].every(s => s.tabIndex === 0 && s.ariaLabel)")
    assert page.run("[...document.querySelectorAll('svg')].every(s => s.ariaLabel || s.closest('[aria-hidden]'))")
    assert page.run("[...document.querySelectorAll('table')].every(t => t.caption && t.querySelector('th[scope=col]'))")
    levels = page.run("[...document.querySelectorAll('h1,h2,h3')].map(h => +h.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert page.run(
        "[...document.querySelectorAll('nav a')].every(a => document.querySelector(a.getAttribute('href')))"
    )
