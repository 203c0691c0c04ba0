"""The report on paper: page one holds the decision, every block is there, and no row of a table is cut."""

import base64
import io
import re

import pypdf
import pytest
from report import chromium, rich_run

from finetune.pipeline import report

pytestmark = pytest.mark.browser
PAPER_PX = 695
"""Width of the print area of A4 with the margins of print.css, in CSS pixels."""


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    chosen, run = rich_run.write(tmp_path_factory.mktemp("runs") / "run", parts=30)
    report.run(chosen, run)
    with chromium.browser() as page:
        page.open(run.report / "report.html")
        page.send("Emulation.setEmulatedMedia", media="print")
        yield page


@pytest.fixture(scope="module")
def sheets(opened):
    """Text of each printed page, without white space."""
    data = opened.send("Page.printToPDF", printBackground=True, preferCSSPageSize=True)["data"]
    return [squeezed(sheet.extract_text()) for sheet in pypdf.PdfReader(io.BytesIO(base64.b64decode(data))).pages]


def squeezed(text):
    """What is left of a text when nobody minds how it was broken into lines, ligatures and case aside."""
    return re.sub(r"\s|\u202f|\u00a0", "", text.replace("ﬁ", "fi").replace("ﬂ", "fl").replace("ﬀ", "ff")).casefold()


def test_page_one_is_the_decision(sheets):
    for told in ("Rule, fixed before the test", "Largest loss accepted", "Looks at this test: 3", "2026-11-17"):
        assert squeezed(told) in sheets[0], told
    for told in ("Holds for", "hall 2", "Expires on 2027-05-21", "What would be enough", "Difference, same images"):
        assert squeezed(told) in sheets[0], told
    assert squeezed("What the rule asks, and what was found") in sheets[1]


def test_every_block_is_on_paper(opened, sheets):
    titles = opened.run("[...document.querySelectorAll('h1,h2,h3')].filter(h => h.offsetHeight).map(h => h.innerText)")
    missing = [title for title in titles if not any(squeezed(title) in sheet for sheet in sheets)]
    assert len(titles) > 25
    assert missing == []


def test_no_row_of_a_table_is_cut(opened, sheets):
    rows = opened.run(
        "[...document.querySelectorAll('table tr')].filter(r => r.offsetHeight)"
        ".map(r => [...r.cells].map(c => c.innerText))"
    )
    assert len(rows) > 60
    cut = [row for row in rows if not any(all(squeezed(cell) in sheet for cell in row) for sheet in sheets)]
    assert cut == []


def test_nothing_runs_off_the_paper(opened):
    opened.send("Emulation.setDeviceMetricsOverride", width=PAPER_PX, height=1000, deviceScaleFactor=1, mobile=False)
    wide = opened.run(
        "[...document.querySelectorAll('body *')].filter(e => e.offsetHeight && "
        f"e.getBoundingClientRect().right > {PAPER_PX + 1} && !e.closest('.hidden'))"
        ".map(e => e.tagName + '.' + e.className)"
    )
    assert wide == []
    assert opened.run("document.querySelector('.filters').offsetHeight") == 0
