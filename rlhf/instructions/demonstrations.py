"""Answers that keep to an instruction, built from a topic's sentences: what a careful labeler would write."""

import json
from collections.abc import Mapping
from random import Random
from typing import Any

from rlhf.instructions import grading
from rlhf.instructions.kinds import Asked
from rlhf.instructions.topics import Topic

# a sentence for each word of training that must appear; {topic} stands as an object
WITH_WORD: Mapping[str, str] = {
    "river": "By the river we talked about {topic} for an hour.",
    "yellow": "My yellow notebook is full of notes about {topic}.",
    "winter": "In winter I like to learn about {topic}.",
    "mother": "My mother taught me a lot about {topic}.",
    "window": "From my window I often think about {topic}.",
    "paper": "I once wrote a short paper about {topic}.",
    "morning": "Every morning somebody somewhere thinks of {topic}.",
    "friend": "A good friend of mine knows all about {topic}.",
    "money": "You do not need much money to learn about {topic}.",
    "music": "There is even music about {topic}.",
    "summer": "Last summer I learned a lot about {topic}.",
    "brother": "My brother never stops talking about {topic}.",
    "village": "Everyone in our village has a story about {topic}.",
    "wooden": "An old wooden sign in our street shows {topic}.",
}
# how a sentence goes on behind the first word that was asked for
BEHIND: Mapping[str, str] = {
    "Well": "Well, {rest}", "First": "First of all, {rest}", "Honestly": "Honestly, {rest}", "Today": "Today we know that {rest}",
    "Imagine": "Imagine this: {rest}", "Once": "Once you know it, it is simple: {rest}", "Usually": "Usually people say that {rest}",
    "Yes": "Yes, {rest}",
}  # fmt: skip


def write(topic: Topic, asked: Asked, rng: Random) -> str:
    """Return an answer to a request about a topic of training that keeps to one instruction of training."""
    given: Any = asked.arguments
    facts = _facts(topic, rng)
    two = " ".join(facts[:2])
    if asked.check == "sentences":
        return " ".join(facts[: given["count"]])
    if asked.check == "keyword":
        own = WITH_WORD[given["word"]].format(topic=topic.name)
        return rng.choice([f"{facts[0]} {own}", f"{own} {facts[0]}"])
    if asked.check == "fewer_words":
        short = [
            fact for fact in facts if len(fact.split()) < given["limit"] and grading.is_on_topic(topic.stems, fact)
        ]
        return short[0] if short else min(facts, key=len)
    if asked.check == "ends_with":
        return f"{facts[0]} {given['ending']}"
    if asked.check == "begins_with":
        return BEHIND[given["word"]].format(rest=_uncapitalised(facts[0]))
    if asked.check == "bullets":
        lines = [facts[0].rstrip("."), *rng.sample(topic.phrases, len(topic.phrases))]
        return "\n".join(f"- {line}" for line in lines[: given["count"]])
    if asked.check == "lower_case":
        return two.lower()
    if asked.check == "capitals":
        return two.upper()
    if asked.check == "no_comma":
        bare = [fact for fact in facts if "," not in fact]
        return " ".join(sorted(bare, key=lambda fact: not grading.is_on_topic(topic.stems, fact))[:2])
    if asked.check == "json_object":
        return json.dumps({given["key"]: facts[0]})
    if asked.check == "question":
        return topic.question
    assert asked.check == "quoted", asked.check
    return f'"{two}"'


def _facts(topic: Topic, rng: Random) -> list[str]:
    """Return the topic's sentences in random order, but one that names the topic first."""
    order = rng.sample(topic.sentences, len(topic.sentences))
    return sorted(order, key=lambda fact: fact != next(one for one in order if grading.is_on_topic(topic.stems, one)))


def _uncapitalised(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]
