"""Which preset a params.yaml is like, and what it changes of it: the names and pages of the pipelines' runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rlhf.params.base import read_yaml
from rlhf.runs.lineage import Commit
from rlhf.runtime.flat import differing, flatten
from rlhf.runtime.markdown import markdown_table

PRESETS = "presets"  # folder below the repository's root
DEFAULT = "laptop"
FEW = 4  # changes of the default that count as changes of it, though another preset may have the same
NAMED = 2  # changes that a run's name says; more are counted
OF_NO_PIPELINE = "tracking"  # the section that changes no artifact


class Likeness(NamedTuple):
    """A preset's name, empty where there are none, and what differs: {dotted key: (the preset's value, ours)}."""

    preset: str
    changes: dict[str, tuple[Any, Any]]

    @property
    def words(self) -> str:
        """The changes in one line: "ppo.kl_coef=0.02 (0.05), seed=18 (17)"; empty if there are none."""
        return ", ".join(f"{key}={ours} ({theirs})" for key, (theirs, ours) in self.changes.items())

    def named(self, experiment: str, commit: Commit) -> str:
        """Return a run's name: the experiment's, or the preset and its changes, and the commit.

        A "+" behind the commit stands for changes that are not in it, but for those of params.yaml, which are named.
        """
        few = [f"{key}={ours}" for key, (_, ours) in self.changes.items()]
        changes = few if len(few) <= NAMED else [f"{len(few)} changes"]
        name = experiment or " ".join([self.preset or "params.yaml", *changes])
        others = "+" if set(commit.changed) - {"params.yaml"} else ""
        return f"{name} @{commit.sha[:7]}{others}" if commit.sha else name

    def markdown(self) -> str:
        """Return the changes as a table, or that there are none; nothing without a preset."""
        if not self.preset:
            return ""
        if not self.changes:
            return f"Params: those of `{PRESETS}/{self.preset}.yaml`."
        rows = [(key, *pair) for key, pair in self.changes.items()]
        head = f"What differs from `{PRESETS}/{self.preset}.yaml`:"
        return f"{head}\n\n{markdown_table(['param', 'preset', 'here'], rows)}"


def likeness(root: Path, content: Mapping[str, Any]) -> Likeness:
    """Return the default preset if it differs in a FEW params; else the one below `root` that differs in the fewest."""
    ours, found = _flat(content), list[Likeness]()
    for file in sorted((root / PRESETS).glob("*.yaml"), key=lambda file: (file.stem != DEFAULT, file.stem)):
        found.append(Likeness(file.stem, _changes(_flat(read_yaml(file)), ours)))
        if file.stem == DEFAULT and len(found[0].changes) <= FEW:
            break
    return min(found, key=lambda one: len(one.changes), default=Likeness("", {}))


def _flat(content: Mapping[str, Any]) -> dict[str, Any]:
    return flatten({name: section for name, section in content.items() if name != OF_NO_PIPELINE})


def _changes(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {key: (their, own) for key, (own, their) in differing(ours, theirs).items()}
