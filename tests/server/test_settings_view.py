import json
import re
from pathlib import Path

import pytest

from parley.server.settings import view as settings_view
from parley.server.settings.document import KEYS, TABLES, EndpointSettings, Settings, TenantSettings, UpstreamEntry
from parley.server.settings.sources import load

DOCS = Path(__file__).parents[2] / "docs"


def test_every_setting_is_a_line_with_its_value_and_origin() -> None:
    lines = settings_view.as_text(load(environ={"PARLEY_SERVER_PORT": "9000"})).splitlines()
    assert [line.split()[0] for line in lines] == [*KEYS, *TABLES]
    assert next(line for line in lines if line.startswith("server.port ")).split() == [
        "server.port",
        "9000",
        "env",
        "PARLEY_SERVER_PORT",
    ]


def test_the_json_listing_holds_values_as_they_are() -> None:
    listing = json.loads(settings_view.as_json(load(environ={})))
    assert listing["server.port"] == {"value": 8080, "origin": "default"}
    assert list(listing) == [*KEYS, *TABLES]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("vllm serve m --api-key hunter2 --port 1", "vllm serve m --api-key *** --port 1"),
        ("vllm serve m --api-key hunter2 hunter3 --port 1", "vllm serve m --api-key *** --port 1"),
        ("vllm serve m --api-key=hunter2", "vllm serve m --api-key=***"),
        ("vllm serve m --api-key 'hunter2 hunter3'", "vllm serve m --api-key ***"),
        ("env HF_TOKEN=hunter2 vllm serve m", "env HF_TOKEN=*** vllm serve m"),
        ("sh -c 'HF_TOKEN=hunter2 exec vllm'", "sh -c 'HF_TOKEN=*** exec vllm'"),
        ("wss://gpu/v1/realtime?key=hunter2&x=1", "wss://gpu/v1/realtime?key=***&x=1"),
        ("vllm serve m --max-num-batched-tokens 8192", "vllm serve m --max-num-batched-tokens 8192"),
        ("vllm serve m --tokenizer-mode mistral", "vllm serve m --tokenizer-mode mistral"),
    ],
)
def test_keys_and_tokens_are_not_shown(text: str, shown: str) -> None:
    assert settings_view.redacted(text) == shown


def test_a_listed_command_shows_no_key() -> None:
    loaded = load(environ={"PARLEY_LAUNCH_COMMAND": "vllm serve m --api-key hunter2"})
    assert "hunter2" not in settings_view.as_text(loaded) + settings_view.as_json(loaded)


def test_the_docs_list_every_setting_as_the_code_has_it() -> None:
    # To write it anew: python scripts/settings_page.py
    text = (DOCS / "configuration.md").read_text()
    _, _, rest = text.partition("<!-- settings: begin -->\n")
    table, _, _ = rest.partition("<!-- settings: end -->")
    assert table.strip() == settings_view.as_markdown().strip()


def test_the_example_file_loads() -> None:
    assert load(environ={}, config=DOCS / "parley.example.toml").settings.upstream.url


def test_the_example_files_commented_values_are_the_defaults(tmp_path: Path) -> None:
    # Every line that is a commented-out setting is put in force, in place of those the example does set.
    text = (DOCS / "parley.example.toml").read_text()
    active = "\n".join(
        line.removeprefix("# ") if re.match(r"# \w+ = ", line) else line
        for line in text.splitlines()
        if line.startswith("[") or re.match(r"# \w+ = ", line)
    )
    path = tmp_path / "all.toml"
    path.write_text(active)
    loaded = load(environ={}, config=path)
    assert loaded.settings == Settings()
    assert len([origin for origin in loaded.origins.values() if origin != "default"]) > 20


def test_the_example_file_names_every_setting() -> None:
    text = (DOCS / "parley.example.toml").read_text()
    sections = re.split(r"^\[(\w+)\]$", text, flags=re.MULTILINE)[1:]
    named = {
        f"{section}.{name}"
        for section, body in zip(sections[::2], sections[1::2], strict=True)
        for name in re.findall(r"^(?:# )?(\w+) = ", body, flags=re.MULTILINE)
    }
    assert named == set(KEYS)


@pytest.mark.parametrize(
    ("table", "entry"),
    [
        ("endpoints", EndpointSettings(name="voxtral")),
        ("tenants", TenantSettings(name="call-centre", access_keys=("AKIAEXAMPLE",))),
        ("upstreams", UpstreamEntry(url="ws://gpu-1:8000/v1/realtime")),
    ],
)
def test_the_example_files_tables_have_every_key_and_the_defaults(tmp_path: Path, table: str, entry: object) -> None:
    text = (DOCS / "parley.example.toml").read_text()
    path = tmp_path / "tables.toml"
    _, _, rest = text.partition(f"#     [[{table}]]\n")
    lines, _, _ = rest.partition("\n\n")
    path.write_text("\n".join([f"[[{table}]]", *re.findall(r"^#     (.*)$", lines, flags=re.MULTILINE)]))
    assert getattr(load(environ={}, config=path).settings, table) == (entry,)
    assert re.findall(r"^(\w+) = ", path.read_text(), flags=re.MULTILINE) == list(TABLES[table])
