"""Before PPO begins: which fixed phrases its starting policy says, and what the reward pays for them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rlhf.models import placement
from rlhf.params.ppo import PpoInputs
from rlhf.rewards import centring
from rlhf.rewards.centring import Effect
from rlhf.rl.experience import Models, Prompt
from rlhf.runtime import seeds
from rlhf.sampling import rollouts
from rlhf.sampling.rollouts import Response
from rlhf.sharding import shards
from rlhf.tokens import batching


def centred(
    models: Models, prompts: Sequence[Prompt], params: PpoInputs, seed: int, say: Callable[[str], None]
) -> tuple[Models, dict[str, Any]]:
    """Return the models with a reward that is centred if `ppo.reward_centring` asks for it, and metrics of that.

    The reference answers, which is the policy as it starts: a run that goes on from a state measures the same again.
    """
    if not params.ppo.reward_centring:
        return models, {}
    chosen = asked(prompts, params.ppo.reward_centring, seed, say)
    answers = answered(models, chosen, params, seed)
    ended = [(prompt, one.text) for prompt, one in zip(chosen, answers, strict=True) if one.ended]
    effects = centring.effects_of_phrases(
        models.summed(),
        [prompt.messages for prompt, _ in ended],
        [text for _, text in ended],
        [prompt.language for prompt, _ in ended],
    )
    say(told(effects, len(ended), len(answers)))
    centred_sum = centring.centred(models.summed(), effects)
    return models._replace(rewards=centred_sum), {
        "reward_centring": {"answers": len(ended), "answers_without_end": len(answers) - len(ended)}
        | {"phrases": len(effects)}
        | {
            f"phrase_{number}": {"text": phrase, "effect": effect.mean, "answers": effect.answers}
            for number, (phrase, effect) in enumerate(effects.items(), start=1)
        }
    }


def asked(prompts: Sequence[Prompt], count: int, seed: int, say: Callable[[str], None]) -> list[Prompt]:
    """Return so many prompts of each language, drawn at random, none of them twice: all, where there are fewer."""
    drawn = list[Prompt]()
    for language in dict.fromkeys(prompt.language for prompt in prompts):
        own = [prompt for prompt in prompts if prompt.language == language]
        if count > len(own):
            say(f"ppo.reward_centring: {count} answers a language, and {len(own)} prompts are {language}: one each")
        order = batching.cycle(len(own), min(count, len(own)), seeds.derive(seed, "reward centring", language))
        drawn += [own[index] for index in next(order)]
    return drawn


def answered(models: Models, prompts: Sequence[Prompt], params: PpoInputs, seed: int) -> list[Response]:
    """Return the starting policy's answers, sampled as rollouts are."""
    section = params.ppo
    sampling = rollouts.Sampling(
        section.temperature,
        section.max_completion_tokens,
        seeds.derive(seed, "reward centring", "answers"),
        section.batch_size,
    )
    dialogues, ids = [prompt.messages for prompt in prompts], [prompt.id for prompt in prompts]
    with placement.precision(params.runtime), shards.whole(models.reference):
        return rollouts.respond(models.reference, models.tokenizer, dialogues, ids, sampling)


def told(effects: Mapping[str, Effect], num_ended: int, num_answers: int) -> str:
    """Return what was found, in words; an answer without an end has no reward and no phrase."""
    found = f"reward centring: {len(effects)} fixed phrases in {num_ended} answers of the starting policy"
    left_out = f" ({num_answers - num_ended} more did not end)" if num_ended < num_answers else ""
    each = [f"{phrase!r} is paid {effect.mean:+.3f} ({effect.answers} answers)" for phrase, effect in effects.items()]
    return f"{found}{left_out}{': ' if each else ''}{'; '.join(each)}"
