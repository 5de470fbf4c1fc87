"""The list of endpoints in a settings file: read whole, refused with what to write instead, shown."""

import json
from pathlib import Path

import pytest

from parley.server.settings import view as settings_view
from parley.server.settings.document import EndpointSettings, Settings
from parley.server.settings.sources import Loaded, SettingsError, load

VLLM = 'kind = "vllm"\nurls = ["ws://gpu:8000/v1/realtime"]\n'


def in_file(tmp_path: Path, text: str) -> Loaded:
    path = tmp_path / "parley.toml"
    path.write_text(text)
    return load(environ={}, config=path)


def problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        in_file(tmp_path, text)
    return [problem.message for problem in raised.value.problems]


def entry(text: str = "", name: str = "voxtral") -> str:
    return f'[[endpoints]]\nname = "{name}"\n{text}\n'


def test_without_any_there_are_none() -> None:
    assert Settings().endpoints == ()


def test_a_name_is_all_that_an_entry_needs(tmp_path: Path) -> None:
    (endpoint,) = in_file(tmp_path, entry()).settings.endpoints
    assert endpoint == EndpointSettings(name="voxtral", variant="AllTraffic", kind="parley", weight=1.0)


def test_every_key_is_read(tmp_path: Path) -> None:
    text = entry('variant = "large"\nweight = 3\nmodel = "m"\napi_key_file = "key"\nmax_sessions = 64\n' + VLLM)
    (endpoint,) = in_file(tmp_path, text).settings.endpoints
    assert endpoint == EndpointSettings(
        name="voxtral",
        variant="large",
        weight=3.0,
        kind="vllm",
        urls=("ws://gpu:8000/v1/realtime",),
        model="m",
        api_key_file="key",
        max_sessions=64,
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[[endpoints]]\nvariant = "a"\n', "endpoints, entry 1, name is missing: it is what clients call"),
        (entry("wieght = 2"), "endpoints, entry 1, wieght is not a key of it; did you mean weight?"),
        (entry("weight = -1"), "endpoints, entry 1, weight must be a number from 0, at most 1000, not -1"),
        (entry('weight = "1"'), "endpoints, entry 1, weight must be a number from 0, at most 1000, not 1"),
        (
            entry('kind = "vlm"'),
            "endpoints, entry 1, kind must be one of parley, vllm, container, sagemaker, not vlm",
        ),
        (entry("urls = 3"), "endpoints, entry 1, urls must be a list of at most 64 texts that are not empty"),
        (entry('kind = "vllm"'), "endpoints, entry 1, urls: kind vllm needs at least one"),
        (entry('kind = "container"'), "endpoints, entry 1, urls: kind container needs at least one"),
        (
            entry('urls = ["ws://gpu:8000/v1/realtime"]'),
            "endpoints, entry 1, urls: kind parley takes none (did you mean kind vllm?)",
        ),
        (entry('model = "m"'), "endpoints, entry 1, model: kind parley takes none"),
        (
            entry('kind = "container"\nurls = ["ws://c:8080"]\nmax_sessions = 4'),
            "endpoints, entry 1, max_sessions: kind container takes none",
        ),
        (
            entry('kind = "sagemaker"\nurls = ["sagemaker://e"]\napi_key_file = "k"'),
            "endpoints, entry 1, api_key_file: kind sagemaker takes none",
        ),
        (
            entry('kind = "vllm"\nurls = ["http://gpu:8000"]'),
            "endpoints, entry 1, urls: entry 1 must be the whole WebSocket URL; did you mean "
            "ws://gpu:8000/v1/realtime?",
        ),
        (
            entry('kind = "vllm"\nurls = ["wss://me:hunter2@gpu/v1/realtime"]'),
            "endpoints, entry 1, urls: entry 1 must not hold a user or password; put the key into a file and name it "
            "in the entry's api_key_file",
        ),
        (
            entry('kind = "vllm"\nurls = ["ws://a/v1/realtime", "ws://a/v1/realtime"]'),
            "endpoints, entry 1, urls: a server must not be named twice",
        ),
        (
            entry('kind = "container"\nurls = ["ftp://c"]'),
            "endpoints, entry 1, urls: entry 1 must be the address of a container, such as ws://HOST:8080",
        ),
        (
            entry('kind = "container"\nurls = ["ws://c:port"]'),
            "endpoints, entry 1, urls: entry 1 is not a URL; it looks like ws://HOST:8080",
        ),
        (
            entry('kind = "container"\nurls = ["ws://me:hunter2@c:8080"]'),
            "endpoints, entry 1, urls: entry 1 must not hold a user or password: SageMaker shows a container none",
        ),
        (
            entry('kind = "container"\nurls = ["ws://c:8080?key=hunter2"]'),
            "endpoints, entry 1, urls: entry 1 must be the address of a container alone: query strings come with the "
            "requests",
        ),
        (
            entry('kind = "sagemaker"\nurls = ["ws://e"]'),
            "endpoints, entry 1, urls: entry 1 is no endpoint of SageMaker's. The URL is not one of a SageMaker "
            "endpoint, such as sagemaker://endpoint-name?region=us-east-1; a path goes into ?path=.",
        ),
        (
            entry() + entry(),
            "endpoints name voxtral with variant AllTraffic 2 times; give each its own variant, or put the servers of "
            "all into the urls of one",
        ),
        (
            entry("weight = 0") + entry('weight = 0\nvariant = "b"'),
            "endpoints of the name voxtral all have weight 0; a request that names no variant would find none",
        ),
        (
            "endpoints = 3\n",
            "endpoints is a list of tables: write [[endpoints]], and the keys of each entry below its own",
        ),
        (
            '[endpoints]\nname = "voxtral"\n',
            "endpoints is a list of tables: write [[endpoints]], and the keys of each entry below its own",
        ),
        ('[[endpoint]]\nname = "voxtral"\n', "there is no list of tables [[endpoint]]; did you mean endpoints?"),
        ("[endpoint]\n", "there is no section [endpoint]; did you mean endpoints?"),
    ],
)
def test_an_entry_that_cannot_be_meant_so_is_refused_with_the_fix(tmp_path: Path, text: str, problem: str) -> None:
    assert problems(tmp_path, text) == [problem]
    assert "hunter2" not in problem


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("my_endpoint", "; did you mean my-endpoint?"),
        ("-voxtral-", "; did you mean voxtral?"),
        ("vox tral\\n", "; did you mean vox-tral?"),
        ("voxtral\\n", "; did you mean voxtral?"),
        ("v" * 64, f"; did you mean {'v' * 63}?"),
        ("", ""),
        ("___", ""),
        ("ß", ""),
    ],
)
def test_a_name_that_sagemaker_would_not_take_is_refused_with_the_nearest_that_it_would(
    tmp_path: Path, name: str, meant: str
) -> None:
    (problem,) = problems(tmp_path, entry(name=name))
    expected = "name must be 1 to 63 letters, digits and hyphens, with no hyphen at either end"
    assert problem.startswith(f"endpoints, entry 1, {expected}")
    assert problem.endswith(meant)
    assert ("did you mean" in problem) is bool(meant)


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "[[endpoints]]\nname = 3\n")
    assert problem.endswith("with no hyphen at either end, not 3")


@pytest.mark.parametrize("name", ["a", "0", "a--b", "Voxtral-4B", "a" * 63])
def test_every_name_that_sagemaker_takes_is_taken(tmp_path: Path, name: str) -> None:
    (endpoint,) = in_file(tmp_path, entry(name=name)).settings.endpoints
    assert endpoint.name == name


@pytest.mark.parametrize("variant", ["under_score", ""])
def test_a_variants_name_is_held_to_the_same(tmp_path: Path, variant: str) -> None:
    (problem,) = problems(tmp_path, entry(f'variant = "{variant}"'))
    assert problem.startswith("endpoints, entry 1, variant must be 1 to 63 letters")


def test_names_differ_by_their_case_as_on_sagemaker(tmp_path: Path) -> None:
    assert len(in_file(tmp_path, entry(name="a") + entry(name="A")).settings.endpoints) == 2


@pytest.mark.parametrize(
    "urls",
    [
        ("ws://c:8080",),
        ("http://c:8080/", "https://d"),
        ("ws://[::1]:8080/behind/a/prefix",),
        ("ws://c/invocations-bidirectional-stream",),
    ],
)
def test_containers_are_named_by_their_addresses(tmp_path: Path, urls: tuple[str, ...]) -> None:
    (endpoint,) = in_file(tmp_path, entry(f'kind = "container"\nurls = {json.dumps(urls)}')).settings.endpoints
    assert endpoint.urls == urls


@pytest.mark.parametrize(
    "url", ["sagemaker://voxtral", "sagemaker://Voxtral?variant=b&region=eu-central-1&path=v1/realtime"]
)
def test_endpoints_of_sagemaker_are_named_by_their_names(tmp_path: Path, url: str) -> None:
    (endpoint,) = in_file(tmp_path, entry(f'kind = "sagemaker"\nurls = ["{url}"]')).settings.endpoints
    assert endpoint.urls == (url,)


@pytest.mark.parametrize(
    "url",
    [
        "sagemaker://",
        "sagemaker:voxtral",
        "sagemaker://voxtral/path",
        "sagemaker://voxtral:8443",
        "sagemaker://me@voxtral",
        "sagemaker://voxtral?variant=",
        "sagemaker://voxtral?variants=b",
        "sagemaker://voxtral?variant",
        "sagemaker://voxtral?region=mars",
        "sagemaker://voxtral#x",
        "sagemaker://my_endpoint",
        "sagemaker://[",
    ],
)
def test_what_names_no_endpoint_of_sagemaker_is_refused(tmp_path: Path, url: str) -> None:
    (problem,) = problems(tmp_path, entry(f'kind = "sagemaker"\nurls = ["{url}"]'))
    assert problem.startswith("endpoints, entry 1, urls: entry 1 is no endpoint of SageMaker's. ")


def test_an_endpoint_of_sagemaker_may_be_the_nodes_own_model_server_too() -> None:
    environ = {"PARLEY_UPSTREAM_URL": "sagemaker://voxtral?region=us-east-1"}
    assert load(environ=environ).settings.upstream.url == "sagemaker://voxtral?region=us-east-1"


def test_problems_of_all_entries_are_told_at_once(tmp_path: Path) -> None:
    found = problems(tmp_path, entry("weigth = 1") + entry('kind = "vllm"', name="b") + entry(name="c_d"))
    assert [problem.partition(", ")[2][:7] for problem in found] == ["entry 1", "entry 2", "entry 3"]


def test_there_is_a_bound_on_their_number(tmp_path: Path) -> None:
    text = "".join(entry(name=f"e{number}") for number in range(257))
    assert problems(tmp_path, text) == ["endpoints has 257 entries; at most 256 are taken"]


@pytest.mark.parametrize("assignment", ["endpoints.name=x", "endpoints=x", "endpoints[0].name=x"])
def test_an_option_cannot_set_them_and_says_what_can(assignment: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load(environ={}, assignments=[assignment])
    (problem,) = raised.value.problems
    assert problem.message == "endpoints come from the file alone: write [[endpoints]] there, and the keys below it"


def test_a_variable_cannot_either() -> None:
    with pytest.raises(SettingsError, match="env PARLEY_ENDPOINTS_NAME: endpoints come from the file alone"):
        load(environ={"PARLEY_ENDPOINTS_NAME": "x"})


# ---- whether the node's own sessions are wanted

CONTAINER = entry('kind = "container"\nurls = ["ws://c:8080"]')
HTTP2 = "[http2]\nenabled = true\n"


@pytest.mark.parametrize(
    ("text", "is_embedded"),
    [
        (HTTP2, True),
        (HTTP2 + entry(), True),
        (HTTP2 + entry() + CONTAINER.replace("voxtral", "other"), True),
        (HTTP2 + CONTAINER, False),
        (HTTP2 + entry(VLLM), False),
        # Endpoints that nobody can reach take the place of nothing.
        (CONTAINER, True),
    ],
)
def test_no_engine_runs_beside_endpoints_that_are_all_served_elsewhere(
    tmp_path: Path, text: str, is_embedded: bool
) -> None:
    settings = in_file(tmp_path, text).settings
    assert settings.embeds_engine is is_embedded
    assert settings.has_own_sessions is is_embedded


def test_a_model_server_that_is_named_is_used_beside_them(tmp_path: Path) -> None:
    settings = in_file(tmp_path, HTTP2 + '[upstream]\nurl = "ws://gpu:8000/v1/realtime"\n' + CONTAINER).settings
    assert (settings.has_own_sessions, settings.embeds_engine) == (True, False)


# ---- the listing


def test_a_listing_shows_each_key_of_each_entry_with_its_origin(tmp_path: Path) -> None:
    loaded = in_file(tmp_path, entry() + entry(VLLM, name="other"))
    lines = [line.split() for line in settings_view.as_text(loaded).splitlines()]
    shown = {line[0]: (line[1], line[2]) for line in lines if line[0].startswith("endpoints")}
    assert shown["endpoints[1].name"] == ('"voxtral"', "file")
    assert shown["endpoints[2].kind"] == ('"vllm"', "file")
    assert len(shown) == 16


def test_the_json_listing_holds_them_as_one_list(tmp_path: Path) -> None:
    listing = json.loads(settings_view.as_json(in_file(tmp_path, entry(VLLM))))
    (endpoint,) = listing["endpoints"]["value"]
    assert (endpoint["name"], endpoint["urls"]) == ("voxtral", ["ws://gpu:8000/v1/realtime"])
    assert listing["endpoints"]["origin"].startswith("file ")


def test_a_listing_without_any_says_so() -> None:
    lines = settings_view.as_text(load(environ={})).splitlines()
    assert ["endpoints", "[]", "default"] in [line.split() for line in lines]


def test_a_listing_shows_no_key_of_any_entry(tmp_path: Path) -> None:
    text = entry('kind = "vllm"\nurls = ["wss://gpu/v1/realtime?key=hunter2"]')
    loaded = in_file(tmp_path, text)
    assert "hunter2" not in settings_view.as_text(loaded) + settings_view.as_json(loaded)
