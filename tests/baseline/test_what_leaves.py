"""Pixels leave and nothing else; without permission nothing does, not even a socket."""

import base64
import io
import json
import os
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from baseline import server, small_run
from baseline.small_run import ask, configured
from PIL import Image

from finetune.baseline import images_sent, ledger, live, policy
from finetune.data import example_files
from finetune.errors import EgressError
from finetune.images import decode
from finetune.rundir import sha256_file

OPENED = []
sys.addaudithook(
    lambda event, given: OPENED.append(given[1:]) if event in ("socket.connect", "socket.getaddrinfo") else None
)


def pictures_in(value):
    """Every picture of a request body, whichever wire format."""
    if isinstance(value, list):
        return [found for inner in value for found in pictures_in(inner)]
    if isinstance(value, dict):
        return pictures_in(list(value.values()))
    text = str(value).rpartition("base64,")[2]
    return [base64.urlsafe_b64decode(text.translate(str.maketrans("+/", "-_")))] if len(text) > 300 else []


@pytest.mark.parametrize("way", small_run.WAYS)
def test_only_pixels_and_the_question_arrive(way, run, provider):
    ask(configured(run, provider.url, way), run)
    tests = example_files.read_split(run.parts(0)[0].split("test"))
    for arrived, example in zip(provider.arrived, tests, strict=True):
        (content,) = pictures_in(arrived.json)
        everything = arrived.body + content + json.dumps(arrived.headers).encode() + arrived.path.encode()
        left = [word for word in (*small_run.PLANTED, *small_run.LABELS, example.id) if word.encode() in everything]
        assert left == []
        with Image.open(io.BytesIO(content)) as image:
            assert (image.format, dict(image.info), dict(image.getexif())) == ("PNG", {}, {})
            assert decode.digest([image]) == decode.digest([decode.load(run.data, example.images[0])])
        assert not {name for name in arrived.headers if name.startswith("x-stainless") or name == "user-agent"}


def test_large_pictures_leave_as_bare_jpeg_and_sides_are_limited(monkeypatch):
    image = Image.new("RGB", (64, 32), "red")
    image.info = {"comment": b"DOE-JANE", "exif": b"Exif\0\0DOE-JANE"}
    monkeypatch.setattr(images_sent, "LARGEST_PNG_BYTES", 10)
    sent = images_sent.encode(image, 16)
    assert (sent.media_type, sent.size) == ("image/jpeg", (16, 8))
    assert b"DOE-JANE" not in sent.content
    assert images_sent.scaled(image, 64) is image


def refused(config, run, told):
    OPENED.clear()
    with pytest.raises(EgressError, match=told):
        ask(config, run)
    assert OPENED == []
    assert not (run.eval / ledger.EGRESS).exists()


def test_without_a_policy_file_no_socket_opens(run, provider):
    config = configured(run, provider.url)
    refused(replace(config, baseline=replace(config.baseline, policy=None)), run, "needs a policy file")
    (run.root / "policy.yaml").unlink()
    refused(config, run, "cannot be read")
    assert provider.arrived == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"expires": "2020-01-31"}, "expires: 2020-01-31 is past; ask a test for a new permission"),
        ({"expires": "soon"}, "expires: got 'soon', expected YYYY-MM-DD"),
        ({"endpoint": "https://api.example.org/v1"}, "endpoint: permits https://api.example.org/v1, baseline.base_url"),
        ({"endpoint": "ftp://x"}, "endpoint: permits ftp://x"),
        ({"fields": ["image"]}, "lacks question"),
        ({"fields": ["image", "question", "patient"]}, "'patient' is none of image, question"),
        ({"dataset": "others"}, "about the data set 'others', this run's is 'parts' or 'sha256:"),
        ({"max_images": 5}, "6 pictures would leave, the policy permits 5"),
        ({"max_cost": 3.0}, "sets max_cost: 3, but the price of gpt-4o"),
        ({"max_cost": "much"}, "is no policy"),
        ({"approver": " "}, "approver: is empty"),
        ({"budget": 3}, "policy.budget: there is no such key"),
    ],
)
def test_a_policy_that_does_not_cover_this_opens_no_socket(changes, told, run, provider):
    config = configured(run, provider.url)
    small_run.permit(run, **({"endpoint": provider.url} | changes))
    refused(config, run, told)


def test_network_none_and_worked_examples_need_permission_too(run, provider):
    config = configured(run, provider.url)
    refused(replace(config, network="none"), run, "live calls need network=allow")
    refused(replace(config, baseline=replace(config.baseline, shots=(0, 2))), run, "needs 'examples'")


def test_a_policy_may_name_the_data_by_its_digest(run, provider):
    config = configured(run, provider.url)
    small_run.permit(run, endpoint=provider.url, dataset=f"sha256:{sha256_file(run.manifest)}")
    assert len(ask(config, run)) == 6


@pytest.mark.parametrize(
    ("endpoint", "url", "within"),
    [
        ("https://a.example/v1", "https://a.example/v1/chat", True),
        ("https://a.example", "https://a.example:443/x", True),
        ("https://a.example/v1", "https://a.example/v10", False),
        ("https://a.example", "http://a.example", False),
        ("https://a.example", "https://a.example.evil", False),
        ("https://a.example", "https://a.example:8443", False),
        ("https://a.example", "https://a.example@evil.example/", False),
    ],
)
def test_what_an_endpoint_covers(endpoint, url, within):
    assert policy.covers(endpoint, url) is within


def test_a_request_elsewhere_is_refused_on_the_wire(run, provider, monkeypatch):
    """The SDK takes another address than the policy names, say from its environment."""
    config = configured(run, provider.url, "openai")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    config = replace(config, baseline=replace(config.baseline, base_url=None))
    with pytest.raises(EgressError, match=r"the policy permits http://127.0.0.1:\d+; a request to .* was refused"):
        ask(config, run)
    assert provider.arrived == []


def command(run, *more):
    return [
        *(sys.executable, "-m", "finetune", "record", "recipe=defects", "baseline=openai_compatible"),
        *("baseline.model=m", "baseline.base_url=http://127.0.0.1:9/v1", f"run.dir={run.root}", *more),
    ]


@pytest.mark.slow
@pytest.mark.strace
def test_strace_sees_no_socket_without_a_policy(tmp_path):
    trace = tmp_path / "trace"
    traced = ["strace", "-f", "-e", "trace=%network", "-o", str(trace)]
    done = subprocess.run(
        [*traced, *command(live_run(tmp_path), "network=allow")],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env=os.environ | {"FINETUNE_SEALED": ""},
    )
    assert done.returncode == 6, done.stderr
    assert "needs a policy file" in done.stderr
    assert re.findall(r".*AF_INET.*", trace.read_text(encoding="utf-8")) == []


def live_run(tmp_path):
    from finetune.rundir import RunDir

    return RunDir(tmp_path / "run")


def test_the_ledger_names_what_was_altered(run, provider):
    ask(configured(run, provider.url), run)
    place = run.eval / ledger.EGRESS
    lines = place.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["send", "reply"] * 6
    entry = json.loads(lines[2])
    assert {"time", "endpoint", "body_sha256", "bytes", "images"} <= set(entry)
    place.write_text("\n".join([*lines[:2], json.dumps(entry | {"bytes": 1}), *lines[3:]]) + "\n", encoding="utf-8")
    with pytest.raises(Exception, match="entry 3: the chain is broken"):
        ledger.verify(place)


def test_a_kill_in_the_middle_of_a_line_is_mended(run, provider):
    config = configured(run, provider.url)
    provider.script = [*[server.says("ALPHA")] * 3, server.fails(401)]
    with pytest.raises(Exception, match="refuses the key"):
        ask(config, run)
    for name in (ledger.EGRESS, "rival.replies.jsonl"):
        with (run.eval / name).open("ab") as handle:
            handle.write(b'{"seq": 99, "half a li')
    assert len(ask(config, run)) == 6
    assert len(provider.arrived) == 4 + 3
    told = ledger.summary(run.eval / ledger.EGRESS)
    assert (told["requests"], told["outcomes"]) == (7, {"answered": 6, "key": 1})
    assert live.identity(config, run)["model"] == "gpt-4o"
