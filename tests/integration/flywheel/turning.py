"""The turn of the flywheel, step by step: each prints what it does and returns its figures."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ruamel.yaml import YAML

from rlhf.params.base import read_yaml
from rlhf.runtime.waiting import CODE
from tests.integration.conftest import REPO
from tests.integration.flywheel import figures, lineage, persons
from tests.integration.flywheel.ground import Ground

FILE = "flywheel.yaml"  # what differs from the preset
ROUNDS = {
    "r1": {"policy": "sft", "earlier": "collect_prompts"},
    "r2": {"policy": "ppo/r1", "earlier": "collect_comparisons/r1"},
}
FAILED = (1, 255)  # of DVC where a stage does not end well: alone, and with --keep-going
CHAT_SPLITS = ["sft", "reward_model", "ppo"]  # none for the judge: of few users it would get one at most


class Turn:
    """One run on a preset."""

    def __init__(self, ground: Ground, preset: str, prompts: int, judge_prompts: int):
        self.ground, self.preset, self.prompts, self.judge_prompts = ground, preset, prompts, judge_prompts
        self.asked = persons.questions(len(persons.USERS) * (persons.TURNS + 1))
        self.seconds: dict[str, float] = {}
        self.found: dict[str, Any] = {
            "preset": preset,
            "prompts_a_round": prompts,
            "judge_prompts_a_round": judge_prompts,
        }

    def run(self) -> dict[str, Any]:
        """Turn twice; return the figures. Raises RuntimeError where a step does not do what it should."""
        with self.step("recipe", "The recipe as it stands: simulated labelers, one round"):
            self.simulated()
        with self.step("chat", f"Chat: {len(persons.USERS)} people talk with PPO of round r1, and say what was good"):
            self.chat()
        with self.step("waits", "People rank from now on, and the next round asks about PPO of round r1"):
            self.changed()
            self.reproduce("r1")
        for name, after in (("r1", "r2"), ("r2", None)):
            with self.step(f"label_{name}", f"Labels: people rank the answers of round {name} by keys"):
                self.label(name)
            with self.step(f"learn_{name}", f"Reward model and PPO of round {name} learn from it"):
                self.reproduce(after)
        with self.step("lineage", "Where does PPO of round r2 come from?"):
            self.found["lineage"] = lineage.checked(self.ground)
        found = figures.learnt(self.ground.root, [*ROUNDS])
        for file in ("demonstrations.train", "comparisons.train", "prompts.ppo"):
            if not found["from_chat"].get(file):
                raise RuntimeError(f"nothing of the chat is in {file}: {found['from_chat']}")
        return self.found | found | {"seconds": self.seconds}

    @contextmanager
    def step(self, name: str, title: str) -> Iterator[None]:
        print(f"\n{len(self.seconds) + 1}. {title}", flush=True)
        began = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - began, 1)
        print(f"    ({self.seconds[name]:.0f} s)", flush=True)

    def simulated(self) -> None:
        self.ground.types("cp", f"presets/{self.preset}.yaml", "params.yaml")
        self.ground.types("dvc", "repro")
        self.found["simulated"] = figures.wins(self.ground.root)
        self.ground.keeps("simulated labelers")

    def chat(self) -> None:
        print("    $ make chat", flush=True)
        done = persons.talk(self.ground.root, self.asked, ("ppo/r1", "sft"))
        lines = Counter(line["kind"] for file in lineage.journals(self.ground.root) for line in lineage.lines(file))
        said: dict[str, Any] = {"users": len(persons.USERS), "questions": len(self.asked), **done}
        self.found["chat"] = said | {"lines": dict(sorted(lines.items()))}
        missing = [kind for kind in ("consent", "turn", "thumb", "better", "choice", "flag") if not lines[kind]]
        if missing:
            raise RuntimeError(f"nobody left a line of kind {', '.join(missing)} in data/feedback")

    def changed(self) -> None:
        """Write the params as examples/feedback.yaml and examples/people.yaml do, with few prompts."""
        chat = read_yaml(REPO / "examples/feedback.yaml")["collect_prompts.sources"][-1]
        people = read_yaml(REPO / "examples/people.yaml")
        preset = read_yaml(REPO / f"presets/{self.preset}.yaml")
        few = {"max_prompts": self.prompts, "max_judge_prompts": self.judge_prompts}
        changes = {
            "preset": self.preset,
            "rounds": ROUNDS,
            "collect_prompts": {"sources": [*preset["collect_prompts"]["sources"], {**chat, "splits": CHAT_SPLITS}]},
            "collect_answers": {**people["collect_answers"], **few},
            "collect_comparisons": people["collect_comparisons"],
        }
        with open(self.ground.root / FILE, "w", encoding="utf-8") as file:
            YAML().dump(changes, file)
        self.ground.types("python", "-m", "tools.presets", FILE, "--out", "params.yaml")
        self.ground.types("python", "-m", "tools.check")

    def reproduce(self, waiting: str | None) -> None:
        """Let DVC go as far as it can: up to the labels of the round that waits, if any."""
        said = self.ground.types("dvc", "repro", "--keep-going", codes=FAILED if waiting else (0,))
        waits = self.ground.types("python", "-m", "tools.waiting", codes=(CODE,) if waiting else (0,))
        if waiting and not (f"of round {waiting} wait for labels" in waits and f"exited with {CODE}" in said):
            raise RuntimeError(f"round {waiting} should wait, and its stage end with {CODE}:\n{said[-2000:]}\n{waits}")

    def label(self, name: str) -> None:
        print("    $ make label", flush=True)
        ranked = persons.rank(self.ground.root, name, self.asked)
        self.found.setdefault("ranked", {})[name] = ranked
        self.ground.keeps(f"labels of round {name}")
