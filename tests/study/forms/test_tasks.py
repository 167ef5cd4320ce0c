"""Tasks of GPT-1's kinds: labels say what is true, and what tests are about is in no training."""

from collections import Counter

import pytest

from rlhf.world.knowledge import QUALITIES
from study.forms import tasks
from study.forms.tasks import TASKS


@pytest.mark.parametrize("name", TASKS)
def test_what_a_test_is_about_is_in_no_training(name):
    halves = {half: tasks.examples(name, half, 100) for half in ("training", "test")}
    about = {half: {example.about for example in own} for half, own in halves.items()}
    assert not about["training"] & about["test"]
    assert len(about["test"]) >= 12
    for own in halves.values():
        assert len({(example.parts, example.answers) for example in own}) == 100
        counts = Counter(example.label for example in own)
        assert set(counts) == set(range(TASKS[name].num_labels))
        assert max(counts.values()) < {2: 65, 3: 50}[TASKS[name].num_labels]
    assert tasks.examples(name, "test", 100) == halves["test"]


def test_more_examples_than_there_are_is_refused(monkeypatch):
    two = tasks.Task(lambda rng: tasks.Example("a", (rng.choice("xy"),), 0), 1)
    half = "test" if tasks.is_tested("a") else "training"
    monkeypatch.setitem(TASKS, "few", two)
    assert len(tasks.examples("few", half, 2)) == 2
    with pytest.raises(ValueError, match=f"few has 2 examples of its {half}, not 3; ask for fewer"):
        tasks.examples("few", half, 3)


def test_an_entailed_hypothesis_follows_from_its_premise():
    for example in tasks.examples("inference", "training", 300):
        premise, hypothesis = example.parts
        thing = hypothesis.rstrip(".").split()[-1]
        if example.label == 2:
            assert thing not in premise
            continue
        holder = premise.rstrip(".").split()[-1] if "gave" in premise else premise.split(" and ")[1].split()[0]
        subject = hypothesis.split()[0]
        is_holder = subject == holder
        assert example.label == int(is_holder != ("has" in hypothesis))


def test_similar_sentences_tell_of_the_same_people_and_thing():
    for example in tasks.examples("similarity", "training", 300):
        told = [told_by(part) for part in example.parts]
        assert (told[0] == told[1]) == bool(example.label)


def told_by(sentence: str) -> tuple[str, str, str]:
    """Return who had a thing, which, and who has it."""
    words = sentence.rstrip(".").split()
    if "gave" in words or "lost" in words:
        return words[0], words[3], words[-1] if "gave" in words else words[5]
    return words[-1], words[3], words[0]


def test_a_question_is_answered_by_its_passage():
    for example in tasks.examples("questions", "training", 100):
        assert f"{example.stem} {example.answers[example.label]}." in example.parts[0]
        assert example.parts[1] == f"What does {example.stem.split()[0]} have?"
        assert sum(f"{example.stem} {answer}." in example.parts[0] for answer in example.answers) == 1


def test_what_is_right_of_a_person_in_a_test_is_right_in_training_too_so_that_no_split_gives_answers_away():
    pairs = {
        half: {(one.stem, one.answers[one.label]) for one in tasks.examples("questions", half, 300)}
        for half in ("training", "test")
    }
    assert len(pairs["test"] & pairs["training"]) > 0.8 * len(pairs["test"])


def test_a_review_is_as_most_of_its_words():
    mixed = 0
    for example in tasks.examples("sentiment", "training", 200):
        words = example.parts[0].rstrip(".").replace(",", "").split()
        good, bad = (sum(word in QUALITIES[mood] for word in words) for mood in ("good", "bad"))
        assert good + bad == 3
        assert example.label == int(good > bad)
        mixed += bool(good and bad)
    assert 50 < mixed < 150
