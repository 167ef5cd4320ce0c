"""Labels by a number an answer: of an adopted reward model, or of a function."""

from collections.abc import Sequence

from rlhf.labelers import ranks
from rlhf.labelers.answered import Answered, Labelled, Ranking
from rlhf.params.labelers.kinds import FunctionLabeler, RewardModelLabeler, Scale, name_of
from rlhf.records.types import Label
from rlhf.rewards.scorer import Scorer


def rank(
    answered: Sequence[Answered], scorer: Scorer, params: RewardModelLabeler | FunctionLabeler, batch_size: int
) -> Ranking:
    """Return each prompt with the one label that the scores make; scores outside the scale count as its ends."""
    flat = iter(
        scorer.score_texts(
            [one.prompt["messages"] for one in answered for _ in one.responses],
            [response for one in answered for response in one.responses],
            batch_size,
        )
    )
    labelled, num_outside = [], 0
    for prompt, responses in answered:
        scores = [next(flat) for _ in responses]
        ranked = ranks.with_ties(scores, params.tie_threshold)
        inside = scores if params.scale is None else [_clipped(score, params.scale) for score in scores]
        num_outside += sum(one != other for one, other in zip(scores, inside, strict=True))
        scale = None if params.scale is None else [params.scale.low, params.scale.high]
        label = Label(labeler=name_of(params), ranks=ranked, scores=inside, scale=scale)
        labelled.append(Labelled(prompt, responses, [label]))
    counts = {"answers_scored": sum(len(one.responses) for one in answered)}
    return Ranking(labelled, counts if params.scale is None else counts | {"scores_outside_scale": num_outside})


def _clipped(score: float, scale: Scale) -> float:
    return min(scale.high, max(scale.low, score))
