"""The forum of the pretraining text: no better than demonstrations, slips that stay in kind, honest judgements."""

import re
from collections import Counter
from itertools import pairwise
from random import Random
from statistics import fmean

import pytest

from rlhf.world import grammar, knowledge
from rlhf.world.answering import demonstrations
from rlhf.world.asking import tasks
from rlhf.world.grading import gold
from rlhf.world.texts import forum

FACT = {
    "kind": "fact", "language": "en", "animal": "fox", "relations": ["lives", "colour"], "facts": "seen",
}  # fmt: skip


@pytest.fixture(scope="module")
def pages():
    return [forum.thread(Random(number)) for number in range(1500)]


def votes(line: str) -> int:
    return knowledge.VOTES.index(re.match(r"Votes: (\w+)", line)[1])


def test_every_answer_of_a_thread_is_voted_on(pages):
    for page in pages:
        for line, following in pairwise(page.split("\n")):
            if line.startswith("Answer:") and not following.startswith("Question:"):
                assert following.startswith("Votes:"), page


def test_votes_follow_gold():
    draws = [Random(number) for number in range(600)]
    rows = []
    for rng in draws:
        task, *_ = tasks.draw(rng, "seen")
        answer = forum._answer(task, rng)
        rows.append((gold.score(task, answer).score, votes(forum._votes(task, answer, rng))))
    assert fmean(vote for score, vote in rows if score > 0.85) > 3.4
    assert fmean(vote for score, vote in rows if score < 0.1) < 0.6


def test_untrue_answers_are_called_so():
    wrong = "The fox lives in the sea. It is red."
    assert forum._votes(FACT, wrong, Random(1)).endswith(", untrue")
    assert "untrue" not in forum._votes(FACT, "The fox lives in the forest. It is red.", Random(1))


def test_the_forum_answers_no_better_than_demonstrations():
    """A base model prompted as a forum page must not start above what labelers show it."""
    shown, read = [], []
    for number in range(1500):
        rng = Random(number)
        task, *_ = tasks.draw(rng, "seen")
        traits = demonstrations.draw_traits(rng, demonstrations.TYPICAL)
        shown.append(gold.score(task, demonstrations.write(task, rng, traits)).score)
        read.append(gold.score(task, forum._answer(task, rng)).score)
    assert fmean(read) < fmean(shown)


def test_marks_name_each_sentence():
    answer = "Sure. The fox lives in the sea. It is red. It is red. the the fox. The food of the fox is meat."
    marks = gold.marks(FACT, answer)
    assert [mark for _, mark in marks] == ["on", "false", "on", "again", "junk", "off"]
    assert [sentence for sentence, _ in marks][1] == "The fox lives in the sea."


def test_a_true_sentence_that_is_not_what_was_asked_for_is_amiss():
    task, messages, _ = next(
        drawn for number in range(50) if (drawn := tasks.draw_kind(Random(number), "story", "seen"))[0]["mood"] == "sad"
    )
    answer = demonstrations.ideal(task)
    assert {mark for _, mark in gold.marks(task, answer)} == {"on"}
    changed = answer.replace("was sad", "was happy")
    assert changed != answer
    assert [mark for text, mark in gold.marks(task, changed) if "happy" in text] == ["amiss"]


def test_a_marked_page_marks_every_sentence_of_every_answer_by_its_first_word():
    found = Counter()
    for number in range(80):
        lines = forum.marked(Random(number)).split("\n")
        for answer, line in pairwise(lines):
            if not line.startswith("Marks: "):
                continue
            text = answer.removeprefix("Answer: ")
            language = "zh" if re.search("[\u4e00-\u9fff]", text) else "en"
            sentences = [sentence.text for sentence in grammar.parse(text, language)]
            words = line.removeprefix("Marks: ").split()
            assert len(words) == 2 * len(sentences), line
            assert all(sentence.startswith(word) for sentence, word in zip(sentences, words[::2], strict=True)), line
            found.update(words[1::2])
    assert set(found) == set(forum.MARKS.values())


@pytest.mark.parametrize(
    ("answer", "language"), [("Dear Anna, please bring the key to the party.", "en"), ("狐是红的。狐会跑。", "zh")]
)
def test_a_slip_is_another_word_of_the_same_kind(answer, language):
    slipped = {forum._slip(answer, language, Random(number)) for number in range(200)}
    assert answer not in slipped
    assert len(slipped) > 5
    if language == "en":
        for text in slipped:
            changed = [(a, b) for a, b in zip(answer.split(), text.split(), strict=True) if a != b]
            assert len(changed) == 1
            before, after = (word.strip(".,") for word in changed[0])
            assert any({before, after} <= {*kind} for kind in forum._KINDS_OF_WORD["en"]), changed


def test_words_inside_other_words_are_left_alone():
    assert forum._places("The cat has a catalogue, cat.", "cat", "en") == [4, 25]


def test_a_garbled_answer_lacks_one_word():
    answer = "Emma was a frog. One day Emma found a coin."
    for number in range(20):
        assert len(forum._garble(answer, "en", Random(number)).split()) == len(answer.split()) - 1


def test_counts_are_of_different_right_items():
    task = {"kind": "list", "language": "en", "category": "fruits", "count": 4, "start": None}
    assert gold.given(task, "Sure. apple, pear and apple.") == 2
    assert gold.given(task, "I do not know.") == 0
