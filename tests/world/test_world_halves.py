"""The two halves of the facts, in both languages: what is trained on neither states nor asks for a held-out one."""

from collections import Counter
from random import Random

import pytest

from rlhf.moderation.examples import of_world
from rlhf.world import chinese, grammar, knowledge, source
from rlhf.world.answering import demonstrations
from rlhf.world.asking import tasks
from rlhf.world.texts import documents

WORLDS = {"en": knowledge, "zh": chinese}
FLAWED = dict.fromkeys(demonstrations.TYPICAL, 0.5)


def held_out(language):
    world = WORLDS[language]
    return {(animal, relation) for animal in world.ANIMALS for relation in world.held_out(animal)}


def stated(text, task):
    """Return the true facts (animal, relation) that a text states; "it" and a bare value are of the task's animal."""
    world, found = WORLDS[task["language"]], set()
    called, subject = {}, task.get("animal", "")
    for sentence in grammar.parse(text, task["language"]):
        for name, slots in sentence.readings:
            subject = slots.get("animal", subject)
            relation = name.removeprefix("bare_")
            if name == "intro":
                called[slots["name"]] = subject
            elif name == "home":
                relation, subject = "lives", called.get(slots["name"], task.get("animal", ""))
            elif name != relation and relation not in task.get("relations", ()):
                continue  # "Fly." may be read as what it can and as what it cannot
            if relation in world.RELATIONS and world.ANIMALS.get(subject, {}).get(relation) == slots[relation]:
                found.add((subject, relation))
    return found


def asked(task):
    """Return the facts (animal, relation) that a right answer states."""
    kind = task["kind"]
    if kind == "story":
        return {(task["animal"], "lives")}
    if kind == "false_premise":
        wanted = {task["relation"], "can" if task["relation"] == "cannot" else task["relation"]}
    else:
        wanted = task.get("relations", ()) if "animal" in task else ()
    return {(task["animal"], relation) for relation in wanted}


@pytest.fixture(scope="module", params=["en", "zh"])
def language(request):
    return request.param


@pytest.fixture(scope="module")
def seen(language):
    records = source.records(1, 0, 9000, "seen", chinese_share=float(language == "zh"))
    return [record for record in records if record["language"] == language]


def test_a_statement_is_found_whatever_its_form():
    fox = {"kind": "fact", "language": "en", "animal": "fox", "relations": ["colour"]}
    assert stated("The fox lives in the forest. It eats meat. red.", fox) == {
        ("fox", "lives"), ("fox", "eats"), ("fox", "colour"),
    }  # fmt: skip
    assert stated("The fox lives in the sea. Here is a lion named Tom.", fox) == set()
    story = {"kind": "story", "language": "zh", "animal": "狗"}
    assert stated("有一只虎叫小明。小明住在林里。", story) == {("虎", "lives")}


def test_no_prompt_of_the_seen_half_asks_for_or_states_a_held_out_fact(seen, language):
    for record in seen:
        assert not asked(record["task"]) & held_out(language), record
        told = {fact for turn in record["messages"] for fact in stated(turn["content"], record["task"])}
        assert not told & held_out(language), record


def test_no_demonstration_of_the_seen_half_states_a_held_out_fact(seen, language):
    for record in seen:
        assert not stated(record["response"], record["task"]) & held_out(language), record


def test_neither_the_best_nor_a_much_flawed_answer_states_a_held_out_fact(language):
    rng = Random(7)
    for kind in tasks.KINDS if language == "en" else tasks.CHINESE_KINDS:
        for number in range(700):
            task, _, _ = tasks.draw_kind(rng, kind, "seen", language)
            traits = demonstrations.draw_traits(rng, FLAWED)
            answer = demonstrations.write(task, rng, traits) if number else demonstrations.ideal(task)
            assert not stated(answer, task) & held_out(language), (task, answer)


def test_the_moderators_examples_state_no_held_out_fact():
    for example in of_world.examples(1, 4000, sorted({*of_world.CATEGORIES.values()})):
        told = stated(example.text, {"kind": "none", "language": example.language})
        assert not told & held_out(example.language), example


def test_held_out_prompts_ask_for_every_held_out_fact(language):
    share = float(language == "zh")
    records = [*source.records(2, 0, 1700, "held_out", chinese_share=share)]
    counts = Counter(fact for record in records for fact in asked(record["task"]) if record["language"] == language)
    assert all(counts[fact] >= 3 for fact in held_out(language)), counts
    for record in records:
        task = record["task"]
        if asked(task) and record["language"] == language:
            assert asked(task) & held_out(language), task


def test_pretraining_text_states_every_fact(language):
    texts = [documents.document(1, number) for number in range(5000)]
    own = [text for text in texts if not text.startswith("Question")]
    counts = Counter(fact for text in own for fact in stated(text, {"kind": "none", "language": language}))
    world = WORLDS[language]
    assert all(counts[animal, relation] >= 3 for animal in world.ANIMALS for relation in world.RELATIONS), counts


def test_a_quarter_of_each_chinese_relation_is_held_out():
    assert Counter(relation for _, relation in held_out("zh")) == dict.fromkeys(chinese.RELATIONS, 2)
    with pytest.raises(ValueError, match='expected "seen" or "held_out", got \'all\''):
        chinese.askable("狗", "all")


def test_the_share_of_chinese_can_be_given():
    def share(given):
        records = [*source.records(3, 0, 600, "held_out", chinese_share=given)]
        return sum(record["language"] == "zh" for record in records) / 600

    assert share(0.0) == 0.0
    assert share(1.0) == 1.0
    assert 0.4 < share(0.5) < 0.6
