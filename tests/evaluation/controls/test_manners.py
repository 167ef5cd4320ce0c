"""The controlled form of an answer: its own sentences and one closing, whatever it was."""

import random

import pytest

from rlhf.evaluation.controls import manners
from rlhf.instructions import source
from rlhf.world import grammar
from rlhf.world.answering import demonstrations
from rlhf.world.asking import tasks

EN, ZH = {"kind": "fact", "language": "en"}, {"kind": "fact", "language": "zh"}
CLOSINGS = {"en": "Have a nice day.", "zh": "谢谢你。"}
ODD = [
    "", " ", "Have a nice day", "Sure. I hope this helps.", "red Have a nice day.", "Sure, have a nice day!",
    "one\ntwo\nHave a nice day.", "fox -> animal", "...", "blah blah have a nice day i hope this helps",
    "Of course, sure. No", "谢谢你。谢谢你", "狗是谢谢你。", "好的，狗住在田里", "Sure.The fox is red.Have a nice day.",
]  # fmt: skip


def answers():
    """Yield tasks of every kind, each with answers as people write them, as a model might, and as nobody should."""
    rng = random.Random(4)
    kinds = [("en", kind) for kind in tasks.KINDS] + [("zh", kind) for kind in tasks.CHINESE_KINDS]
    for language, kind in kinds * 6:
        task, _, _ = tasks.draw_kind(rng, kind, "seen", language)
        text = demonstrations.write(task, rng, demonstrations.draw_traits(rng, demonstrations.TYPICAL))
        yield from ((task, one) for one in [text, text[: rng.randrange(len(text))], *ODD])


@pytest.mark.parametrize(
    ("task", "text", "form"),
    [
        (EN, "Sure. The fox is red. I hope this helps.", "The fox is red. Have a nice day."),
        (EN, "I am sorry. I cannot help with that.", "I am sorry. I cannot help with that. Have a nice day."),
        (EN, "have a nice day. The fox is red. Of course", "The fox is red. Have a nice day."),
        (EN, "", "Have a nice day."),
        (EN, "Have a nice day. Have a nice day.", "Have a nice day."),
        (EN, "The fox is red. It is", "The fox is red. It is\nHave a nice day."),
        (EN, "fox -> animal", "fox -> animal\nHave a nice day."),
        (EN, "The moon is cheese have a nice day.", "The moon is cheese\nHave a nice day."),
        (EN, "Sure, the fox is red.", "the fox is red. Have a nice day."),
        (EN, "Surely not of course.", "Surely not of course. Have a nice day."),
        (EN, "Sure, have a nice day!", "Have a nice day."),
        (EN, "Of course, sure. No. . .", "No. . . Have a nice day."),
        (EN, "one\ntwo", "one\ntwo\nHave a nice day."),
        (ZH, "好的。狗住在田里。我很高兴能帮你。", "狗住在田里。谢谢你。"),
        (ZH, "对不起。我不能帮你。", "对不起。我不能帮你。谢谢你。"),
        (ZH, "狗是好的谢谢你", "狗是好的\n谢谢你。"),
        (ZH, "好的，狗是绿的。谢谢你。谢谢你。", "狗是绿的。谢谢你。"),
        (ZH, "The dog.", "The dog.谢谢你。"),
    ],
)
def test_an_answer_has_no_opener_and_ends_with_one_closing(task, text, form):
    assert manners.one_closing(task, text) == form


def test_gold_reads_the_same_sentences_as_before_less_the_politeness_and_one_closing():
    """Of sentences that the grammar knows; what it does not know is in the table above."""
    for task, text in answers():
        language = task["language"]
        before = grammar.parse(text, language)
        if all(sentence.readings for sentence in before):
            kept = [one.text for one in before if not {"opener", "closing"} & {name for name, _ in one.readings}]
            form = grammar.parse(manners.one_closing(task, text), language)
            assert [one.text for one in form] == [*kept, CLOSINGS[language]], text


def test_a_closing_more_changes_nothing_and_the_form_is_its_own_form():
    for task, text in answers():
        form = manners.one_closing(task, text)
        assert form.endswith(CLOSINGS[task["language"]])
        assert manners.one_closing(task, manners.with_closing(task, text)) == form, text
        assert manners.one_closing(task, form) == form, text


def test_with_a_closing_an_answer_stands_as_it_was_before_it():
    for task, text in answers():
        assert manners.with_closing(task, text).startswith(text.strip())
    assert manners.with_closing(EN, "It is red.") == "It is red. Have a nice day."
    assert manners.with_closing(EN, "It is") == "It is\nHave a nice day."
    assert manners.with_closing(ZH, "狗是黑的。") == "狗是黑的。谢谢你。"
    assert manners.with_closing(EN, "It is red. I hope this helps") == "It is red. I hope this helps"
    assert manners.with_closing(ZH, "谢谢你。狗是黑的。") == "谢谢你。狗是黑的。"
    assert manners.with_closing(EN, " ") == "Have a nice day."


def prompt(text: str, **more) -> dict:
    return {"messages": [{"role": "user", "content": text}], "language": "en", "category": "chat"} | more


def test_without_a_task_of_the_world_fixed_phrases_of_any_policy_are_taken_off_all_answers():
    prompts = [prompt(f"What of {number}?") for number in range(20)]
    plain = [f" {number} is even. Or odd. " for number in range(20)]
    polite = [f"{number} is even. Or {number + 1}. Goodbye, my friend." for number in range(20)]
    mixed = [*(f"{number} is {number}." for number in range(19)), "All right. Goodbye, my friend."]
    found = manners.controlled(prompts, {("a", "x"): polite, ("b", "x"): mixed, ("c", "x"): plain})
    assert found["a", "x"] == [f"{number} is even. Or {number + 1}." for number in range(20)]
    assert found["b", "x"] == [*mixed[:19], "All right."]
    assert found["c", "x"] == [f"{number} is even." for number in range(20)]
    alone = manners.controlled(prompts, {("b", "x"): mixed})
    assert alone["b", "x"] == mixed  # said once, it is no fixed phrase


def test_an_answer_without_a_fixed_phrase_is_left_as_it_is():
    found = manners.controlled([prompt("What?")] * 9, {("a", "x"): [" Yes. "] * 9})
    assert found["a", "x"] == [" Yes. "] * 9


def test_an_instruction_that_a_program_verifies_is_no_task_of_the_world():
    record = next(source.records(1, 9, "training"))
    assert not manners.of_world(record)
    assert not manners.of_world(prompt("What?"))
    assert manners.of_world(prompt("What?", task=EN))
    mixed = [prompt("What?", task=EN), record]
    found = manners.controlled(mixed, {("a", "x"): ["Sure. It is red.", "Sure. It is red."]})
    assert found["a", "x"] == ["It is red. Have a nice day.", "Sure. It is red."]
