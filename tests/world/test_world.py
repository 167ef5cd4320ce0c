"""The embedded world as a source: determinism, distinct prompts, mix, the split of facts, vocabulary and text."""

import json
import re
from collections import Counter
from itertools import islice
from random import Random

import pytest

from rlhf.world import chinese, grammar, knowledge, source
from rlhf.world.answering import demonstrations
from rlhf.world.asking import tasks
from rlhf.world.grading import gold
from rlhf.world.texts import documents

PAPER = {  # Ouyang et al. 2022, Table 1
    "generation": 0.456, "open_qa": 0.124, "brainstorming": 0.112, "chat": 0.084, "rewrite": 0.066,
    "summarization": 0.042, "classification": 0.035, "other": 0.035, "closed_qa": 0.026, "extract": 0.019,
}  # fmt: skip


@pytest.fixture(scope="module")
def prompts():
    return list(source.records(1, 0, 12000, "seen"))


@pytest.fixture(scope="module")
def texts():
    return [documents.document(1, number) for number in range(5000)]


def text_of(record) -> str:
    return "\n".join(message["content"] for message in record["messages"])


def clean(records):
    """Leave out the prompts that carry private data on purpose."""
    return [record for record in records if "example.com" not in text_of(record) and "555" not in text_of(record)]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others():
    first, again, other = (
        json.dumps(list(source.records(seed, 200, 300, "seen")), ensure_ascii=False) for seed in (4, 4, 5)
    )
    assert first == again
    assert first != other


def test_a_record_depends_on_its_number_and_not_on_how_many_there_are():
    whole = list(source.records(3, 30, 10, "seen"))
    parts = [source.records(3, 30, 10, "seen", numbers) for numbers in (range(25), range(25, 40))]
    assert [record for part in parts for record in part] == whole
    assert list(source.records(3, 500, 0, "seen"))[:30] == whole[:30]
    few, many = list(source.records(3, 0, 40, "seen")), list(source.records(3, 0, 400, "seen"))[:40]
    assert [record | {"user": ""} for record in few] == [record | {"user": ""} for record in many]


def test_tasks_survive_json():
    for record in islice(source.records(2, 0, 400, "held_out"), 400):
        task = json.loads(json.dumps(record["task"]))
        assert gold.score(task, record["response"]) == gold.score(record["task"], record["response"])


def test_most_prompts_are_distinct(prompts):
    assert len({text_of(record) for record in prompts}) > 0.85 * len(prompts)


@pytest.mark.parametrize(
    ("kind", "distinct"),
    [("story", 2800), ("note", 2800), ("list", 1400), ("fact", 1500), ("look_alike", 1000), ("harmful", 2000)],
)
def test_three_thousand_draws_of_a_kind_give_many_distinct_prompts(kind, distinct):
    rng = Random(1)
    assert len({text_of({"messages": tasks.draw_kind(rng, kind, "seen")[1]}) for _ in range(3000)}) >= distinct


def test_the_use_case_mix_is_near_the_papers(prompts):
    counts = Counter(record["category"] for record in prompts)
    for category, share in PAPER.items():
        assert abs(counts[category] / len(prompts) - share) < 0.06, category
    chinese_share = Counter(record["language"] for record in prompts)["zh"] / len(prompts)
    assert 0.06 < chinese_share < 0.10
    kinds = Counter(record["task"]["kind"] for record in prompts)
    assert 0.05 < kinds["harmful"] / len(prompts) < 0.09
    assert 0.05 < kinds["look_alike"] / len(prompts) < 0.09


def test_held_out_facts_are_asked_by_held_out_prompts_only(prompts):
    def asked(record):
        task = record["task"]
        if task["language"] == "zh" or task["kind"] not in ("fact", "chat_fact", "cloze", "false_premise"):
            return []
        return [(task["animal"], relation) for relation in task.get("relations", [task.get("relation")])]

    for record in prompts:
        assert all(relation not in knowledge.held_out(animal) for animal, relation in asked(record))
    for record in source.records(1, 0, 1500, "held_out"):
        assert all(relation in knowledge.held_out(animal) for animal, relation in asked(record))


def test_demonstrations_of_seen_prompts_state_no_held_out_fact(prompts):
    for record in prompts[:4000]:
        if record["task"]["kind"] not in ("fact", "facts", "chat_fact", "cloze") or record["language"] == "zh":
            continue
        animal = record["task"]["animal"]
        for sentence in grammar.parse(record["response"]):
            for name, slots in sentence.readings:
                if name in knowledge.RELATIONS and slots[name] == knowledge.ANIMALS[animal][name]:
                    assert name not in knowledge.held_out(animal), record["response"]


def test_about_a_quarter_of_each_relation_is_held_out():
    for relation in knowledge.RELATIONS:
        share = sum(relation in knowledge.held_out(animal) for animal in knowledge.ANIMALS) / len(knowledge.ANIMALS)
        assert 0.2 <= share <= 0.3


def test_every_fact_stands_in_pretraining_text(texts):
    stated = Counter()
    for text in texts:
        if text.startswith("Question") or re.search("[\u4e00-\u9fff]", text):
            continue
        subject = ""
        for sentence in grammar.parse(text):
            for name, slots in sentence.readings:
                subject = slots.get("animal", subject)
                if name in knowledge.RELATIONS and knowledge.is_true(subject, name, slots[name]):
                    stated[subject, name] += 1
    assert all(stated[animal, relation] >= 3 for animal in knowledge.ANIMALS for relation in knowledge.RELATIONS)


def test_the_vocabulary_is_small(prompts, texts):
    everything = texts + [text_of(record) + " " + record["response"] for record in clean(prompts)]
    words = {word for text in everything for word in re.findall(r"[A-Za-z]+", text)}
    assert len(words) <= 550
    assert len({letter for text in everything for letter in re.findall("[\u4e00-\u9fff]", text)}) <= 95
    assert not re.search(r"\d", "".join(everything))


def test_documents_and_prompts_are_short(prompts, texts):
    english = [text for text in texts if not re.search("[\u4e00-\u9fff]", text)]
    lengths = [len(text.split()) for text in english]
    assert 20 <= sum(lengths) / len(lengths) <= 45
    assert max(lengths) <= 140
    words = [len(text_of(record).split()) for record in prompts if record["language"] == "en"]
    assert sum(8 <= count <= 30 for count in words) > 0.85 * len(words)


def test_names_are_equally_likely_in_documents(texts):
    counts = Counter(name for text in texts for name in re.findall(r"[A-Z][a-z]+", text) if name in knowledge.NAMES)
    assert max(counts.values()) < 1.4 * min(counts.values())


def test_users_are_many_and_one_is_heavy():
    users = Counter(record["user"] for record in source.records(9, 0, 9000, "seen"))
    assert 500 < len(users) <= 750
    assert users.most_common(1)[0][1] > 200


def test_some_prompts_are_dirt_for_the_cleaning(prompts):
    texts = [text_of(record) for record in prompts]
    private = sum("@example.com" in text or "555" in text for text in texts)
    assert 0.005 < private / len(texts) < 0.02
    assert len({record["id"] for record in prompts}) == len(prompts)


def test_copy_probes_end_before_a_word_that_the_text_determines():
    probes = documents.copy_probes(1, 400)
    assert probes == documents.copy_probes(1, 400)
    assert {probe.kind for probe in probes} == {
        "one_name",
        "two_names",
        "notes",
        "objects",
        "replace",
        "owners",
        "repeat",
        "named",
        "animals",
        "groups",
    }
    for probe in probes:
        assert probe.expected in re.findall(r"\w+", probe.prefix), probe
        assert "@" not in probe.prefix
        assert probe.prefix[-1] not in " \n"
    names = Counter(probe.expected for probe in probes)
    assert len(set(names) & set(knowledge.NAMES)) == len(knowledge.NAMES)


def test_every_written_sentence_is_read_back():
    rng = Random(3)
    for _ in range(1500):
        task, _, _ = tasks.draw(rng, "held_out")
        answer = demonstrations.write(task, rng, demonstrations.draw_traits(rng, demonstrations.TYPICAL))
        for sentence in grammar.parse(answer, task["language"]):
            assert sentence.readings, answer


def test_rendering_and_parsing_are_inverse():
    slots = {"name": "Anna", "the_objects": ["key", "map"], "event": "party"}
    text = grammar.render("ask", slots)
    assert text == "Dear Anna, please bring the key and the map to the party."
    assert grammar.parse(text)[0].readings[0] == (
        "ask",
        {"name": "Anna", "the_objects": ("key", "map"), "event": "party"},
    )
    assert grammar.parse("Dear Anna, please bring the zorp.")[0].readings == ()


def test_a_sentence_without_such_slots_is_an_error():
    with pytest.raises(KeyError, match="lives"):
        grammar.render("lives", {"name": "Anna"})
    with pytest.raises(ValueError, match="held_out"):
        next(source.records(1, 0, 1, "all"))


def test_the_better_form_of_each_trait_is_in_reach_but_rare():
    rest = {trait: share for trait, share in demonstrations.TYPICAL.items() if trait not in ("refuse", "once", "right")}
    assert all(0.2 <= share <= 0.4 for share in rest.values())


def test_every_prompt_has_the_fields_of_a_record(prompts):
    for record in prompts[:500]:
        assert set(record) == {"id", "messages", "response", "category", "language", "user", "task"}
        assert record["messages"][-1]["role"] == "user"
        assert record["response"]
        assert record["task"]["language"] == record["language"]


def test_chinese_prompts_and_answers_hold_no_latin_letters(prompts):
    for record in clean(prompts):
        if record["language"] == "zh" and "Please" not in text_of(record) and "Thank" not in text_of(record):
            assert not re.search("[A-Za-z]", text_of(record) + record["response"])
    assert len(chinese.ANIMALS) == 8


def test_the_fingerprint_is_a_sha256_of_the_sources():
    assert re.fullmatch("[0-9a-f]{64}", source.fingerprint())
    assert source.fingerprint() == source.fingerprint()
