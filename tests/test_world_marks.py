"""A reader's marks: each content word of a sentence, and the one at fault told from the others."""

import pytest

from stages.world import chinese, content_words, gold, grammar, marks

FACT = {"kind": "fact", "language": "en", "animal": "fox", "relations": ["lives", "colour"], "facts": "seen"}
NOTE = {
    "kind": "note", "language": "en", "act": "ask", "to": "Rosa", "from": "Tom", "objects": ["key", "map"],
    "event": None,
}  # fmt: skip
STORY = {
    "kind": "story", "language": "en", "animal": "fox", "name": "Sam", "objects": ["key"], "mood": "sad", "home": False,
}  # fmt: skip
LIST = {"kind": "list", "language": "en", "category": "fruits", "count": 3, "start": None}
REPLACE = {
    "kind": "replace", "language": "en", "old": "Tom", "new": "Mia",
    "sentences": [["has", {"name": "Tom", "the_objects": ["key"]}], ["likes", {"name": "Tom", "the_objects": ["map"]}]],
}  # fmt: skip


def test_marks_name_each_sentence():
    answer = "Sure. The fox lives in the sea. It is red. It is red. the the fox. The food of the fox is meat."
    marks = gold.marks(FACT, answer)
    assert [mark for _, mark in marks] == ["on", "false", "on", "again", "junk", "off"]
    assert [sentence for sentence, _ in marks][1] == "The fox lives in the sea."


@pytest.mark.parametrize(
    ("task", "answer", "line"),
    [
        (NOTE, "Dear Rosa, please bring the key and the map. From Tom.", "Rosa RIGHT key RIGHT map RIGHT Tom RIGHT"),
        (NOTE, "Dear Anna, please bring the key and the cup.", "Anna WRONG key RIGHT cup WRONG"),
        (NOTE, "Please bring the key and the key. From Leo.", "key RIGHT key AGAIN Leo WRONG"),
        (
            STORY,
            "Sam was a fox. Sam found a key. Sam was happy.",
            "Sam RIGHT fox RIGHT Sam RIGHT key RIGHT Sam RIGHT happy AMISS",
        ),
        (STORY, "Anna was a bear.", "Anna WRONG bear WRONG"),
        (LIST, "Sure. apple, pear and apple.", "Sure RIGHT apple RIGHT pear RIGHT apple AGAIN"),
        (LIST, "apple, pear and hammer.", "apple RIGHT pear RIGHT hammer WRONG"),
        (LIST, "apple and pear.", "apple SHORT pear SHORT"),
        (REPLACE, "Tom has the key. Mia likes the map.", "Tom BESIDE key RIGHT Mia RIGHT map RIGHT"),
        (FACT, "The fox lives in the sea. the the sea. I hope this helps.", "fox RIGHT sea WRONG the UNCLEAR I RIGHT"),
        (
            FACT,
            "The fox lives in the forest. The fox lives in the forest.",
            "fox RIGHT forest RIGHT fox AGAIN forest AGAIN",
        ),
    ],
)
def test_the_word_at_fault_is_the_one_whose_change_would_mend_the_sentence(task, answer, line):
    assert marks.behind(task, answer) == line


def test_marks_within_an_answer_stand_after_their_words():
    shown = marks.within(NOTE, "Sure. Dear Anna, please bring the key. From Tom.")
    assert shown == "Sure. RIGHT Dear Anna WRONG, please bring the key RIGHT. From Tom RIGHT."
    assert (
        marks.within(FACT, "the the sea. It is red. It is red.")
        == "the the sea. UNCLEAR It is red RIGHT. It is red AGAIN."
    )


def test_chinese_words_are_marked_too():
    animal = next(iter(chinese.ANIMALS))
    relation, value = next(iter(chinese.ANIMALS[animal].items()))
    task = {"kind": "fact", "language": "zh", "animal": animal, "relations": [relation], "form": False}
    wrong = next(other for other in chinese.VALUES[relation] if other != value)
    right, untrue = (grammar.render(relation, {"animal": animal, relation: told}, "zh") for told in (value, wrong))
    assert marks.behind(task, right) == f"{animal} RIGHT {value} RIGHT"
    assert f"{wrong} WRONG" in marks.behind(task, untrue)


def test_a_word_inside_a_longer_one_is_no_content_word():
    found = content_words.content_words("小米很不高兴。", "zh")
    assert {word for _, word, _ in found} == {"小米", "不高兴"}
