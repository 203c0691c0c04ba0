"""The policy file: what it says, what it covers, and every way in which it permits nothing."""

import datetime
from dataclasses import replace

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from finetune.baseline import policy
from finetune.baseline.policy import Policy, Prices
from finetune.config.schema import BaselineConfig, Config, DataConfig
from finetune.errors import EgressError

GIVEN = {
    "endpoint": "https://api.example.org/v1",
    "dataset": "parts",
    "fields": ["image", "question"],
    "max_images": 100,
    "max_cost": 5.0,
    "expires": "2999-12-31",
    "approver": "Q. Manager",
}


@pytest.fixture
def loading(tmp_path):
    """Loads a policy of these keys for a live baseline; None takes a key away."""

    def load(baseline=None, network="allow", **changes):
        file = tmp_path / "policy.yaml"
        keys = {name: value for name, value in (GIVEN | changes).items() if value is not None}
        file.write_text(yaml.safe_dump(keys), encoding="utf-8")
        usual = BaselineConfig("openai_compatible", "gpt", model="m", base_url="https://api.example.org/v1")
        asked = replace(baseline or usual, policy=str(file))
        return policy.load(replace(Config(), network=network, baseline=asked))

    return load


def test_a_whole_policy_is_read(loading):
    found = loading(prices={"input_per_million": 2, "output_per_million": 8.5})
    assert found == Policy(
        "https://api.example.org/v1",
        *("parts", ("image", "question"), 100, 5.0, "2999-12-31", "Q. Manager"),
        Prices(2.0, 8.5),
    )
    assert found.address == ("api.example.org", 443)


def test_a_date_without_quotes_is_a_date(loading):
    assert loading(expires=datetime.date(2999, 12, 31)).expires == "2999-12-31"


def test_the_last_day_is_still_permitted(loading):
    today = datetime.datetime.now(datetime.UTC).date()
    assert loading(expires=today.isoformat()).expires == today.isoformat()
    with pytest.raises(EgressError, match=r"is past; ask Q\. Manager"):
        loading(expires=(today - datetime.timedelta(days=2)).isoformat())


@pytest.mark.parametrize("missing", GIVEN)
def test_every_key_is_required(loading, missing):
    with pytest.raises(EgressError, match=rf"nothing was sent:\npolicy\.{missing}: is required"):
        loading(**{missing: None})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"max_cost": float("nan")}, "max_cost: got nan, expected an amount or unmetered"),
        ({"max_cost": float("inf")}, "max_cost: got inf"),
        ({"max_cost": -0.01}, "max_cost: got -0.01"),
        ({"max_cost": "free"}, "is no policy"),
        ({"max_cost": True}, "is no policy"),
        ({"max_images": 0}, "max_images: got 0, expected 1 or more"),
        ({"max_images": -5}, "max_images: got -5"),
        ({"max_images": 2.5}, "is no policy"),
        ({"prices": {"input_per_million": -1, "output_per_million": 1}}, "prices: got -1.0 and 1.0, expected amounts"),
        ({"prices": {"input_per_million": 1, "output_per_million": float("nan")}}, "prices: got 1.0 and nan"),
        ({"prices": {"input_per_million": 1}}, r"policy\.prices\.output_per_million: is required"),
        ({"fields": []}, "lacks image, without which nothing can be asked"),
        ({"fields": "image"}, "is no policy"),
        ({"approver": ""}, "approver: is empty"),
        ({"expires": "31.12.2999"}, r"got '31\.12\.2999', expected YYYY-MM-DD"),
        ({"expires": 2999}, "is no policy"),
        ({"endpoint": "https://api.example.org:99999/v1"}, r"endpoint: permits https://api\.example\.org:99999/v1"),
    ],
)
def test_limits_that_limit_nothing_are_refused(loading, changes, told):
    with pytest.raises(EgressError, match=told):
        loading(**changes)


def test_no_price_is_needed_where_nothing_is_billed(loading):
    assert loading(max_cost="unmetered").max_cost == "unmetered"
    assert loading(max_cost=0).max_cost == 0.0


def test_all_mistakes_are_listed_at_once(loading):
    with pytest.raises(EgressError) as error:
        loading(network="none", approver=" ", max_images=0, expires="2001-01-01", fields=["image", "gold"])
    told = str(error.value)
    assert told.count("\n") == 6
    for words in ("network=none", "approver", "max_images", "2001-01-01", "'gold' is none of", "lacks question"):
        assert words in told


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"endpoint: [", "is no policy"),
        (b"\xff\xfe\x00", "is no policy"),
        (b"", "expected keys and values"),
        (b"- endpoint", "expected keys and values"),
        (b"!!python/object/apply:os.system ['true']", "is no policy"),
    ],
)
def test_what_is_no_policy_permits_nothing(tmp_path, content, told):
    file = tmp_path / "policy.yaml"
    file.write_bytes(content)
    baseline = BaselineConfig("any_llm", "gpt", model="openai/m", policy=str(file))
    with pytest.raises(EgressError, match=told):
        policy.load(replace(Config(), network="allow", baseline=baseline))


def test_worked_examples_hold_answers_and_need_their_own_word(loading):
    asked = BaselineConfig("any_llm", "gpt", model="openai/m", shots=(0, 3))
    with pytest.raises(EgressError, match="sends training pictures with their answers, which needs 'examples'"):
        loading(baseline=asked)
    assert "examples" in loading(baseline=asked, fields=["image", "question", "examples"]).fields


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://api.example.org", ("api.example.org", 443)),
        ("http://localhost/v1", ("localhost", 80)),
        ("http://localhost:8000/v1", ("localhost", 8000)),
        ("https://[2001:db8::1]:8443/", ("2001:db8::1", 8443)),
        ("HTTPS://API.Example.ORG/", ("api.example.org", 443)),
        ("https://name:word@api.example.org/", ("api.example.org", 443)),
    ],
)
def test_host_and_port_of_an_endpoint(url, found):
    assert policy.address(url) == found


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.example.org",
        "ftp://a",
        "https://",
        "https:///v1",
        "http://a:word",
        "http://a:65536",
        "http://[::1",
        "http://a:0",
    ],
)
def test_what_is_no_endpoint_is_said(url):
    with pytest.raises(EgressError, match="expected https://HOST/PATH or http://HOST:PORT/PATH"):
        policy.address(url)
    assert not policy.covers(url, "https://a.example/v1")
    assert not policy.covers("https://a.example", url)


@pytest.mark.parametrize(
    ("endpoint", "url", "within"),
    [
        ("https://a.example/v1/", "https://a.example/v1", True),
        ("https://a.example/", "https://a.example", True),
        ("https://a.example/v1", "https://A.EXAMPLE/v1/messages", True),
        ("http://a.example:80", "http://a.example/x", True),
        ("https://a.example/v1", "https://a.example/V1/x", False),
        ("https://a.example/v1", "https://a.example/", False),
        ("https://a.example/v1", "https://a.example/v1/../admin", False),
        ("https://a.example/v1", "https://a.example/v1/%2e%2E/admin", False),
        ("https://a.example/v1", "https://a.example/v1/..%2fadmin", False),
        ("https://a.example/v1", "https://a.example/v1/..%5cadmin", False),
        ("https://a.example/v1", "https://a.example/v1/v2..v3", True),
        ("https://a.example", "https://b.a.example", False),
        ("https://a.example", "https://a.example\\@evil.example/", False),
        ("https://127.0.0.1:9", "https://127.0.0.1:90", False),
    ],
)
def test_coverage(endpoint, url, within):
    assert policy.covers(endpoint, url) is within


@given(st.text())
@example("http://[")
@example("https://a:b:c")
def test_no_text_breaks_the_check_of_coverage(url):
    assert policy.covers("https://a.example/v1", url) in (True, False)
    assert not policy.covers("https://a.example/v1", "https://evil.example/" + url.replace("@", ""))


PERMITTED = Policy("https://a", "parts", ("image", "question"), 5, "unmetered", "2999-01-01", "Q. Manager")


def test_the_data_must_be_the_permitted_data():
    policy.check_data(PERMITTED, ["parts", "sha256:00"], 5)
    with pytest.raises(
        EgressError, match=r"data set 'parts', this run's is 'welds' or 'sha256:00'\. .* ask Q\. Manager"
    ):
        policy.check_data(PERMITTED, ["welds", "sha256:00"], 5)
    with pytest.raises(EgressError, match="6 pictures would leave, the policy permits 5"):
        policy.check_data(PERMITTED, ["parts"], 6)
    with pytest.raises(EgressError, match="about the data set"):
        policy.check_data(PERMITTED, [], 1)


@pytest.mark.parametrize(
    ("kind", "stages", "models", "expected"),
    [
        ("any_llm", ("evaluate",), ("tuned", "gpt"), True),
        ("openai_compatible", ("prepare", "evaluate"), ("gpt",), True),
        ("recorded", ("evaluate",), ("gpt",), False),
        ("none", ("evaluate",), ("tuned",), False),
        ("any_llm", ("prepare", "train"), ("gpt",), False),
        ("any_llm", ("evaluate",), ("tuned",), False),
    ],
)
def test_which_runs_ask_a_foreign_endpoint(kind, stages, models, expected):
    usual = Config()
    config = replace(
        usual,
        stages=stages,
        data=DataConfig(),
        baseline=BaselineConfig(kind, "gpt"),
        evaluate=replace(usual.evaluate, models=models),
    )
    assert policy.asks(config) is expected


def test_restricted_data_go_to_no_live_baseline(tmp_path):
    file = tmp_path / "policy.yaml"
    file.write_text(yaml.safe_dump(GIVEN), encoding="utf-8")
    asked = BaselineConfig("openai_compatible", "gpt", model="m", policy=str(file))
    made = replace(Config(), network="allow", baseline=asked, data=DataConfig(sensitivity="restricted"))
    with pytest.raises(EgressError, match=r"sensitivity=restricted: .* no live baseline"):
        policy.load(made)


def test_plain_http_stays_on_this_machine(loading):
    far = BaselineConfig("openai_compatible", model="m", base_url="http://api.example.org/v1")
    with pytest.raises(EgressError, match=r"http://api\.example\.org/v1 is not encrypted"):
        loading(far, endpoint="http://api.example.org/v1")
    near = BaselineConfig("openai_compatible", model="m", base_url="http://127.0.0.1:8000/v1")
    assert loading(near, endpoint="http://127.0.0.1:8000/v1").address == ("127.0.0.1", 8000)


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "SSH_KEY", "HOME", "DB_PASSWORD", "lower_api_key"])
def test_no_other_variable_is_sent_as_a_key(loading, name):
    usual = BaselineConfig("openai_compatible", model="m", base_url="https://api.example.org/v1")
    with pytest.raises(EgressError, match=f"'{name}' is not the name of a key"):
        loading(replace(usual, api_key_env=name))
    assert loading(replace(usual, api_key_env="OPENAI_API_KEY"))
