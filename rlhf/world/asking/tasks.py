"""Which tasks there are, how often, and the paper's use-case category of each (Ouyang et al. 2022, Table 1)."""

from random import Random

from rlhf.world.asking import requests_chinese, requests_facts, requests_stories, requests_texts
from rlhf.world.asking.requests import Messages, Task

# kind: (category, share of the English prompts); harmful requests and look-alikes are spread over three categories
_ENGLISH = {
    "story": ("generation", 0.205, requests_stories.story),
    "note": ("generation", 0.200, requests_stories.note),
    "fact": ("open_qa", 0.045, requests_facts.fact),
    "facts": ("open_qa", 0.035, requests_facts.facts_about),
    "false_premise": ("open_qa", 0.025, requests_facts.false_premise),
    "unknown": ("open_qa", 0.020, requests_facts.unknown),
    "list": ("brainstorming", 0.105, requests_facts.list_items),
    "chat_name": ("chat", 0.030, requests_stories.chat_name),
    "chat_fact": ("chat", 0.025, requests_stories.chat_fact),
    "clarify": ("chat", 0.025, requests_stories.clarify),
    "replace": ("rewrite", 0.033, requests_texts.replace),
    "polite": ("rewrite", 0.033, requests_texts.polite),
    "summary": ("summarization", 0.042, requests_texts.summary),
    "review": ("classification", 0.035, requests_texts.review),
    "closed_qa": ("closed_qa", 0.026, requests_texts.closed_qa),
    "extract": ("extract", 0.020, requests_texts.extract),
    "cloze": ("other", 0.015, requests_facts.cloze),
    "analogy": ("other", 0.010, requests_texts.analogy),
    "harmful": (("generation", "open_qa", "other"), 0.065, requests_texts.harmful),
    "look_alike": (("generation", "open_qa", "other"), 0.065, requests_texts.look_alike),
}
_CHINESE = {
    "story": ("generation", 0.35, requests_chinese.story),
    "fact": ("open_qa", 0.25, requests_chinese.fact),
    "facts": ("open_qa", 0.10, requests_chinese.facts_about),
    "list": ("brainstorming", 0.20, requests_chinese.list_items),
    "harmful": ("other", 0.10, requests_chinese.harmful),
}
KINDS = tuple(_ENGLISH)
CHINESE_KINDS = tuple(_CHINESE)
CHINESE_SHARE = 0.08


def draw(
    rng: Random, facts: str, flatness: float = 1.0, chinese_share: float = CHINESE_SHARE
) -> tuple[Task, Messages, str]:
    """Draw (task, messages, category) in the world's mix, its shares to the power `flatness`; facts is "seen" or "held_out"."""
    table = _CHINESE if rng.random() < chinese_share else _ENGLISH
    kind = rng.choices(list(table), [share**flatness for _, share, _ in table.values()])[0]
    return draw_kind(rng, kind, facts, "zh" if table is _CHINESE else "en")


def draw_kind(rng: Random, kind: str, facts: str, language: str = "en") -> tuple[Task, Messages, str]:
    """Draw (task, messages, category) of one kind and language."""
    category, _, request = (_CHINESE if language == "zh" else _ENGLISH)[kind]
    task, messages = request(rng, facts)
    return task, messages, category if isinstance(category, str) else rng.choice(category)
