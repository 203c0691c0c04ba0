"""One contract over every file in data_adapters/: add a maker of a small source to tests/adapters/sources.py."""

import dataclasses

import pytest
from adapters.sources import ALL as SOURCES

from finetune import named, pixels
from finetune.errors import ConfigError, DataError
from finetune.example import BadRow, Example


def test_every_adapter_has_a_source_here():
    assert named.names("adapter") == sorted(SOURCES)


@pytest.fixture(params=sorted(SOURCES))
def opened(request, tmp_path):
    source, run = tmp_path / "source", tmp_path / "run"
    source.mkdir()
    (run / "images").mkdir(parents=True)
    path, options = SOURCES[request.param](source)
    adapter = named.load("adapter", request.param)
    return adapter, path, adapter.Options(**options), run


def test_options_are_frozen_and_documented(opened):
    adapter, _, options, _ = opened
    assert options.__dataclass_params__.frozen
    for field in dataclasses.fields(options):
        assert f"{field.name}: " in adapter.Options.__doc__, field.name


def test_it_yields_examples_that_decode(opened):
    adapter, path, options, run = opened
    examples = list(adapter.read(path, options, run / "images"))
    root = run if adapter.WRITES_IMAGES else adapter.locate(path, options)
    assert len(examples) >= 2
    assert len({example.id for example in examples}) == len(examples)
    for example in examples:
        assert isinstance(example, Example)
        assert example.target or example.boxes is not None
        assert example.group
        assert example.row
        assert all(message.text for message in example.messages)
        for ref in example.images:
            assert pixels.load(root, ref).mode == "RGB"


def test_reading_twice_gives_the_same(opened):
    adapter, path, options, run = opened
    assert list(adapter.read(path, options, run / "images")) == list(adapter.read(path, options, run / "images"))


def test_a_single_image_is_read_by_the_same_rule(opened):
    adapter, path, options, run = opened
    example = next(adapter.read(path, options, run / "images"))
    assert adapter.image(example.images[0].path, options) == example.images[0]


def test_it_writes_only_where_it_says(opened):
    adapter, path, options, run = opened
    before = sorted(path.rglob("*")) if path else []
    list(adapter.read(path, options, run / "images"))
    assert (sorted(path.rglob("*")) if path else []) == before
    assert bool(list(run.rglob("*.png"))) == adapter.WRITES_IMAGES


NEED_NO_FILES = {"synthetic"}
NAMES = [
    "plain",
    "new\nline",
    "tab\tand, 'quote\"",
    "\u00e9",
    "e\u0301",
    "\u6f22\u202e",
    "A",
    "a",
    "=cmd()",
    "-rf",
    "x" * 240,
]


@pytest.mark.parametrize("name", sorted(set(SOURCES) - NEED_NO_FILES))
def test_names_of_every_kind_survive(tmp_path, name):
    """Unicode in two forms, line breaks, 245 bytes, and names that differ in case alone."""
    (tmp_path / "source").mkdir()
    (tmp_path / "images").mkdir()
    path, options = SOURCES[name](tmp_path / "source", NAMES)
    adapter = named.load("adapter", name)
    found = list(adapter.read(path, adapter.Options(**options), tmp_path / "images"))
    assert [row for row in found if isinstance(row, BadRow)] == []
    assert len({row.id for row in found}) == len(found) >= len(NAMES)


def outcome(name, path, options, folder):
    """The rows, or what the user is told."""
    adapter = named.load("adapter", name)
    try:
        return list(adapter.read(path, adapter.Options(**options), folder))
    except (ConfigError, DataError) as error:
        return str(error)


@pytest.mark.parametrize("name", sorted(set(SOURCES) - NEED_NO_FILES))
def test_an_empty_source_is_refused_or_yields_nothing(tmp_path, name):
    (tmp_path / "source").mkdir()
    (tmp_path / "other").mkdir()
    _, options = SOURCES[name](tmp_path / "other", ())
    found = outcome(name, tmp_path / "source", options, tmp_path)
    assert found == [] or "source" in found  # the message names the place


@pytest.mark.parametrize("name", sorted(set(SOURCES) - NEED_NO_FILES))
def test_a_missing_source_says_what_to_give(tmp_path, name):
    _, options = SOURCES[name](tmp_path, ())
    adapter = named.load("adapter", name)
    with pytest.raises(DataError, match=r"data\.path is not given: name the f"):
        list(adapter.read(None, adapter.Options(**options), tmp_path))
    with pytest.raises(DataError, match=r"gone does not exist; expected"):
        list(adapter.read(tmp_path / "gone", adapter.Options(**options), tmp_path))


@pytest.mark.parametrize("name", sorted(set(SOURCES) - NEED_NO_FILES))
def test_a_group_that_does_not_exist_is_told(tmp_path, name):
    """As a configuration error, a missing column, or a reason on every row: never silently one group for all."""
    (tmp_path / "source").mkdir()
    (tmp_path / "images").mkdir()
    path, options = SOURCES[name](tmp_path / "source")
    found = outcome(name, path, options | {"group": "no_such"}, tmp_path / "images")
    reasons = [found] if isinstance(found, str) else [row.reason for row in found if isinstance(row, BadRow)]
    assert len(reasons) == (1 if isinstance(found, str) else len(found))
    assert all("no_such" in reason for reason in reasons)


WRITERS = sorted(name for name in SOURCES if named.load("adapter", name).WRITES_IMAGES)


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_it_streams(tmp_path, name):
    """A generator, which may be left after the first example without a word; by then it has written one picture."""
    (tmp_path / "source").mkdir()
    (tmp_path / "images").mkdir()
    path, options = SOURCES[name](tmp_path / "source")
    adapter = named.load("adapter", name)
    rows = adapter.read(path, adapter.Options(**options), tmp_path / "images")
    assert isinstance(next(rows), Example)
    assert len(list((tmp_path / "images").iterdir())) == (name in WRITERS)
    rows.close()


@pytest.mark.parametrize("name", sorted(set(SOURCES) - NEED_NO_FILES))
def test_a_bad_image_is_told_with_row_and_file(tmp_path, name):
    """The last picture is cut off: found where it is written or looked at, named by row and file."""
    (tmp_path / "source").mkdir()
    (tmp_path / "images").mkdir()
    path, options = SOURCES[name](tmp_path / "source")
    adapter = named.load("adapter", name)
    files = [file for file in sorted((tmp_path / "source").rglob("*")) if file.suffix in (".png", ".dcm", ".nii")]
    files = [file for file in files if "mask" not in file.as_posix()]
    if not files:
        return damaged_container(tmp_path, name, path, options)
    files[-1].write_bytes(files[-1].read_bytes()[:45])
    root = tmp_path if adapter.WRITES_IMAGES else adapter.locate(path, adapter.Options(**options))
    told = []
    for row in adapter.read(path, adapter.Options(**options), tmp_path / "images"):
        if isinstance(row, BadRow):
            told.append(row)
            continue
        try:
            for ref in row.images:
                pixels.load(root, ref)
        except DataError as error:
            told.append(BadRow(row.row, row.images[0].path, str(error)))
    assert told
    assert any(
        files[-1].name in f"{row.row} {row.path} {row.reason}" or row.row.startswith("labels.csv") for row in told
    )
    assert all(row.row and row.reason for row in told)


def damaged_container(tmp_path, name, path, options):
    """A shard or a table that was cut off: an error of the whole file, which names it."""
    (file,) = [file for file in (tmp_path / "source").iterdir() if file.is_file()]
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    found = outcome(name, path, options, tmp_path / "images")
    said = found if isinstance(found, str) else " ".join(f"{row.row} {row.path} {row.reason}" for row in found[-1:])
    assert file.name in said


@pytest.mark.parametrize("name", ["coco", "deeppcb", "image_folder", "masks", "mvtec", "table", "voc", "yolo"])
def test_pairs_are_made_by_key(tmp_path, name):
    """Whatever order files lie in: each item keeps its own label, mask or boxes under other names."""
    found = []
    for names in ("abc", "cab"):
        folder = tmp_path / names
        (folder / "source").mkdir(parents=True)
        path, options = SOURCES[name](folder / "source", tuple(names))
        adapter = named.load("adapter", name)
        own = {}
        for row in adapter.read(path, adapter.Options(**options), folder):
            place, _, file = row.images[0].path.rpartition("/")
            own[place, names.index(file[0])] = (row.target, row.boxes)
        found.append(own)
    assert found[0] == found[1]
    assert len(set(map(str, found[0].values()))) >= 2
