"""The contract over every adapter, second part: what is broken, empty, long, oddly named or shuffled."""

import json
import os
from contextlib import suppress

import pytest
from adapters import sources
from contract.facts import FACTS, NEED_NO_FILES

from finetune import plugins
from finetune.config.schema import Config, DataConfig
from finetune.data import ingest
from finetune.errors import DataError
from finetune.example import BadRow, Example
from finetune.images import decode
from finetune.rundir import RunDir

NAMES = sorted(FACTS)
every_adapter = pytest.mark.parametrize("name", NAMES)


class Source:
    """A source of an adapter under `folder`, written at once and read as often as wanted."""

    def __init__(self, name, folder, stems=sources.NAMES):
        self.path = folder / "source"
        self.path.mkdir(parents=True)
        self.images = folder / "run" / "images"
        self.images.mkdir(parents=True)
        self.adapter = plugins.load("adapter", name)
        path, self.options = sources.ALL[name](self.path, stems)
        self.root = self.images.parent if self.adapter.WRITES_IMAGES or path is None else path
        self._given = path

    def rows(self):
        return self.adapter.read(self._given, self.adapter.Options(**self.options), self.images)

    def told(self):
        """Bad rows as a run meets them: from the adapter, or when an image is decoded."""
        for row in self.rows():
            try:
                for ref in row.images if isinstance(row, Example) else ():
                    decode.load(self.root, ref)
            except DataError as error:
                yield BadRow(row.row, row.images[0].path, str(error))
            if isinstance(row, BadRow):
                yield row

    def pairs(self, sound=True):
        """Digest of an example's pictures -> its answer and boxes; `sound`: every row has to be an example."""
        rows, found = list(self.rows()), {}
        assert not sound or [row for row in rows if isinstance(row, BadRow)] == []
        assert len({row.row if isinstance(row, BadRow) else row.id for row in rows}) == len(rows)
        passed_by = () if sound else (DataError,)
        for row in (row for row in rows if isinstance(row, Example)):
            with suppress(*passed_by):
                digest = decode.digest([decode.load(self.root, ref) for ref in row.images])
                found[digest] = (row.target, row.boxes)
        return found


@every_adapter
def test_a_broken_image_is_told_by_its_row_and_its_file(tmp_path, monkeypatch, name):
    """Both, not one of them; `Facts.is_row` says of which formats a row is the file itself."""
    facts, whole = FACTS[name], sources.encoded
    if not facts.image:  # the picture lies in the row
        broken = whole(sources.picture(2))
        monkeypatch.setattr(sources, "encoded", lambda image: whole(image)[: 45 if whole(image) == broken else None])
    source = Source(name, tmp_path)
    if facts.image:
        file = source.path / facts.image.format("c")
        file.write_bytes(file.read_bytes()[: 45 if file.suffix == ".png" else -20])
    (told,) = source.told()
    assert told.row == facts.row
    assert told.path == facts.image.format("c") or (not facts.image and told.path in ("", "c"))
    said = ingest.worded(told)
    assert facts.row in said
    assert facts.image.format("c") in said
    assert len(told.reason) > 10


@pytest.mark.parametrize("name", [name for name in NAMES if FACTS[name].notes])
def test_broken_notes_are_told_by_their_name(tmp_path, name):
    """Labels, boxes, masks, shards cut off in the middle: of the whole file, or of the row that they belong to."""
    source, notes = Source(name, tmp_path), FACTS[name].notes.format("c")
    content = (source.path / notes).read_bytes()
    (source.path / notes).write_bytes(content[: len(content) // 2] + b"\xff")
    try:
        said = [ingest.worded(row) for row in source.told()]
    except DataError as error:
        said = [str(error)]
    assert said
    assert all(notes in each for each in said)


@every_adapter
@pytest.mark.parametrize("laid_out", [False, True], ids=["an empty folder", "a layout without items"])
def test_an_empty_source_is_refused(tmp_path, name, laid_out):
    """Never a run on nothing: by the adapter, which names what it misses, or since no row came."""
    source = Source(name, tmp_path, ())
    path = source.path if laid_out else tmp_path / "nothing"
    path.mkdir(exist_ok=True)
    options = {key: value for key, value in source.options.items() if key != "site_key"}
    data = DataConfig(adapter=name, path=str(path), options=options, site_key=source.options.get("site_key"))
    run = RunDir(tmp_path / "prepared")
    with ingest.Spool(run, "kept") as spool, pytest.raises(DataError) as refused:
        ingest.take(Config(data=data), run, spool)
    assert str(path) in str(refused.value) or FACTS[name].notes in str(refused.value)


def lengthened(source, notes):
    """The same rows over and over, so that no buffer holds them all; a JSON list, which is read whole, as lines."""
    place = source.path / notes
    if place.suffix == ".json":
        lines = [json.dumps(row) for row in json.loads(place.read_text())]
        place = place.with_suffix(".jsonl")
        place.write_text("\n".join(lines * 40) + "\n")
        source.options["file"] = place.name
    elif place.suffix == ".csv":
        header, *lines = place.read_text().splitlines()
        place.write_text("\n".join([header, *lines * 400]) + "\n")
    return place


@every_adapter
def test_it_streams(tmp_path, monkeypatch, name):
    """Nothing of the last item was opened when the first example comes; taken away then, it is missed."""
    stems = [f"n{number:03}" for number in range(60)]
    source, facts = Source(name, tmp_path, stems), FACTS[name]
    notes = lengthened(source, facts.notes) if facts.lazy.startswith("rows") else None
    whole = list(source.rows())
    assert isinstance(whole[-1], Example)
    for picture in source.images.iterdir():
        picture.unlink()
    opened, check = [], decode.check

    def watched(root, path, *more, **said):
        opened.append(path)
        return check(root, path, *more, **said)

    monkeypatch.setattr(decode, "check", watched)
    rows = source.rows()
    assert next(rows) == whole[0]
    assert [path for path in opened if stems[-1] in path] == []
    assert len(list(source.images.iterdir())) == source.adapter.WRITES_IMAGES  # one picture, or none
    if notes is None:
        (source.path / facts.image.format(stems[-1])).unlink()
    else:
        os.truncate(notes, notes.stat().st_size // 2)
    rest = []
    with suppress(DataError):  # a file that was cut off
        for row in rows:
            rest.append(row)
    assert whole[-1] not in rest
    assert len(whole) // 4 < len(rest) <= len(whole)


@pytest.mark.parametrize("name", sorted(NEED_NO_FILES))
def test_what_needs_no_files_streams_too(tmp_path, name):
    source = Source(name, tmp_path)
    assert isinstance(next(source.rows()), Example)
    assert len(list(source.images.iterdir())) == source.adapter.WRITES_IMAGES


ODD = ["plain", "new\nline", "tab\tand, 'quote\"", "\u00e9", "e\u0301", "\u6f22\u202e", "A", "a", "=cmd()", "-rf"]
LONGEST = 255
"""Bytes that a file name may have on the systems we know."""


@every_adapter
def test_names_of_every_kind_survive(tmp_path, name):
    """Unicode in two forms, line breaks, exactly 255 bytes, names that differ in case alone: each keeps its answer."""
    probe = Source(name, tmp_path / "probe", ("zz",))
    endings = [len(file.name) - 2 for file in probe.path.rglob("zz*")]
    room = LONGEST - max(endings, default=len(".png"))
    wide = "\u6f22" * (room // 3) + "x" * (room % 3)
    stems = [*ODD, "x" * room, wide]
    source = Source(name, tmp_path / "odd", stems)
    if endings:
        assert sorted(len(os.fsencode(file.name)) for file in source.path.rglob("*"))[-2:] == [LONGEST] * 2
    plain = Source(name, tmp_path / "plain", [f"n{number:03}" for number in range(len(stems))])
    assert source.pairs() == plain.pairs()
    assert len(source.pairs()) >= len(stems)


@every_adapter
def test_pairs_are_made_by_key(tmp_path, name):
    """Whatever order rows and files stand in: each picture keeps its own label, mask, boxes, turns or template."""
    in_order, shuffled = (Source(name, tmp_path / stems, tuple(stems)) for stems in ("abc", "cab"))
    whole = in_order.pairs()
    assert whole == shuffled.pairs()
    answers = set(map(str, whole.values()))
    assert len(answers) >= (2 if FACTS[name].joins.startswith("nothing") else 3)


@pytest.mark.parametrize("name", [name for name in NAMES if FACTS[name].image])
def test_without_one_image_the_others_keep_their_own(tmp_path, name):
    """Who paired sorted lists by position would hand on the label of the one that is missing."""
    source = Source(name, tmp_path)
    whole = source.pairs()
    (source.path / FACTS[name].image.format("a")).unlink(missing_ok=name == "image_folder")
    (source.path / "cut" / "a.png").unlink(missing_ok=True)
    told = list(source.told())
    left = source.pairs(sound=False)
    assert left.items() < whole.items()
    assert len(left) == len(whole) - 1
    assert told or name == "image_folder"
