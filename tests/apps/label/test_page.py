"""The page's own files: no markup from texts, nothing inline, nothing from elsewhere, both languages whole."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from apps.label import routes
from apps.serving import static_files
from tests.apps.label import made
from tests.apps.label.made import Person

SCRIPTS = [*routes.STATIC.glob("*.js"), *static_files.SHARED.glob("*.js")]
WORDS = (routes.STATIC / "words.js").read_text(encoding="utf-8")


def keys(language: str) -> set[str]:
    """Return the keys of a language's words."""
    block = re.search(rf"const {language} = \{{(.*?)\n\}};", WORDS, re.DOTALL)
    assert block
    bare = re.sub(r'"(?:[^"\\]|\\.)*"(?=\s*[,\n])', '""', block[1])
    return set(re.findall(r'(?:^|[\s,])"?([a-z][\w.]*)"?:', bare))


def placeholders(language: str) -> dict[str, set[str]]:
    block = re.search(rf"const {language} = \{{(.*?)\n\}};", WORDS, re.DOTALL)
    assert block
    found = re.findall(r'"?([a-z][\w.]*)"?: "((?:[^"\\]|\\.)*)"', block[1])
    return {key: set(re.findall(r"\{(\w+)\}", text)) for key, text in found}


def test_both_languages_have_the_same_words_with_the_same_places():
    assert placeholders("en") == placeholders("zh")
    assert len(placeholders("en")) > 100


def test_every_word_that_is_asked_for_is_there():
    asked = set(re.findall(r'data-t(?:-label)?="(\w+)"', routes.PAGE.read_text(encoding="utf-8")))
    for script in SCRIPTS:
        asked |= set(re.findall(r'\bt\("([\w.]+)"', script.read_text(encoding="utf-8")))
    assert asked <= placeholders("en").keys()
    assert len(asked) > 60


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.name)
def test_no_script_makes_markup_of_text(file: Path):
    text = file.read_text(encoding="utf-8")
    for way in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "Function(",
        "DOMParser",
        "srcdoc",
    ):
        assert way not in text, way
    assert not re.findall(r"https?://", text)


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.ids, self.inline, self.places, self.unnamed = [], [], [], []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.ids += [values["id"]] if "id" in values else []
        self.places += [values[key] for key in ("src", "href") if key in values]
        self.inline += [key for key in values if key.startswith("on") or key == "style"]
        if tag == "style" or (tag == "script" and "src" not in values):
            self.inline.append(tag)


def test_the_page_has_nothing_inline_and_nothing_from_elsewhere():
    page = Page()
    page.feed(routes.PAGE.read_text(encoding="utf-8"))
    assert page.inline == []
    assert all(place.startswith(("/", "#")) and not place.startswith("//") for place in page.places)
    assert len(set(page.ids)) == len(page.ids)
    for script in routes.STATIC.glob("*.js"):
        asked = set(re.findall(r'\$\("([\w-]+)"\)', script.read_text(encoding="utf-8")))
        assert asked <= set(page.ids), script.name


def test_all_files_are_served_and_no_other(tmp_path):
    ada = Person(made.work(made.project(tmp_path, [made.prompt(0)])), None)
    page = ada.client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "unsafe" not in page.headers["content-security-policy"]
    for place in re.findall(r'(?:src|href)="(/[^"]+)"', page.text):
        if not place.startswith("/api/"):
            assert ada.client.get(place).status_code == 200, place
    for script in SCRIPTS:
        for place in re.findall(r'from "(/[^"]+)"', script.read_text(encoding="utf-8")):
            assert ada.client.get(place).headers["content-type"].startswith("text/javascript"), place
    for place in (
        "/static/..%2fpage.html",
        "/static/routes.py",
        "/static/none.js",
        "/shared/..%2f..%2ftokens.py",
        "/x",
    ):
        assert ada.client.get(place).status_code == 404, place


def test_who_asks_is_told_and_nothing_else_of_the_project(tmp_path):
    ada = Person(made.work(made.project(tmp_path, [made.prompt(0)])), "ada")
    found = ada.client.get("/api/me").json()
    assert found["labeler"] == "ada"
    assert found["flags"] == made.FLAGS
    assert found["scale"] == [1, 7]
    assert str(tmp_path) not in str(found)
