import hashlib
import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

from parley.web.pages import FILE_MAX_BYTES, StaticFile, files_of, page_routes

STATIC = Path(__file__).parents[2] / "src" / "parley" / "web" / "static"
PAGES = sorted(path for path in STATIC.glob("*/index.html"))


@pytest.fixture
async def url() -> AsyncIterator[str]:
    app = web.Application()
    app.add_routes(page_routes("captions", "/"))
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


class Tags(HTMLParser):
    """Every tag of a page with its attributes."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


# ---- serving


async def test_the_page_is_at_its_path_and_its_files_beside_it(url: str, http: ClientSession) -> None:
    async with http.get(f"{url}/") as page:
        assert page.status == 200
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "Live captions" in await page.text()
    for file in [*files_of("captions"), *files_of("shared")]:
        folder = "captions" if file in files_of("captions") else "shared"
        if file.name != "index.html":
            async with http.get(f"{url}/static/{folder}/{file.name}") as answer:
                assert await answer.read() == file.content


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("captions/main.js", "text/javascript; charset=utf-8"),
        ("shared/theme.css", "text/css; charset=utf-8"),
        ("shared/icons.svg", "image/svg+xml"),
    ],
)
async def test_each_file_says_what_it_is(url: str, http: ClientSession, name: str, content_type: str) -> None:
    async with http.get(f"{url}/static/{name}") as answer:
        assert answer.headers["Content-Type"] == content_type
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/static/captions/none.js",
        "/static/captions/index.html",
        "/static/captions/..%2fshared%2ftheme.css",
        "/static/captions/%2e%2e/pages.py",
        "/static/package.json",
        "/static/",
    ],
)
async def test_a_name_that_is_not_there_is_not_found(url: str, http: ClientSession, path: str) -> None:
    async with http.get(url + path) as answer:
        assert answer.status == 404


async def test_the_pages_policy_lets_in_nothing_but_its_own_files_and_its_own_server(
    url: str, http: ClientSession
) -> None:
    async with http.get(f"{url}/") as answer:
        host = url.removeprefix("http://")
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
        assert policy == {
            "default-src": "'none'",
            "script-src": "'self'",
            "style-src": "'self'",
            "img-src": "'self'",
            "connect-src": f"'self' ws://{host} wss://{host}",
            "base-uri": "'none'",
            "form-action": "'none'",
            "frame-ancestors": "'none'",
        }
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Permissions-Policy"].startswith("microphone=(self)")


@pytest.mark.parametrize("host", ["evil.test; script-src *", "a b", "x'", "", "a" * 300])
async def test_a_host_that_is_none_does_not_get_into_the_policy(url: str, http: ClientSession, host: str) -> None:
    async with http.get(f"{url}/", headers={"Host": host}) as answer:
        if answer.status == 200:
            assert "connect-src 'self';" in answer.headers["Content-Security-Policy"]
        else:
            assert answer.status == 400


async def test_whoever_has_a_file_is_told_so_and_does_not_get_it_again(url: str, http: ClientSession) -> None:
    async with http.get(f"{url}/static/shared/theme.css") as answer:
        etag, policy = answer.headers["ETag"], answer.headers["Cache-Control"]
        assert not etag.startswith("W/")
        assert policy == "no-cache"
        assert etag.strip('"') == hashlib.sha256(await answer.read()).hexdigest()[:32]
    for tags in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        async with http.get(f"{url}/static/shared/theme.css", headers={"If-None-Match": tags}) as answer:
            assert (answer.status, await answer.read(), answer.headers["ETag"]) == (304, b"", etag)
    for tags in ('"other"', "nonsense"):
        async with http.get(f"{url}/static/shared/theme.css", headers={"If-None-Match": tags}) as answer:
            assert answer.status == 200


async def test_head_has_the_heads_of_get_and_nothing_else(url: str, http: ClientSession) -> None:
    async with http.get(f"{url}/") as whole, http.head(f"{url}/") as head:
        assert (head.status, await head.read()) == (200, b"")
        assert head.headers["ETag"] == whole.headers["ETag"]
        assert head.headers["Content-Length"] == whole.headers["Content-Length"]


async def test_a_page_takes_nothing_but_reading(url: str, http: ClientSession) -> None:
    async with http.post(f"{url}/") as answer:
        assert answer.status == 405


def test_a_page_may_be_at_another_path() -> None:
    paths = [route.path for route in page_routes("captions", "/captions")]
    assert paths == ["/captions", "/static/captions/{file}", "/static/shared/{file}"]


def test_a_folder_that_is_not_there_is_an_error_at_once() -> None:
    with pytest.raises(FileNotFoundError):
        files_of("none")


@pytest.mark.parametrize("name", ["notes.txt", "page.html~", ".hidden"])
def test_a_file_of_another_kind_is_an_error_at_once(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("x")
    with pytest.raises(ValueError, match="of no kind"):
        StaticFile.read(tmp_path / name)


def test_a_file_that_is_too_large_is_an_error_at_once(tmp_path: Path) -> None:
    (tmp_path / "large.js").write_bytes(b" " * (FILE_MAX_BYTES + 1))
    with pytest.raises(ValueError, match="bytes long"):
        StaticFile.read(tmp_path / "large.js")


# ---- what the files are


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.parent.name)
def test_a_page_has_nothing_inline_that_its_policy_forbids(page: Path) -> None:
    for tag, attributes in Tags(page).tags:
        assert tag not in ("style", "base"), tag
        assert "style" not in attributes, attributes
        assert not [name for name in attributes if name.startswith("on")], attributes
        assert tag != "script" or attributes.get("src"), "a script is a file"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.parent.name)
def test_everything_that_a_page_names_is_there(page: Path) -> None:
    named = [
        address.partition("#")
        for tag, attributes in Tags(page).tags
        for name, address in attributes.items()
        if name in ("src", "href") and address and not address.startswith("#") and tag != "a"
    ]
    assert named
    for path, _, fragment in named:
        file = STATIC.parent / path
        assert file.is_file(), path
        if fragment:
            assert f'id="{fragment}"' in file.read_text(encoding="utf-8"), fragment


@pytest.mark.parametrize("file", sorted(STATIC.glob("*/*.js")), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_module_asks_nothing_of_other_servers_and_makes_no_markup_of_text(file: Path) -> None:
    code = file.read_text(encoding="utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", code)
    assert not re.search(r"https?://[a-z0-9]", re.sub(r"https?://www\.w3\.org/", "", code))
    for name in re.findall(r"""(?:from|import) "(\.[^"]+)";""", code):
        assert (file.parent / name).is_file(), name


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.parent.name)
def test_every_button_has_a_name(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for button in re.findall(r"<button\b.*?</button>", text, flags=re.DOTALL):
        words = re.sub(r"<[^>]+>", "", button).strip()
        assert words or 'aria-label="' in button, button


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.parent.name)
def test_no_id_is_given_twice_and_every_reference_has_one(page: Path) -> None:
    tags = Tags(page).tags
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in tags:
        for name in ("aria-labelledby", "aria-describedby", "aria-controls"):
            assert set((attributes.get(name) or "").split()) <= set(ids), attributes


def test_every_element_that_the_captions_page_looks_for_is_there() -> None:
    ids = {attributes.get("id") for _, attributes in Tags(STATIC / "captions" / "index.html").tags}
    wanted = {
        name
        for file in (STATIC / "captions").glob("*.js")
        for name in re.findall(r'byId\("([^"]+)"\)', file.read_text(encoding="utf-8"))
    }
    assert wanted
    assert wanted <= ids


# ---- that it can be read


def _colours() -> dict[str, tuple[str, str]]:
    """The theme's colours, for light and for dark."""
    theme = (STATIC / "shared" / "theme.css").read_text(encoding="utf-8")
    found = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", theme))
    pairs = {name: (value, value) for name, value in found.items()}
    return pairs | {
        name: (light, dark)
        for name, light, dark in re.findall(r"--([a-z-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);", theme)
    }


def _luminance(colour: str) -> float:
    """WCAG 2.2, "relative luminance"."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    brighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("ink", "ground", "least"),
    [
        *[("ink", ground, 13.0) for ground in ("ground", "surface", "surface-raised", "surface-sunken")],
        *[(ink, "ground", 4.5) for ink in ("ink-soft", "ink-faint", "accent", "good", "warn", "bad")],
        *[(ink, "surface", 4.5) for ink in ("ink-soft", "ink-faint", "accent", "good", "warn", "bad")],
        ("ink-soft", "quiet-soft", 4.5),
        ("accent-ink", "accent", 4.5),
        ("accent-ink", "accent-hover", 4.5),
        ("recording-ink", "recording", 4.5),
        ("accent", "accent-soft", 4.5),
        ("good", "good-soft", 4.5),
        ("warn", "warn-soft", 4.5),
        ("bad", "bad-soft", 4.5),
        ("focus", "ground", 3.0),
        ("focus", "surface-raised", 3.0),
    ],
)
def test_text_can_be_told_from_what_it_is_on(ink: str, ground: str, least: float, theme: int) -> None:
    colours = _colours()
    assert _contrast(colours[ink][theme], colours[ground][theme]) >= least
