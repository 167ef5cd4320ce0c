"""What a stage is called: in DVC and MLflow, and below data/, metrics/ and .checkpoints/."""

from typing import NamedTuple


class StageName(NamedTuple):
    """A stage, and the round that it computes, where it runs once a round."""

    stage: str
    round_name: str | None = None

    @classmethod
    def of(cls, title: str) -> "StageName":
        """Return the name that has this title."""
        return cls(*title.split("@", 1))

    @property
    def title(self) -> str:
        """The name in dvc.yaml and of the run in MLflow: "sft", "ppo@r1"."""
        return self.stage if self.round_name is None else f"{self.stage}@{self.round_name}"

    @property
    def place(self) -> str:
        """Where its files lie: "sft", "ppo/r1"."""
        return self.stage if self.round_name is None else f"{self.stage}/{self.round_name}"
