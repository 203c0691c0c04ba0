"""The whole report on real images with everyone in it, a made-up model to be replaced included.

Prepares and trains a recipe, writes a recorded pack whose replies are drawn up by a rule (right for 4 of 5 images,
no answer now and then; the pack says `synthetic`, and so does the report), evaluates everyone, and takes pictures of
every block in headless Chromium: wide, narrow and printed.

    python bench/whole_report.py RUN recipe=solar_cells data.path=FOLDER train.epochs=2 [--shots FOLDER]
"""

import argparse
import base64
import json
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent.parent / "tests"
sys.path[:0] = [str(TESTS / name) for name in ("", "baseline", "report")]

import chromium  # noqa: E402 - of the tests
import made  # noqa: E402

from finetune.config import compose  # noqa: E402
from finetune.data.split import fraction  # noqa: E402
from finetune.example import Example  # noqa: E402
from finetune.rundir import RunDir  # noqa: E402

NAME = "made_up"
WIDTHS = {"wide": 1400, "narrow": 390}


def main() -> int:
    """Makes run, pack and report; exit code of the first command that fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of the run; continued where it is there")
    parser.add_argument("settings", nargs="+", metavar="KEY=VALUE", help="recipe=NAME and whatever else")
    parser.add_argument("--shots", type=Path, help="folder for pictures of every block and a PDF")
    given = parser.parse_args()
    run = RunDir(given.run)
    settings = [*given.settings, f"run.dir={given.run}"]
    code = product([*settings, "stages=[prepare,train]"])
    if code == 0:
        config = compose.from_yaml(run.config_file)
        pack = given.run.with_name(f"{given.run.name}_pack")
        made.write(pack, config, run, reply=reply)
        who = f"evaluate.models=[majority,{'linear,' * (config.task.kind == 'classify')}base,tuned,{NAME}]"
        baseline = ["baseline=recorded", f"baseline.name={NAME}", f"baseline.path={pack}"]
        code = product([*settings, who, *baseline, "stages=[evaluate,report]"])
    if code == 0 and given.shots:
        look(run.report / "report.html", given.shots)
    return code


def product(arguments: list[str]) -> int:
    """The command that a user types."""
    return subprocess.run([sys.executable, "-m", "finetune", *arguments], check=False).returncode


def reply(number: int, example: Example) -> str:
    """Right for about 4 of 5, no answer for about 1 in 30; which ones depends on the id alone."""
    luck = fraction("made up", example.id)
    if luck < 1 / 30:
        return "It is hard to say from this image."
    right = luck < 0.8
    others = {"functional": "defective", "defective": "functional", "yes": "no", "no": "yes"}
    others |= {"covid-19": "other", "other": "covid-19"}
    return f"Answer: {example.target if right else others.get(example.target, 'something else')}."


def look(page: Path, folder: Path) -> None:
    """A picture of every block at two widths, and the printed page."""
    folder.mkdir(parents=True, exist_ok=True)
    with chromium.browser() as tab:
        for name, width in WIDTHS.items():
            tab.open(page, width=width, height=900)
            blocks = json.loads(
                tab.run(
                    "JSON.stringify([...document.querySelectorAll('header, main > section, footer')].map(e => {"
                    "const r = e.getBoundingClientRect(); return [e.id || e.tagName, r.top + scrollY, r.height]}))"
                )
            )
            for number, (block, top, height) in enumerate(blocks):
                clip = {"x": 0, "y": max(0, top - 8), "width": width, "height": height + 16, "scale": 1}
                shot = tab.send("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
                (folder / f"{name}_{number:02d}_{block}.png").write_bytes(base64.b64decode(shot["data"]))
            too_wide = tab.run("document.documentElement.scrollWidth > innerWidth")
            print(f"{name}: {len(blocks)} blocks{', wider than the window' if too_wide else ''}, {tab.complaints()}")
        printed = tab.send("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        (folder / "report.pdf").write_bytes(base64.b64decode(printed["data"]))


if __name__ == "__main__":
    sys.exit(main())
