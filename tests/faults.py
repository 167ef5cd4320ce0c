"""Kills training stages at random moments and compares what they end in with a run that was never killed.

    python -m tests.faults --kills 200 --seed 0      tiny preset in a temporary clone; writes metrics/faults.json
    python -m tests.faults --kills 30 --root FOLDER  on a repository whose pipeline has run; only prints the result

Every start is a forked process that has imported everything, so that kills fall on reading, training, saving states,
evaluating and writing outputs. Some states are damaged before the next start, as a torn or flipped sector would.
"""

import argparse
import importlib
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from rlhf.runs import checkpoints, lineage
from rlhf.runtime.files import write_json
from tests.toys import REPO
from tools import reproduce

SHARE_IN_SAVES = 0.3  # of kills: within ten milliseconds of the beginning of a save
SHARE_DAMAGED = 0.15  # of kills: the newest state is damaged before the next start
SECONDS_BETWEEN_STATES = 0.05


class Stage(NamedTuple):
    name: str
    round: str | None = None

    @property
    def label(self) -> str:
        return self.name if self.round is None else f"{self.name}@{self.round}"


STAGES = (
    Stage("pretrain"), Stage("sft"), Stage("reward_model", "r1"), Stage("ppo", "r1"), Stage("feedme"),
    Stage("rejection"), Stage("dpo"), Stage("judge"),
)  # fmt: skip


class Child:
    """One start of a stage in its own process, which tells when it has found its states (r) and when it saves (s)."""

    def __init__(self, root: Path, stage: Stage, module):
        reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(reading)
            self._be(root, stage, module, writing)
        os.close(writing)
        os.set_blocking(reading, False)
        self.reading, self.heard, self.status = reading, "", None

    @staticmethod
    def _be(root: Path, stage: Stage, module, writing: int) -> None:
        code = 1
        try:
            log = os.open(root / "faults.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.chdir(root)
            find, write = checkpoints.States._find, checkpoints.States._write

            def finding(states):
                find(states)
                os.write(writing, b"r")

            def saving(states, tree):
                os.write(writing, b"s")
                write(states, tree)

            checkpoints.States._find, checkpoints.States._write = finding, saving
            module.main(Path("."), *([] if stage.round is None else [stage.round]))
            code = 0
        except BaseException as error:  # noqa: BLE001 - whatever it is, the log must say so and the child must end
            print(f"{stage.label}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        finally:
            os._exit(code)

    def ended(self) -> bool:
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = status if pid else None
            if pid:
                os.close(self.reading)
        return self.status is not None

    def wait(self, seconds: float = float("inf"), for_letters: str = "", count: int = 1) -> None:
        """Return after so many seconds, when so many of these letters were heard, or when the child has ended."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.ended():
            with suppress(BlockingIOError):
                self.heard += os.read(self.reading, 100).decode()
            if for_letters and sum(self.heard.count(letter) for letter in for_letters) >= count:
                return
            time.sleep(0.0005)

    def kill(self) -> bool:
        """Kill it; returns whether it was still running."""
        if self.ended():
            return False
        os.kill(self.pid, signal.SIGKILL)
        self.wait()
        return os.WIFSIGNALED(self.status)


def outs(root: Path, stage: Stage) -> dict[str, str]:
    """Return {path: md5} of the stage's outputs that lie there now."""
    known = lineage.locked_outs(root)[stage.label]
    return {path: lineage.dvc_md5(root / path) for path in known if (root / path).exists()}


def remove_outs(root: Path, stage: Stage) -> None:
    """Do as DVC does before it runs a stage."""
    for path in map(root.joinpath, lineage.locked_outs(root)[stage.label]):
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def damage(root: Path, stage: Stage, chance: random.Random) -> bool:
    """Flip a bit of the newest state, or cut it short; returns whether there was one."""
    folder = root / ".checkpoints" / stage.label.replace("@", "/")
    states = sorted(folder.glob("*/*.pt"), key=lambda file: file.name)
    if not states:
        return False
    content = bytearray(states[-1].read_bytes())
    place = chance.randrange(len(content))
    if chance.random() < 0.5:
        content[place] ^= 1 << chance.randrange(8)
    else:
        content = content[:place]
    states[-1].write_bytes(content)
    return True


def torment(root: Path, stage: Stage, kills: int, chance: random.Random) -> dict:
    """Kill the stage so many times, letting it end now and then, and say whether every end had the same bytes."""
    module = importlib.import_module(f"stages.{stage.name}")
    expected = outs(root, stage)
    shutil.rmtree(root / ".checkpoints" / stage.label.replace("@", "/"), ignore_errors=True)
    done: Counter[str] = Counter()
    differing: set[str] = set()

    def ends(child: Child) -> float:
        """Wait for the end and compare; returns the seconds since the states were found."""
        child.wait(for_letters="r")
        began = time.monotonic()
        child.wait()
        if child.status != 0:
            raise RuntimeError(f"{stage.label} failed:\n" + (root / "faults.log").read_text()[-3000:])
        found = outs(root, stage)
        differing.update(path for path in expected | found if expected.get(path) != found.get(path))
        done["runs compared"] += 1
        return time.monotonic() - began

    remove_outs(root, stage)
    seconds = ends(Child(root, stage, module))  # never killed
    while done["kills"] < kills:
        remove_outs(root, stage)
        child = Child(root, stage, module)
        in_save = chance.random() < SHARE_IN_SAVES
        if in_save:
            child.wait(for_letters="s", count=chance.randint(1, 4))
            child.wait(chance.uniform(0, 0.01))
        else:
            child.wait(for_letters="r")
            child.wait(chance.uniform(0, seconds))
        if child.kill():
            done["kills"] += 1
            done["in saves"] += in_save
            if chance.random() < SHARE_DAMAGED and damage(root, stage, chance):
                done["damaged states"] += 1
        else:
            ends(child)
    remove_outs(root, stage)
    ends(Child(root, stage, module))
    if differing:
        print(f"{stage.label}: other bytes than without kills: {', '.join(sorted(differing))}", file=sys.stderr)
    return {**dict(sorted(done.items())), "byte_identical": not differing}


def settle(root: Path) -> None:
    """Keep states often and record nothing: neither changes a byte."""
    params = root / "params.yaml"
    text = re.sub(r"^( +enabled: +)true", r"\1false", params.read_text(encoding="utf-8"), flags=re.MULTILINE)
    text = re.sub(r"^( +every_seconds: +)[\d.]+", rf"\g<1>{SECONDS_BETWEEN_STATES}", text, flags=re.MULTILINE)
    params.write_text(text, encoding="utf-8")


def run(root: Path, kills: int, seed: int) -> dict:
    """Return what metrics/faults.json holds, after so many kills over all training stages."""
    settle(root)
    chance = random.Random(seed)
    found = {}
    for stage, share in zip(STAGES, shares(kills, len(STAGES)), strict=True):
        found[stage.label] = torment(root, stage, share, chance)
        print(f"{stage.label}: {found[stage.label]}", flush=True)
    identical = all(one["byte_identical"] for one in found.values())
    return {"kills": sum(one["kills"] for one in found.values()), "byte_identical": identical, "by_stage": found}


def shares(total: int, parts: int) -> Iterator[int]:
    """Yield whole numbers that sum to the total and differ by one at most."""
    for part in range(parts):
        yield total // parts + (part < total % parts)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--root", type=Path, help="a repository whose pipeline has run; its params.yaml is changed")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        root = chosen.root or Path(folder) / "clone"
        if chosen.root is None:
            reproduce.remade(REPO, root, "tiny")
        found = run(root, chosen.kills, chosen.seed)
    if chosen.root is None:
        write_json(REPO / "metrics/faults.json", found | {"preset": "tiny", "seed": chosen.seed})
    print(json.dumps(found))
    return 0 if found["byte_identical"] else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
