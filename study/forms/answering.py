"""Stories of arithmetic asked of a policy, outright, by steps and by a program: which of its answers are right."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import NamedTuple

from rlhf.evaluation.policy_measures import Policy
from rlhf.records.types import Message
from rlhf.runtime import seeds
from rlhf.sampling import rollouts
from rlhf.tokens import turns
from study.arithmetic import answers, stories
from study.arithmetic.stories import FORMS, Half, Story

MOST_TOKENS = 48  # of an answer; a chain of two steps has some thirty
BATCH = 64
TASK = "arithmetic"


class Answered(NamedTuple):
    right: dict[str, list[bool]]  # by condition, form_shots
    left_out: dict[str, int]  # conditions that do not fit into the model's context, and the tokens that they need
    refused: dict[str, dict[str, int]]  # by condition: programs that were not run, by why
    unended: dict[str, int]  # by condition: answers that were cut


def drawn(half: Half, count: int) -> list[Story]:
    """Return stories, no two alike, the same ones in every cell."""
    rng, found = Random(seeds.derive(0, "forms", TASK, half)), dict[str, Story]()
    while len(found) < count:
        story = stories.draw(rng, half)
        found.setdefault(story.text, story)
    return [*found.values()]


def ask(policy: Policy, tests: Sequence[Story], shown: Sequence[Story], shots: Mapping[str, int]) -> Answered:
    """Return what a policy answers, greedily, behind the first of the stories that are shown."""
    found = Answered({}, {}, {}, {})
    context = int(getattr(policy.model.config.get_text_config(), "max_position_embeddings", 1 << 30))
    for form in FORMS:
        for name, count in shots.items():
            condition = f"{form}_{name}"
            dialogues = [dialogue(form, shown[:count], story) for story in tests]
            needed = MOST_TOKENS + max(len(turns.prompt_ids(policy.tokenizer, one)) for one in dialogues)
            if needed > context:
                found.left_out[condition] = needed
                continue
            sampling = rollouts.Sampling(0.0, MOST_TOKENS, 0, BATCH)
            ids = [str(number) for number in range(len(tests))]
            said = rollouts.respond(policy.model, policy.tokenizer, dialogues, ids, sampling)
            marked = answers.mark(form, tests, [answer.text for answer in said])
            found.right[condition] = marked.right
            found.unended[condition] = sum(not answer.ended for answer in said)
            if marked.refused:
                found.refused[condition] = marked.refused
    return found


def dialogue(form: str, shown: Sequence[Story], story: Story) -> list[Message]:
    """Return a story as it is asked, behind others as earlier turns."""
    messages: list[Message] = []
    for one in shown:
        messages.append({"role": "user", "content": one.asked(form)})
        messages.append({"role": "assistant", "content": one.answer(form)})
    return [*messages, {"role": "user", "content": story.asked(form)}]
