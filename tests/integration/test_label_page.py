"""The labelling page as a person uses it: by keys, by touch, with somebody else at it, closed, killed, on a phone."""

import json
import time
import urllib.request
from contextlib import ExitStack

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from rlhf.people import judgements, sharing
from tests.apps.label import made
from tests.integration import browsing
from tests.integration.label_pages import (
    ARABIC,
    CHINESE,
    CODE,
    LONG,
    MARKUP,
    Labeler,
    draft,
    eventually,
    saved,
    settled,
)  # fmt: skip

SPECIAL = [LONG, CODE, ARABIC, CHINESE, MARKUP, "Short.", "A line\n  and an indented one."]


@pytest.fixture
def project(tmp_path):
    """Return a function that makes a project: so many prompts, with other keys of labelers where they are given."""

    def make(count: int = 12, **labelers):
        root = tmp_path / "project"
        root.mkdir()
        return made.project(root, [made.prompt(number, num=4 + number % 3) for number in range(count)], **labelers)

    return make


@pytest.fixture
def served():
    """Return a function that serves a project's page until the test ends."""
    with ExitStack() as stack:
        yield lambda root: stack.enter_context(browsing.serving(root, "-m", "apps.label"))


@pytest.fixture
def people(tmp_path):
    """Return a function that gives a person a browser of their own."""
    with ExitStack() as stack:

        def person(server, name: str | None, *switches: str) -> Labeler:
            driver = stack.enter_context(browsing.chromium(tmp_path / f"profile-{name}-{time.time_ns()}", *switches))
            return Labeler(driver, server.url, name)

        yield person


def test_ten_prompts_are_ranked_by_keys_with_ties_and_undone_across_items(project, served, people, screenshot):
    root = project()
    ada = people(served(root), "ada").open()
    prompts = []
    for number in range(10):
        num = len(ada.answers)
        ranks = [min(index + 1, 3) for index in range(num)] if number % 2 else [*range(num, 0, -1)]
        prompts.append((ada.prompt, ranks))
        ada.rank(ranks)
        ada.submit()
    assert len({prompt for prompt, _ in prompts}) == 10
    lines = saved(root, "ada")
    assert [[line["ranks"][index] for index in line["order"]] for line in lines] == [ranks for _, ranks in prompts]
    assert all(0 < line["seconds"] < 60 for line in lines)

    ada.press("1", "1")
    eleventh = ada.prompt
    ada.press(Keys.BACKSPACE)
    ada.wait(lambda: ada.ranks[:2] == [1, None], "one rank undone")
    ada.press(Keys.BACKSPACE)
    ada.wait(lambda: ada.ranks[0] is None, "both undone")
    for prompt, ranks in reversed(prompts[-3:]):
        ada.back()
        assert (ada.prompt, ada.ranks) == (prompt, ranks)
    assert ada.see("#withdraw")
    screenshot(ada.driver, "label-earlier")
    ada.press("2")
    ada.wait(lambda: ada.ranks[0] == 2, "the first answer marked and ranked anew")
    ada.submit()
    assert ada.prompt == eleventh, "it goes on where it was"
    lines = saved(root, "ada")
    assert len(lines) == 11
    assert lines[-1]["replaces"] == lines[7]["id"]
    assert len(judgements.current(judgements.read(root / "data/labels", "r1"))) == 10
    ada.back()
    ada.press("w")
    ada.wait(lambda: len(saved(root, "ada")) == 12, "taken back")
    assert saved(root, "ada")[-1]["withdrawn"]
    assert ada.errors() == []


def test_two_labelers_at_once_share_what_is_meant_for_both_and_nothing_else(project, served, people, screenshot):
    root = project(8, overlap_share=0.5, overlap_labelers=2)
    server = served(root)
    ada, ben = people(server, "ada").open(), people(server, "ben").open()
    while ada.see("#item") or ben.see("#item"):
        for one in (ada, ben):
            if one.see("#item"):
                one.rank([*range(1, len(one.answers) + 1)])
                one.submit()
    by = {name: {line["prompt"] for line in saved(root, name)} for name in ("ada", "ben")}
    meant = {f"p{number}" for number in range(8) if sharing.wanted(f"p{number}", 0.5, 2) == 2}
    assert by["ada"] & by["ben"] == meant
    assert by["ada"] | by["ben"] == {f"p{number}" for number in range(8)}
    assert 0 < len(meant) < 8
    ada.press("a")
    ada.wait(lambda: ada.see("#agreement"), "the agreement")
    told = ada.text("#agreement")
    assert "ada" in told and "ben" in told and "%" in told
    assert "Krippendorff's alpha of ranks" in told and "not yet" not in told.split("alpha of ranks")[1].split("\n")[0]
    screenshot(ada.driver, "label-agreement")
    ada.press(Keys.ESCAPE)
    assert "agreement" in ada.text("#how-far")


def test_a_reload_or_another_browser_finds_the_draft(project, served, people):
    root = project()
    server = served(root)
    ada = people(server, "ada").open()
    ada.press("2", "1")
    ada.press("e")
    ada.press(" And more, 再来 ")
    settled(ada)
    prompt, ranks, text = ada.prompt, ada.ranks, ada.script("return document.getElementById('written').value")
    assert text.endswith(" And more, 再来 ")
    ada.driver.refresh()
    ada.ready()
    for page in (ada, people(server, "ada").open()):
        page.wait(lambda page=page: page.prompt == prompt, "the same prompt")
        assert page.ranks == ranks
        assert page.script("return document.getElementById('written').value") == text
        assert page.said.endswith("Your draft is back.")


def test_a_tab_closed_right_after_a_key_loses_nothing(project, served, people):
    root = project()
    ada = people(served(root), "ada").open()
    ada.press("3", "1")
    ada.driver.get("about:blank")
    ada.open()
    assert ada.ranks[:2] == [3, 1]
    assert ada.errors() == []


def test_killed_in_the_middle_and_started_again_it_goes_on(project, served, people):
    root = project()
    server = served(root)
    ada, ben = people(server, "ada").open(), people(server, "ben").open()
    prompt = ada.prompt
    ada.press("1", "2")
    settled(ada)
    server.kill()
    assert draft(root, "ada")["ranks"][:2] == [1, 2]
    ada.press("3")
    ada.wait(lambda: "cannot be reached" in ada.text("#alert"), "that it is away")
    num = len(ada.answers)
    ada.press(*["4"] * (num - 3), Keys.ENTER)  # submitted while nobody hears it
    server.start()
    ada.wait(lambda: saved(root, "ada"), "it was sent again")
    ada.wait(lambda: ada.prompt != prompt and not ada.see("#alert"), "the next prompt")
    assert [[line["ranks"][index] for index in line["order"]] for line in saved(root, "ada")] == [
        [1, 2, 3, *[4] * (num - 3)]
    ]
    assert ada.prompt != ben.prompt, "after a restart each still has their own"
    ben.rank([1] * len(ben.answers))
    ben.submit()
    assert ben.prompt != ada.prompt
    server.kill()
    ada.press("1")
    server.start()
    ada.wait(lambda: draft(root, "ada").get("ranks", [None])[0] == 1, "the key that nobody heard")
    assert server.stop() == 0


def test_flags_ratings_a_better_answer_and_a_skip(project, served, people, screenshot):
    root = project()
    ada = people(served(root), "ada").open()
    ada.press("f")
    ada.wait(lambda: ada.text("#dialog-title") == "Flags of answer A", "the flags of the marked answer")
    ada.press("2", "3", "3")
    screenshot(ada.driver, "label-flags")
    ada.press(Keys.ENTER)
    ada.wait(lambda: ada.texts(".chip") == ["Hallucination: makes things up"], "the chosen flag")
    ada.with_key(Keys.SHIFT, "6")
    ada.press(Keys.ARROW_RIGHT)
    ada.with_key(Keys.SHIFT, "2")
    ada.press("e")
    shown = ada.answers
    assert ada.script("return document.getElementById('written').value") == shown[1]
    ada.press(" Better.", Keys.ESCAPE)
    ada.press(Keys.ARROW_LEFT, *["1"] * len(shown))
    ada.submit()
    ada.press("s")
    ada.wait(lambda: "Skip this prompt" in ada.text("#dialog-title"), "the reasons")
    ada.press("7")
    ada.press("I wrote it myself")
    ada.press(Keys.ENTER)
    ada.wait(lambda: len(saved(root, "ada")) == 2, "skipped")
    ada.wait(lambda: ada.heading_or_item() == "item", "the next")
    before = ada.prompt
    ada.press("n")
    ada.press("A demonstration.")
    ada.press(Keys.ESCAPE)
    ada.press(*["1"] * len(ada.answers))
    ada.press(Keys.ENTER)
    ada.wait(lambda: ada.prompt != before, "the next")
    first, skipped, third = saved(root, "ada")
    order = first["order"]
    assert first["flags"][order[0]] == ["hallucination"]
    assert [first["ratings"][index] for index in order[:3]] == [6, 2, None]
    assert first["written"] == {"text": f"{shown[1]} Better.", "from": order[1]}
    assert skipped["skipped"] == "I wrote it myself"
    assert third["written"] == {"text": "A demonstration.", "from": None}
    assert ada.errors() == []


def test_without_all_ranks_nothing_is_submitted_and_it_says_which(project, served, people):
    root = project()
    ada = people(served(root), "ada").open()
    ada.press("1", Keys.ENTER)
    ada.wait(lambda: ada.text("#alert").startswith("No rank yet: B, C"), "what is missing")
    assert saved(root, "ada") == []
    ada.press("?")
    ada.wait(lambda: ada.see(".keys"), "the keys")
    ada.press("2", Keys.ENTER)
    assert ada.ranks[1] is None, "keys of the page do not reach through a window"


def test_training_comes_first_with_its_feedback(project, served, people, screenshot):
    root = project(2, training="training.jsonl")
    made.write_lines(root / "training.jsonl", [made.prompt(100, ranks=[1, 2, 3, 4], why="**First** is right.")])
    ada = people(served(root), "ada").open()
    assert ada.text("#notice").startswith("Training 1 of 1")
    ada.rank(made.by_text({"answers": ada.answers}))
    ada.press(Keys.ENTER)
    ada.wait(lambda: ada.text("#dialog-title") == "How it went", "the feedback")
    assert "100% of 6 pairs" in ada.text("#dialog-body") and "First" in ada.text("#dialog-body")
    screenshot(ada.driver, "label-feedback")
    ada.press(Keys.ENTER)
    ada.wait(lambda: ada.heading_or_item() == "item" and not ada.see("#notice"), "real work")
    assert saved(root, "ada")[0]["pool"] == "training"


def test_time_in_a_hidden_tab_does_not_count(project, served, people):
    root = project()
    ada = people(served(root), "ada").open()
    hide = "Object.defineProperty(document, 'visibilityState', {value: arguments[0], configurable: true});"
    told = "document.dispatchEvent(new Event('visibilitychange'))"
    ada.script(hide + told, "hidden")
    time.sleep(4)
    ada.script(hide + told, "visible")
    before = time.monotonic()
    ada.rank([1] * len(ada.answers))
    ada.submit()
    seen = time.monotonic() - before
    assert saved(root, "ada")[0]["seconds"] < 3 + seen


def special(root, served, people, *switches):
    file = root / "data/collect_answers/r1/answers.train.jsonl"
    asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": f"{ARABIC}\n\n{MARKUP}"}]
    made.write_lines(file, [made.prompt(0, responses=SPECIAL, messages=asked)])
    return people(served(root), "ada", *switches).open()


def test_whatever_a_text_holds_is_shown_as_it_is(project, served, people, screenshot):
    root = project(1)
    ada = special(root, served, people)
    assert ada.driver.title == "Labelling r1"
    assert ada.driver.find_elements(By.CSS_SELECTOR, "#item img, #item script, #item b:not(.place b)") == []
    by_text = {
        text: ada.driver.find_elements(By.CSS_SELECTOR, ".answer .text")[place]
        for place, text in enumerate(ada.answers)
    }
    assert MARKUP in by_text
    code = ada.driver.find_element(By.CSS_SELECTOR, ".answer pre code")
    assert "    for value in values:\n        result += value" in code.get_property("textContent")
    assert "mono" in code.value_of_css_property("font-family").lower()
    arabic = next(one for text, one in by_text.items() if text.startswith("مرحبا")).find_element(By.TAG_NAME, "p")
    assert arabic.value_of_css_property("direction") == "rtl"
    long = next(one for text, one in by_text.items() if text.startswith("Paragraph 0"))
    assert long.get_property("scrollHeight") > long.get_property("clientHeight")
    assert long.get_attribute("tabindex") == "0", "it scrolls by keys"
    screenshot(ada.driver, "label-special")
    ada.press("x")
    ada.wait(lambda: long.get_property("scrollHeight") == long.get_property("clientHeight"), "the whole text")
    assert "indented" in " ".join(by_text)
    assert ada.errors() == []


NAMES = """
const named = (one) => one.getAttribute('aria-label') || one.textContent.trim() || one.getAttribute('aria-labelledby')
  || one.labels?.[0]?.textContent.trim();
return [...document.querySelectorAll('button, a, input, select, textarea, summary, [role=group], section, progress, dialog[open]')]
  .filter((one) => one.checkVisibility() && !named(one)).map((one) => one.outerHTML);
"""
CONTRAST = """
const canvas = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
const rgba = (text) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data]; };
const light = (rgb) => { const [r, g, b] = rgb.slice(0, 3).map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const ground = (one) => { for (; one; one = one.parentElement) { const found = rgba(getComputedStyle(one).backgroundColor);
  if (found[3] === 255) return found; } return rgba(getComputedStyle(document.documentElement).colorScheme.includes('dark') ? '#121212' : '#fff'); };
const bad = [];
for (const one of document.querySelectorAll('body *')) {
  if (!one.checkVisibility() || one.closest('.quiet, .skip-link, option') || one.disabled) continue;
  if (![...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())) continue;
  const style = getComputedStyle(one), [a, b] = [light(rgba(style.color)), light(ground(one))].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  if (ratio < 4.5) bad.push(`${one.tagName}.${one.className} ${ratio.toFixed(2)} ${one.textContent.slice(0, 30)}`);
}
return bad;
"""
WIDE = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_it_fits_reads_and_is_named_at_any_width_colour_and_language(
    project, served, people, screenshot, width, theme, language
):
    root = project(1)
    ada = special(root, served, people)
    ada.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    ada.driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    )
    if language == "zh":
        ada.click("#menu summary")
        ada.script(
            "const s = document.getElementById('language'); s.value = 'zh'; s.dispatchEvent(new Event('change'))"
        )
        assert ada.script("return document.documentElement.lang") == "zh"
        assert ada.text("#submit-text") == "提交"
        ada.driver.refresh()
        ada.wait(lambda: ada.see("#item") and ada.text("#submit-text") == "提交", "the language is remembered")
    ground = ada.script("return getComputedStyle(document.body).backgroundColor")
    assert ada.script(WIDE) <= 0, "nothing but code scrolls sideways"
    ada.press("1", "2", "2")
    screenshot(ada.driver, f"label-{width}-{theme}-{language}")
    for does in (lambda: None, lambda: ada.press("?"), lambda: ada.press(Keys.ESCAPE, "f"), lambda: ada.press(Keys.ESCAPE, "s"),
                 lambda: ada.press(Keys.ESCAPE, "a"), lambda: ada.press(Keys.ESCAPE, "i"), lambda: ada.press(Keys.ESCAPE, "e")):  # fmt: skip
        does()
        time.sleep(0.2)
        assert ada.script(NAMES) == []
        assert ada.script(CONTRAST) == []
        assert ada.script(WIDE) <= 0
    dark = sum(int(part) for part in ground.removeprefix("rgb(").rstrip(")").split(", ")) < 200
    assert dark == (theme == "dark")
    ada.press(Keys.ESCAPE)
    ada.script("const s = document.getElementById('theme'); s.value = arguments[0]; s.dispatchEvent(new Event('change'))",
               "light" if theme == "dark" else "dark")  # fmt: skip
    assert ada.script("return getComputedStyle(document.body).backgroundColor") != ground
    assert ada.errors() == []


def test_on_a_phone_everything_is_done_by_touch(project, served, people):
    root = project()
    ada = people(served(root), "ada").open()
    ada.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    )
    ada.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})

    def tap(element) -> None:
        ada.script("arguments[0].scrollIntoView({block: 'center'})", element)
        box = ada.script(
            "const b = arguments[0].getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2, b.width, b.height]",
            element,
        )
        assert min(box[2:]) >= 24
        for kind, points in (("touchStart", [{"x": box[0], "y": box[1]}]), ("touchEnd", [])):
            ada.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def button(card: int, group: str, text: str):
        found = ada.driver.find_elements(By.CSS_SELECTOR, ".answer")[card].find_elements(
            By.CSS_SELECTOR, f".{group} button"
        )
        return next(one for one in found if one.text == text)

    num = len(ada.answers)
    for card in range(num):
        tap(button(card, "ranks", str(min(card + 1, 2))))
        ada.wait(lambda card=card: ada.ranks[card] == min(card + 1, 2), "the rank that was touched")
    tap(button(0, "ratings", "7"))
    tap(ada.driver.find_element(By.CSS_SELECTOR, ".answer .flag"))
    ada.wait(lambda: ada.see("#dialog"), "the flags")
    tap(ada.driver.find_element(By.CSS_SELECTOR, "#dialog .choice"))
    tap(ada.driver.find_element(By.CSS_SELECTOR, "#dialog-buttons button"))
    ada.wait(lambda: not ada.see("#dialog"), "closed")
    before = ada.prompt
    tap(ada.driver.find_element(By.ID, "submit"))
    ada.wait(lambda: ada.prompt != before, "the next prompt")
    (line,) = saved(root, "ada")
    order = line["order"]
    assert [line["ranks"][index] for index in order] == [1] + [2] * (num - 1)
    assert line["ratings"][order[0]] == 7
    assert line["flags"][order[0]] == ["fails_instruction"]
    tap(ada.driver.find_element(By.ID, "undo"))
    ada.wait(lambda: ada.prompt == before, "back")


def test_by_tab_and_enter_alone_a_prompt_is_ranked(project, served, people):
    """As a screen reader's user does, whose digits go elsewhere: the focus is seen, and stays where it was used."""
    root = project()
    ada = people(served(root), "ada").open()
    reached = 0
    for _ in range(200):
        ada.press(Keys.TAB)
        focus = ada.driver.switch_to.active_element
        if focus.get_attribute("id") == "submit":
            break
        if focus.get_attribute("aria-label") == "Rank 1":
            ada.press(Keys.ENTER)
            reached += 1
            ada.wait(lambda: ada.ranks.count(1) == reached, "ranked")
            assert ada.driver.switch_to.active_element.get_attribute("aria-label") == "Rank 1"
            assert ada.script(
                "const s = getComputedStyle(document.activeElement); return s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2"
            )
    assert reached == len(ada.answers)
    before = ada.prompt
    ada.press(Keys.ENTER)
    ada.wait(lambda: ada.prompt != before, "submitted by its button")


def test_the_export_is_what_was_said(project, served, people):
    root = project()
    server = served(root)
    ada = people(server, "ada").open()
    for _ in range(2):
        ada.rank([1] * len(ada.answers))
        ada.submit()
    ada.click("#menu summary")
    link = ada.driver.find_element(By.ID, "export").get_property("href")
    cookie = ada.driver.get_cookie("rlhf_labeler")
    asked = urllib.request.Request(link, headers={"cookie": f"rlhf_labeler={cookie['value']}"})
    with urllib.request.urlopen(asked) as answer:
        assert [json.loads(line) for line in answer.read().splitlines()] == saved(root, "ada")
    assert cookie["httpOnly"] and cookie["sameSite"] == "Strict"


def test_nothing_is_asked_of_any_other_place(project, served, people):
    server = served(project())
    ada = people(server, "ada").open()
    ada.rank([1] * len(ada.answers))
    ada.submit()
    asked = ada.script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert len(asked) > 8
    assert [place for place in asked if not place.startswith(server.url)] == []


def test_with_tokens_a_link_says_who_it_is(project, tmp_path, people):
    from apps import tokens

    root = project()
    with pytest.MonkeyPatch.context() as patched:
        shown = []
        patched.setattr("builtins.print", lambda *words, **_: shown.append(" ".join(map(str, words))))
        assert tokens.main(["ada"], root) == 0
    token = shown[0].partition("?token=")[2]
    with browsing.serving(root, "-m", "apps.label") as server:
        nobody = people(server, None)
        nobody.driver.get(server.url)
        assert "a token is wanted" in nobody.text("body")
        nobody.driver.get(f"{server.url}/?token={token}")
        eventually(lambda: nobody.heading_or_item() == "Instructions", "the page")
        nobody.press(Keys.ENTER)
        nobody.ready()
        assert nobody.driver.current_url == f"{server.url}/"
        nobody.rank([1] * len(nobody.answers))
        nobody.submit()
        assert len(saved(root, "ada")) == 1
        assert token not in server.log.read_text()
        server.stop()
        assert token not in server.log.read_text()
