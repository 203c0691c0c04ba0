"""`python -m finetune verify RUN`: is every file what the record says, and every number what the predictions give?"""

from collections.abc import Sequence
from pathlib import Path

from finetune import __version__
from finetune.config import compose
from finetune.config.schema import STAGES
from finetune.errors import ConfigError, IntegrityError
from finetune.pipeline.runner import ENDS, fingerprint, stage_module
from finetune.rundir import Json, RunDir, canonical_digest, read_json, read_jsonl, sha256_file

SCHEMA = 3
"""Of the `comparison.json` whose numbers can be recomputed."""

RECORDED = ("data", "train", "eval", "report", "export")
"""Folders whose files should all be in the record, checkpoints and the pictures of the data apart."""


def run(arguments: Sequence[str]) -> None:
    """Checks one run directory and prints what was checked.

    Raises:
        ConfigError: the argument is no run directory.
        IntegrityError: a file, the chain, `run.json`, a fingerprint or a number differs; names all that do.
    """
    if len(arguments) != 1:
        raise ConfigError(f"verify takes one run directory, got {len(arguments)}: python -m finetune verify runs/NAME")
    run_dir = RunDir(Path(arguments[0]))
    if not run_dir.status_file.is_file():
        raise ConfigError(
            f"{run_dir.root} holds no run.json, so it is no run directory; see the folder run.root (runs)."
        )
    print(_table(check(run_dir)))


def check(run: RunDir) -> list[tuple[str, int, str]]:
    """Compares a run with its record; returns (what, how many, finding) for each kind of check.

    Raises:
        IntegrityError: something differs; names all that do.
    """
    if not run.audit_file.is_file():
        raise IntegrityError(f"{run.audit_file} is missing, so nothing can be verified; restore it or run again.")
    recorded = run.audit()
    status = read_json(run.status_file)
    files = {name: sha for name, sha in recorded.items() if name != run.status_file.name}
    checks = [
        ("entries of the audit chain", sum(1 for _ in read_jsonl(run.audit_file)), "unbroken", []),
        ("files", len(files), "as recorded", _changed(run, files)),
        ("run.json", 1, "as recorded", _changed_status(run, recorded, status)),
        ("files of finished stages", *_stages(run, recorded, status)),
        ("images of the run", *_images(run)),
    ]
    if not any(found for *_, found in checks):  # on altered files a fingerprint says nothing new, or cannot be made
        checks.append(("fingerprints of stages", *_fingerprints(run, status)))
    if not any(found for *_, found in checks):
        checks.append(("values of the evaluation", *_numbers(run, status)))
    problems = [problem for *_, found in checks for problem in found]
    if problems:
        raise IntegrityError(f"{run.root} is not what its record says:\n" + "\n".join(problems))
    extra = _unrecorded(run, files)
    told = [(what, count, finding) for what, count, finding, _ in checks]
    return [*told, ("files without a record", len(extra), ", ".join(extra[:3]) or "none")]


def _changed(run: RunDir, files: dict[str, str]) -> list[str]:
    root = run.root.resolve()
    found = []
    for name, sha in files.items():
        path = run.root / name
        if not path.resolve().is_relative_to(root):
            found.append(f"{name}: lies outside the run; a record never names such a file")
        elif not path.is_file():
            found.append(f"{name}: is missing")
        elif (got := sha256_file(path)) != sha:
            found.append(f"{name}: sha256 is {got[:16]}..., recorded {sha[:16]}...")
    return found


def _changed_status(run: RunDir, recorded: dict[str, str], status: Json) -> list[str]:
    name = run.status_file.name
    if name not in recorded:
        return [f"{name}: has no record; the run never ended"]
    return [f"{name}: was changed after the run"] if canonical_digest(status) != recorded[name] else []


def _stages(run: RunDir, recorded: dict[str, str], status: Json) -> tuple[int, str, list[str]]:
    """Files that finished stages list in run.json must be in the record: entries cut off the end of the chain show."""
    listed = [item for stage in _done(status).values() for item in stage.get("files", {}).items()]
    found = [f"{name}: run.json and audit.jsonl disagree on it" for name, sha in listed if recorded.get(name) != sha]
    return len(listed), "in the record", found


def _done(status: Json) -> dict[str, Json]:
    return {name: row for name, row in status.get("stages", {}).items() if row["status"] == "done"}


def _images(run: RunDir) -> tuple[int, str, list[str]]:
    """Images that the adapter wrote into the run, against the manifest; images of a source stay outside."""
    inside = run.summary.is_file() and read_json(run.summary).get("root") == "run"
    if not inside or not run.manifest.is_file():
        return 0, "the source lies outside the run", []
    rows = {f"{run.data.name}/{row['path']}": str(row["sha256"]) for row in read_jsonl(run.manifest)}
    return len(rows), "as in the manifest", _changed(run, rows)


def _fingerprints(run: RunDir, status: Json) -> tuple[int, str, list[str]]:
    """Each finished stage must have been made from the configuration and the files that are here now.

    The last stages may be older than a comparison that was repeated with other `evaluate.*`: that is said, since what
    they show is out of date, but nothing was altered.
    """
    made_with = str(status.get("versions", {}).get("finetune", ""))
    if made_with.rpartition(".")[0] != __version__.rpartition(".")[0]:
        return 0, f"not comparable: made with version {made_with}, this is {__version__}", []
    config = compose.from_yaml(run.config_file)
    done = _done(status)
    stale = [
        name
        for name in STAGES
        if name in done and fingerprint(stage_module(name), config, run) != done[name]["fingerprint"]
    ]
    found = [
        f"stage {name}: was made from other settings or files than those in this run"
        for name in stale
        if name not in ENDS
    ]
    old = [name for name in stale if name in ENDS]
    note = f"; out of date: {', '.join(old)} (run them again)" if old else ""
    return len(done), f"match config.yaml and the files{note}", found


def _numbers(run: RunDir, status: Json) -> tuple[int, str, list[str]]:
    """Every answer, outcome and number of the evaluation, from the texts of the predictions alone."""
    if "evaluate" not in _done(status):
        return 0, "nothing was evaluated", []
    made_with = str(status.get("versions", {}).get("finetune", ""))
    if made_with.rpartition(".")[0] != __version__.rpartition(".")[0]:
        return 0, f"not checked: made with version {made_with}, whose rules are not those of {__version__}", []
    schema = read_json(run.comparison)["schema"]
    if schema != SCHEMA:
        return 0, f"not comparable: comparison.json has schema {schema}, this version writes {SCHEMA}", []
    from finetune.pipeline import recompute

    checked, found = recompute.check(run, compose.from_yaml(run.config_file))
    return checked, "as the predictions give", found


def _unrecorded(run: RunDir, files: dict[str, str]) -> list[str]:
    present = [path for folder in RECORDED for path in sorted((run.root / folder).rglob("*")) if path.is_file()]
    names = [path.relative_to(run.root).as_posix() for path in present]
    return [name for name in names if name not in files and "/checkpoints/" not in name and "data/images/" not in name]


def _table(rows: Sequence[tuple[str, int, str]]) -> str:
    width = max(len(what) for what, _, _ in rows)
    return "\n".join(f"{what.ljust(width)}  {count:>7,}  {finding}" for what, count, finding in rows)
