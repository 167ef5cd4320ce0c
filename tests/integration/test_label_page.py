"""The labelling page as a person uses it: by keys, by touch, with somebody else at it, closed, killed, on a phone."""

import json
import time
import urllib.request

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from rlhf.people import judgements, sharing
from tests.apps.label import made
from tests.integration import browsing
from tests.integration.label_pages import (
    draft,
    eventually,
    new_token,
    saved,
    settled,
)  # fmt: skip


def test_ten_prompts_are_ranked_by_keys_with_ties_and_undone_across_items(
    label_project, label_served, labelers, screenshot
):
    root = label_project()
    ada = labelers(label_served(root), "ada").open()
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


def test_two_labelers_at_once_share_what_is_meant_for_both_and_nothing_else(
    label_project, label_served, labelers, screenshot
):
    root = label_project(8, overlap_share=0.5, overlap_labelers=2)
    server = label_served(root)
    ada, ben = labelers(server, "ada").open(), labelers(server, "ben").open()
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


def test_a_reload_or_another_browser_finds_the_draft(label_project, label_served, labelers):
    root = label_project()
    server = label_served(root)
    ada = labelers(server, "ada").open()
    ada.press("2", "1")
    ada.press("e")
    ada.press(" And more, 再来 ")
    settled(ada)
    prompt, ranks, text = ada.prompt, ada.ranks, ada.script("return document.getElementById('written').value")
    assert text.endswith(" And more, 再来 ")
    ada.driver.refresh()
    ada.ready()
    for page in (ada, labelers(server, "ada").open()):
        page.wait(lambda page=page: page.prompt == prompt, "the same prompt")
        assert page.ranks == ranks
        assert page.script("return document.getElementById('written').value") == text
        assert page.said.endswith("Your draft is back.")


def test_a_tab_closed_right_after_a_key_loses_nothing(label_project, label_served, labelers):
    root = label_project()
    server = label_served(root)
    ada = labelers(server, "ada").open()
    ada.press("3", "1")
    ada.driver.get("about:blank")
    elsewhere = labelers(server, "ada").open()
    assert elsewhere.ranks[:2] == [3, 1], "the server heard it when the page went"
    ada.open()
    ada.press("4")
    server.kill()
    ada.press("2")
    ada.driver.get("about:blank")
    server.start()
    ada.open()
    assert ada.ranks[:4] == [3, 1, 4, 2], "nobody but this browser heard the last one"
    settled(ada)
    assert draft(root, "ada")["ranks"][:4] == [3, 1, 4, 2]


def test_killed_in_the_middle_and_started_again_it_goes_on(label_project, label_served, labelers):
    root = label_project()
    server = label_served(root)
    ada, ben = labelers(server, "ada").open(), labelers(server, "ben").open()
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


def test_flags_ratings_a_better_answer_and_a_skip(label_project, label_served, labelers, screenshot):
    root = label_project()
    ada = labelers(label_served(root), "ada").open()
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


def test_without_all_ranks_nothing_is_submitted_and_it_says_which(label_project, label_served, labelers):
    root = label_project()
    ada = labelers(label_served(root), "ada").open()
    ada.press("1", Keys.ENTER)
    ada.wait(lambda: ada.text("#alert").startswith("No rank yet: B, C"), "what is missing")
    assert saved(root, "ada") == []
    ada.press("?")
    ada.wait(lambda: ada.see(".keys"), "the keys")
    ada.press("2", Keys.ENTER)
    assert ada.ranks[1] is None, "keys of the page do not reach through a window"


def test_after_the_mouse_keys_do_what_they_did(label_project, label_served, labelers):
    root = label_project()
    ada = labelers(label_served(root), "ada").open()
    num = len(ada.answers)
    for card in range(num):
        ada.driver.find_elements("css selector", ".answer")[card].find_elements("css selector", ".ranks button")[
            0
        ].click()
    ada.click("#show-help")
    ada.wait(lambda: ada.see(".keys"), "the keys")
    ada.press(Keys.ESCAPE)
    ada.click("#menu summary")
    ada.press(Keys.ESCAPE)
    assert not ada.see("#menu .menu")
    ada.click(".ratings button", 4)
    ada.submit()
    (line,) = saved(root, "ada")
    assert line["ranks"] == [1] * num
    assert sum(rating is not None for rating in line["ratings"]) == 1


def test_training_comes_first_with_its_feedback(label_project, label_served, labelers, screenshot):
    root = label_project(2, training="training.jsonl")
    made.write_lines(root / "training.jsonl", [made.prompt(100, ranks=[1, 2, 3, 4], why="**First** is right.")])
    ada = labelers(label_served(root), "ada").open()
    assert ada.text("#notice").startswith("Training 1 of 1")
    ada.rank(made.by_text({"answers": ada.answers}))
    ada.press(Keys.ENTER)
    ada.wait(lambda: ada.text("#dialog-title") == "How it went", "the feedback")
    assert "100% of 6 pairs" in ada.text("#dialog-body") and "First" in ada.text("#dialog-body")
    screenshot(ada.driver, "label-feedback")
    ada.press(Keys.ENTER)
    ada.wait(lambda: ada.heading_or_item() == "item" and not ada.see("#notice"), "real work")
    assert saved(root, "ada")[0]["pool"] == "training"


def test_time_in_a_hidden_tab_does_not_count(label_project, label_served, labelers):
    root = label_project()
    ada = labelers(label_served(root), "ada").open()
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


def test_the_export_is_what_was_said(label_project, label_served, labelers):
    root = label_project()
    server = label_served(root)
    ada = labelers(server, "ada").open()
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


def test_nothing_is_asked_of_any_other_place(label_project, label_served, labelers):
    server = label_served(label_project())
    ada = labelers(server, "ada").open()
    ada.rank([1] * len(ada.answers))
    ada.submit()
    asked = ada.script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert len(asked) > 8
    assert [place for place in asked if not place.startswith(server.url)] == []


def test_with_tokens_a_link_says_who_it_is(label_project, labelers):
    root = label_project()
    token = new_token(root, "ada")
    with browsing.serving(root, "-m", "apps.label") as server:
        nobody = labelers(server, None)
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
