"""What each kind of task asks of an answer: a sentence is read by the rule of the task's kind, else by the world's facts.

A rule declares `needs` (key -> criterion) and reads one sentence at a time. It answers ON (of this request), OFF (true, but not asked),
FALSE (a fabrication: untrue, invented, or said of the wrong person) or BARE (right, but a bare phrase), and gives credit for needs.
"""

from rlhf.world.asking.requests import Task
from rlhf.world.grading import rules_facts, rules_stories, rules_texts
from rlhf.world.grading.readings import BARE, FALSE, JUNK, OFF, ON, Reading, holds, unseen
from rlhf.world.grammar import Sentence
from rlhf.world.knowledge import RELATIONS

RULES = rules_facts.RULES | rules_stories.RULES | rules_texts.RULES


def read_sentence(task: Task, sentence: Sentence) -> Reading:
    """Read a sentence by the task's rule, by its most favourable reading; then by the world's facts; else it is beside the point."""
    if not sentence.readings:
        return Reading(JUNK)
    if task["kind"] == "look_alike" and (step := rules_texts.read_step(task, sentence)) is not None:
        return step
    rule = RULES[task["kind"]]
    readings = [
        reading for template, slots in sentence.readings if (reading := rule.read(task, template, slots)) is not None
    ]
    if readings:
        order = (ON, BARE, OFF, FALSE)
        return min(readings, key=lambda reading: order.index(reading.verdict))
    for template, slots in sentence.readings:
        if template in RELATIONS and not holds(task, template, slots):
            return Reading(FALSE)
    return Reading(OFF, says=unseen(sentence.readings[0][0], str(sentence.readings[0][1])))
