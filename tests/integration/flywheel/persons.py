"""Scripted people: they talk with the policy on the chat's page and rank on the labelling page, both in a browser.

They know the embedded world's gold: they praise, choose and rank by it, and what they write is its ideal answer.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rlhf.grading import gold
from rlhf.people import standing
from rlhf.records import records
from rlhf.world import source
from rlhf.world.answering import demonstrations
from tests.integration import browsing
from tests.integration.chat_pages import Talker
from tests.integration.label_pages import Labeler

# A user is in one split (collect_prompts.shares, by a hash of the name), and of eight some split may get none. With the
# presets' seed ada, ben and hugo are in sft, nora, otto and sven in reward_model, cleo and dora in ppo.
USERS = ("ada", "nora", "cleo", "otto", "ben", "sven", "dora", "hugo")
LABELERS = ("ada", "ben")  # ada ranks all prompts, and ben those that are meant for two
SEED = 77  # of the questions: other ones than the sources'
TURNS = 3  # of a user, before a blind pair
GOOD = 0.7  # of gold: a thumb up
LONGEST = "48"  # tokens of an answer
TIE = 0.02  # of gold
BAD_KINDS = {"harmful", "look_alike"}  # that moderation is there for


class Asked(NamedTuple):
    """A question of somebody, and what gold looks at in an answer to it."""

    text: str
    task: dict[str, Any]

    def worth(self, answer: str) -> float:
        return gold.score(self.task, answer).score


def questions(count: int) -> list[Asked]:
    """Return different questions of one line, in English, with nobody's address in them."""
    found: dict[str, Asked] = {}
    for record in source.records(SEED, 0, 40 * count, "seen"):
        text = record["messages"][-1]["content"]
        plain = len(record["messages"]) == 1 and "\n" not in text and "@" not in text and "+1" not in text
        if plain and record["language"] == "en" and record["task"]["kind"] not in BAD_KINDS:
            found.setdefault(text.casefold(), Asked(text, record["task"]))
        if len(found) == count:
            return list(found.values())
    raise ValueError(f"the world has but {len(found)} such questions of {count}")


def talk(root: Path, asked: Sequence[Asked], policies: tuple[str, str]) -> Counter[str]:
    """Let all users talk with the first policy, and choose between both at the end; return what they did, counted."""
    done: Counter[str] = Counter()
    share = len(asked) // len(USERS)
    with browsing.serving(root, "-m", "apps.chat") as server:
        for number, user in enumerate(USERS):
            with browsing.chromium(root / f".cache/profiles/{user}") as browser:
                person = Talker(browser, server.url)
                person.begins(user)
                converse(person, asked[number * share : (number + 1) * share], policies, done)
            print(f"      {user} has talked: {dict(done)} so far", flush=True)
    return done


def converse(person: Talker, asked: Sequence[Asked], policies: tuple[str, str], done: Counter[str]) -> None:
    """Ask one policy all questions but the last, and judge its answers; ask two the last, blind, and choose."""
    person.selects("#model", policies[0])
    person.one("#length").clear()
    person.one("#length").send_keys(LONGEST)
    flagged = written = False
    for question in asked[:-1]:
        _ask(person, question)
        if not person.find("[data-thumb]"):  # the moderator stood before it
            done["blocked"] += 1
            continue
        worth = question.worth(person.answers()[-1])
        value = "up" if worth >= GOOD else "down"
        person.press(f"[data-thumb='{value}']")
        shown = f"[data-thumb='{value}'][aria-pressed='true']"
        person.until(lambda shown=shown: person.find(shown), "the thumb was not taken")
        done[f"thumbs_{value}"] += 1
        better = demonstrations.ideal(question.task)
        # each user writes one: whose demonstrations are learned, the split decides
        is_last_chance = not written and question is asked[-2] and better != person.answers()[-1]
        if value == "down" or is_last_chance:
            person.writes_better(better)
            written = True
            done["better_answers"] += 1
            if value == "down" and not flagged:
                person.flags("wrong")
                done["flags"] += 1
                flagged = True
    person.selects("#other", policies[1])
    _ask(person, asked[-1])
    if not person.find(".choose"):
        done["blocked"] += 1
        return
    first, second = map(asked[-1].worth, person.answers())
    person.chooses("2" if abs(first - second) < TIE else "1" if first > second else "4")
    person.until(lambda: person.find(".choose [aria-pressed='true']"), "the choice was not taken")
    done["choices"] += 1


def _ask(person: Talker, question: Asked) -> None:
    person.press("#new")
    person.until(lambda: not person.find(".turn"), "the conversation before is still there")
    person.says(question.text)
    person.until(lambda: person.find(".answer, .stopped"), "nothing came")
    person.done()


def rank(root: Path, round_name: str, asked: Sequence[Asked]) -> dict[str, int]:
    """Let labelers rank all answers of a round by keys on the page; return how many prompts each ranked."""
    answered = [one for pool in standing.read_answers(root, round_name).values() for one in pool]
    known = {_squeezed(one["messages"][-1]["content"]): one.get("task") for one in answered}
    known |= {_squeezed(one.text): one.task for one in asked}
    counts = {}
    with browsing.serving(root, "-m", "apps.label") as server:
        for name in LABELERS:
            with browsing.chromium(root / f".cache/profiles/{round_name}-{name}") as browser:
                labeler = Labeler(browser, server.url, name).open()
                counts[name] = 0
                while labeler.see("#item"):
                    shown = _squeezed(labeler.prompt)
                    task = known[max((text for text in known if shown.endswith(text)), key=len)]
                    labeler.rank(ranked(task, labeler.answers))
                    labeler.submit()
                    counts[name] += 1
                if errors := labeler.errors():
                    raise RuntimeError(f"the page's log holds errors: {errors}")
            print(f"      {name} has ranked {counts[name]} prompts", flush=True)
    return counts


def ranked(task: dict[str, Any] | None, answers: Sequence[str]) -> list[int]:
    """Return ranks by gold; where gold finds all alike, as of a weak model, the shorter is better."""
    assert task is not None, "a prompt that nobody knows what to make of"
    worth = [round(gold.score(task, text).score, 2) for text in answers]
    return records.ranks_of(worth if len({*worth}) > 1 else [-float(len(text)) for text in answers])


def _squeezed(text: str) -> str:
    return "".join(text.split())
