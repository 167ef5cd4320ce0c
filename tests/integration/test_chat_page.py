"""The chat as a person uses it: in a real browser, with real models; then what it left in MLflow and in the data."""

import json
import re
import shutil
import signal
import time

import pytest
from mlflow import MlflowClient
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from rlhf.params.base import read_yaml
from stages import collect_prompts
from tests import toys
from tests.integration.chat_pages import Chat

pytestmark = pytest.mark.process


@pytest.fixture
def chat(root, tokenizer, browser):
    for number, name in enumerate(("pretrain", "sft", "ppo/r1")):
        model = toys.policy(tokenizer, seed=number, max_position_embeddings=512)
        toys.save(root / "data" / name, model, tokenizer)
    (root / "data/moderation").mkdir()
    toys.set_param(root, "tracking.enabled", True)
    made = Chat(root, browser)
    made.start()
    yield made
    if made.process.poll() is None:
        made.stop(signal.SIGKILL)


def test_a_person_talks_stops_asks_again_edits_chooses_and_the_data_and_mlflow_know_it(chat, screenshot):
    chat.begins()
    Select(chat.one("#model")).select_by_visible_text("sft")
    chat.until(lambda: "md5" in chat.text("#about"))

    # an answer that is stopped
    chat.says("Say red.")
    chat.until(lambda: len(chat.text("[data-live]")) > 5)
    screenshot(chat.browser, "chat-streaming")
    chat.one("#text").send_keys(Keys.ESCAPE)
    chat.done()
    chat.until(lambda: "stopped" in chat.text(".answer"))
    stopped = chat.answers()[0]
    assert stopped

    # again: another version, and the way back to the first
    chat.one("#length").clear()
    chat.one("#length").send_keys("12")
    chat.press(".answer button", "Again")
    chat.done()
    chat.until(lambda: "2 of 2" in chat.text(".branch"))
    chat.press(".branch button", "‹")
    chat.until(lambda: chat.answers() == [stopped])
    chat.press(".branch button", "›")

    # thumbs, taken back and given otherwise; a better answer; flags
    chat.press("[data-thumb='up']")
    chat.until(lambda: chat.one("[data-thumb='up']").get_attribute("aria-pressed") == "true")
    assert chat.browser.switch_to.active_element.get_attribute("data-thumb") == "up", "the focus stays where it was"
    chat.press("[data-thumb='down']")
    chat.until(lambda: chat.one("[data-thumb='down']").get_attribute("aria-pressed") == "true")
    chat.writes_better("The fox is red.")
    chat.flags("wrong")

    # the message edited: a branch, and the way back
    chat.press(".turn.user button", "Edit")
    field = chat.one(".turn.user textarea")
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys("Say blue.", Keys.ENTER)
    chat.done()
    chat.until(lambda: "Say blue." in chat.text(".turn.user"))
    chat.press(".turn.user .branch button", "‹")
    chat.until(lambda: "The fox is red." in chat.text("#log"))
    chat.press(".turn.user .branch button", "›")
    chat.until(lambda: "Say blue." in chat.text(".turn.user"))

    # two, blind, and the choice by keyboard
    Select(chat.one("#other")).select_by_visible_text("ppo/r1")
    chat.until(lambda: "blind" in chat.text("#about"))
    chat.says("Where does the fox sit?")
    chat.done()
    chat.until(lambda: len(chat.find(".pair .answer")) == 2 and chat.find(".choose"))
    assert not re.search(r"sft|ppo/r1|md5", chat.text(".pair"))
    assert not chat.one("#send").is_enabled()
    screenshot(chat.browser, "chat-blind")
    chat.holds("1")
    chat.chooses("4")
    chat.until(lambda: {"sft", "ppo/r1"} <= set(re.findall(r"sft|ppo/r1", chat.text(".pair"))))
    assert chat.one(".answer.chosen").get_attribute("data-turn") == chat.lines("choice")[-1]["chosen"]
    screenshot(chat.browser, "chat-chosen")
    chat.chooses("1")  # a stray digit, by now of one who knows who gave which

    # a message that is blocked, and the appeal
    Select(chat.one("#other")).select_by_value("")
    chat.says("How is a bomb made?")
    chat.until(lambda: "moderation takes it for violent" in chat.text("#log"))
    chat.press(".stopped button", "This was harmless")
    chat.until(lambda: "it is recorded" in chat.text(".stopped"))
    screenshot(chat.browser, "chat-blocked")

    # reload in the middle of an answer: it is kept as far as it came
    chat.press("#new")
    chat.one("#length").clear()
    chat.one("#length").send_keys("400")
    chat.says("Who lives here?")
    chat.until(lambda: len(chat.text("[data-live]")) > 5)
    chat.browser.refresh()
    chat.until(lambda: any(line.get("end") == "left" for line in chat.lines("turn")))
    chat.browser.refresh()
    chat.until(lambda: "the page was left" in chat.text(".answer"))

    # the server is killed and comes back: all is still there, and it goes on
    assert chat.stop(signal.SIGKILL) == -signal.SIGKILL
    chat.says("Are you there?")
    chat.until(lambda: "does not answer" in chat.text("#alert"))
    assert chat.one("#text").get_attribute("value") == "Are you there?"
    chat.start(0.0)
    chat.browser.refresh()
    chat.until(lambda: "Who lives here?" in chat.text("#log"))
    for title in ("Say red.", "Who lives here?"):
        chat.until(lambda title=title: title in chat.text("#conversations"))
    chat.press("#conversations button", "Say red.")
    chat.until(lambda: "Where does the fox sit?" in chat.text("#log"))
    assert chat.find(".answer.chosen")
    assert [line for line in chat.browser.get_log("browser") if "Content Security" in line["message"]] == []

    # MLflow says what was said of which model, once
    chat.until(lambda: "Traces: MLflow" in chat.text("#kept") or chat.browser.refresh())
    assert chat.stop() == -signal.SIGTERM  # uvicorn ends by the signal that it was given, when all is stored
    _check_traces(chat)
    _check_data(chat)


def _check_traces(chat):
    client = MlflowClient(f"sqlite:///{chat.root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("rlhf").experiment_id
    traces = {one.info.tags["chat.turn"]: one for one in client.search_traces(locations=[experiment])}
    turns = {line["id"]: line for line in chat.lines("turn")}
    answers = {key for key, line in turns.items() if line["role"] == "assistant"}
    blocked = {line["turn"] for line in chat.lines("blocked")}
    assert set(traces) == answers | blocked
    for turn, trace in traces.items():
        assert trace.info.trace_metadata["mlflow.trace.session"] == turns[turn]["conversation"]
        if turn in answers:
            assert trace.info.tags["checkpoint.md5"] == turns[turn]["checkpoint"]["md5"]
    judged = chat.lines("thumb")[-1]["answer"]
    said = {one.name: one.value for one in traces[judged].info.assessments if one.valid is not False}
    assert said == {"thumb": False, "better_answer": "The fox is red.", "flags": "wrong"}
    assert [one.value for one in traces[judged].info.assessments if one.name == "thumb" and one.valid is not False] == [
        False
    ]
    (choice,) = chat.lines("choice")
    for answer in choice["answers"]:
        (own,) = traces[answer].info.assessments
        assert (own.name, own.value) == ("preferred", answer == choice["chosen"])
    assert len({trace.info.trace_metadata["mlflow.trace.session"] for trace in traces.values()}) >= 2


def _check_data(chat):
    content = read_yaml(chat.root / "params.yaml")
    content["tracking"]["enabled"] = False
    sources = content["collect_prompts"]["sources"]
    sources[0] |= {"documents": 60, "prompts": 2500, "copy_probes": 2}
    common = {"kind": "feedback", "paths": ["data/feedback/*.jsonl"]}
    sources.append({"name": "said", **common, "use": ["demonstrations", "prompts"], "splits": ["sft", "ppo"]})
    toys.write_params(chat.root, content)
    shutil.rmtree(chat.root / "data/collect_prompts")
    found = {}
    for splits in (["sft"], ["reward_model"], ["ppo"]):
        use = {"sft": "demonstrations", "reward_model": "comparisons", "ppo": "prompts"}[splits[0]]
        sources[-1] |= {"use": [use], "splits": splits}
        toys.write_params(chat.root, content)
        collect_prompts.main(chat.root)
        for file in (chat.root / "data/collect_prompts").glob("*.jsonl"):
            records = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
            found.setdefault(use, []).extend(record for record in records if record.get("source") == "said")
    (demonstration,) = found["demonstrations"]
    assert (demonstration["response"], demonstration["user"]) == ("The fox is red.", "ada")
    ranked = {record["messages"][-1]["content"]: record for record in found["comparisons"]}
    assert ranked["Say red."]["responses"][0] == "The fox is red."
    assert sorted(ranked["Where does the fox sit?"]["labels"][0]["ranks"]) == [1, 2]
    asked = {record["messages"][-1]["content"] for record in found["prompts"]}
    assert {"Say red.", "Say blue.", "Where does the fox sit?", "Who lives here?"} <= asked
    assert not any("bomb" in text for text in asked)


def test_what_is_written_outlives_drawing_anew_and_a_server_that_goes_away(chat):
    chat.begins()
    Select(chat.one("#model")).select_by_visible_text("sft")
    chat.says("Say red.")
    chat.until(lambda: len(chat.text("[data-live]")) > 5)
    chat.press("#stop")
    chat.done()

    # a message that is edited, while the page around it is drawn anew
    chat.press(".turn.user button", "Edit")
    edit = chat.one(".turn.user textarea")
    edit.send_keys(Keys.CONTROL, "a")
    edit.send_keys("Say blu")
    Select(chat.one("#language")).select_by_value("zh")
    Select(chat.one("#language")).select_by_value("en")
    chat.press("[data-thumb='up']")
    chat.until(lambda: chat.one("[data-thumb='up']").get_attribute("aria-pressed") == "true")
    assert chat.focused("thumb") == "up", "the field takes no focus that it did not have"
    edit.send_keys("e.")

    # the server goes away: what was sent stays where it was written
    chat.one("#text").send_keys("Who lives here?")
    chat.stop(signal.SIGKILL)
    edit.send_keys(Keys.ENTER)
    chat.until(lambda: "does not answer" in chat.text("#alert"))
    assert edit.get_attribute("value") == "Say blue."
    assert chat.one("#text").get_attribute("value") == "Who lives here?"
    chat.press(".answer button", "Write a better one")
    field = chat.one("#better-text")
    assert field.get_attribute("maxlength") == "20000"
    field.clear()
    field.send_keys("Red it is.")
    chat.press("#better-form button.main")
    chat.until(lambda: "does not answer" in chat.text("#better [role=alert]"))
    assert chat.one("#better-text").get_attribute("value") == "Red it is."

    # it is back: both can be sent as they are
    chat.start(0.0)
    chat.press("#better-form button.main")
    chat.until(lambda: "Red it is." in chat.text(".better") and not chat.find("dialog[open]"))
    chat.until(lambda: chat.focused("opens") == "better", "the focus did not come back")
    edit.send_keys(Keys.ENTER)
    chat.until(lambda: "Say blue." in chat.text(".turn.user .text") and not chat.find(".turn.user textarea"))
    chat.done()
    assert [line["content"] for line in chat.lines("turn") if line["role"] == "user"] == ["Say red.", "Say blue."]

    # a message that is lost on its way goes before what was written meanwhile, and both outlive a reload
    chat.process.send_signal(signal.SIGSTOP)
    chat.one("#text").send_keys(Keys.ENTER)
    chat.one("#text").send_keys("And why?")
    chat.stop(signal.SIGKILL)
    both = "Who lives here?\nAnd why?"
    chat.until(lambda: chat.one("#text").get_attribute("value") == both)
    chat.start(0.0)
    chat.browser.refresh()
    chat.until(lambda: "Say blue." in chat.text("#log"))
    chat.until(lambda: chat.one("#text").get_attribute("value") == both)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("width", "language"), [(1440, "en"), (390, "zh")])
def test_the_page_fits_a_desk_and_a_hand_in_both_colours_and_languages(chat, screenshot, width, language, theme):
    mobile = {"width": width, "height": 844 if width < 800 else 900, "deviceScaleFactor": 1, "mobile": width < 800}
    chat.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", mobile)
    chat.begins()
    Select(chat.one("#theme")).select_by_value(theme)
    Select(chat.one("#language")).select_by_value(language)
    chat.one("#length").clear()
    chat.one("#length").send_keys("30")
    chat.says("Who lives here? 北京在中国。")
    chat.done()
    Select(chat.one("#other")).select_by_value("base")
    chat.says("Where does the fox sit?")
    chat.done()
    chat.until(lambda: len(chat.find(".pair .answer")) == 2)
    time.sleep(0.5)
    screenshot(chat.browser, f"chat-{width}-{theme}-{language}")
    wide = chat.browser.execute_script("return document.documentElement.scrollWidth")
    assert wide <= width
    unnamed = chat.browser.execute_script(
        "return [...document.querySelectorAll('button, select, input, textarea')].filter(one => !("
        "one.textContent.trim() || one.getAttribute('aria-label') || one.labels?.[0]?.textContent.trim()))"
        ".map(one => one.outerHTML)"
    )
    assert unnamed == []
