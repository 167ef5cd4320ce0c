"""The rounds of the flywheel: each samples from one policy and adds its comparisons to those of an earlier round.

    python -m rlhf.params.rounds > data/names.txt

DVC makes a round's name a folder, which it empties, and a word of a command before any stage of that round can look at
it. So the stage `names` of data/dvc.yaml checks them first: the others depend on its output, which is always the same.
"""

from pathlib import Path

from pydantic import Field

from rlhf.params.base import Name, Params, ParamsError, load
from rlhf.secrets import guard


class Round(Params):
    policy: str = Field(pattern=r"^(sft|ppo/.+)$")  # folder below data/ whose answers are ranked
    earlier: str = Field(pattern=r"^(collect_prompts|collect_comparisons/.+)$")  # folder whose comparisons go on


Rounds = dict[Name, Round]


class RoundsInputs(Params):
    """What starting a stage of a round reads."""

    rounds: Rounds


def main(root: Path = Path(".")) -> int:
    """Check the rounds; returns the exit code, 2 for mistakes, which are printed."""
    try:
        load(root, RoundsInputs)
    except ParamsError as error:
        guard.say(str(error))
        return 2
    print("The rounds of params.yaml have names that can be folders and words of a command.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
