"""What a GPU makes of this code, in eight minutes: `make gpu`, or python -m benchmarks.gpu.

    python -m benchmarks.gpu --seconds 900         a longer time, shared out alike
    python -m benchmarks.gpu --parts rate ppo_1b   some parts; what the others said before stays
    python -m benchmarks.gpu --small --out FOLDER  tiny sizes on a CPU: that the script runs, no measurement

Each part is a process with a share of the time. One that takes longer is ended, and what it had told by then stays; a
row that nothing was told of says so. Results go to metrics/gpu.json and docs/generated/gpu.md.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.gpu import page
from rlhf.runtime.files import write_text

SECONDS = 480.0
OURS, TRL = "benchmarks.gpu.ours", "benchmarks.gpu.trl_side"
ON_GPU = ("runtime.device=cuda", "runtime.dtype=bfloat16", "runtime.attention=sdpa", "runtime.workers=1")


class Part(NamedTuple):
    name: str
    share: float  # of the time
    module: str
    arguments: tuple[str, ...]


PARTS = (
    Part("rate", 0.03, "benchmarks.gpu.rate", ("cuda", "1b")),
    Part("rollouts_135m", 0.11, OURS, ("rollouts", "cuda", "135m", "bfloat16")),
    Part("ppo_135m", 0.07, OURS, ("ppo", "cuda", "135m", "bfloat16")),
    Part("trl_135m", 0.07, TRL, ("cuda", "135m", "bfloat16")),
    Part("rollouts_1b", 0.13, OURS, ("rollouts", "cuda", "1b", "bfloat16")),
    Part("ppo_1b", 0.09, OURS, ("ppo", "cuda", "1b", "bfloat16")),
    Part("trl_1b", 0.09, TRL, ("cuda", "1b", "bfloat16")),
    Part("rollouts_135m_float32", 0.06, OURS, ("rollouts", "cuda", "135m", "float32")),
    Part("ppo_135m_float32", 0.07, OURS, ("ppo", "cuda", "135m", "float32")),
    Part("default", 0.13, "benchmarks.gpu.pipeline", ("laptop", *ON_GPU)),
    Part("cuda", 0.15, "benchmarks.gpu.pipeline", ("cuda",)),
)
SMALL = (
    Part("rate", 0.1, "benchmarks.gpu.rate", ("cpu", "small")),
    Part("rollouts", 0.4, OURS, ("rollouts", "cpu", "small", "float32")),
    Part("ppo", 0.5, OURS, ("ppo", "cpu", "small", "float32")),
)


def run(part: Part, seconds: float, peers: Path | None) -> dict[str, Any]:
    """Return what a part told of its rows, and how it ended. What it leaves in its temporary folder goes."""
    with tempfile.TemporaryDirectory() as folder:
        python, environment = sys.executable, os.environ | {"TMPDIR": folder}
        if part.module == TRL:
            if peers is None or not (peers / "bin/python").exists():
                return {"rows": {}, "ended": "TRL's environment is not there"}
            python, environment["PYTHONPATH"] = str(peers / "bin/python"), str(peers / "ppo")
        return _watched([python, "-m", part.module, *part.arguments], environment, seconds)


def _watched(command: list[str], environment: dict[str, str], seconds: float) -> dict[str, Any]:
    """Return what a command told, ending it and all that it has started when its time is over."""
    began, rows = time.monotonic(), dict[str, Any]()
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    words = list[str]()
    readers = [
        threading.Thread(target=_read, args=(process.stdout, lambda line: _take(rows, line))),
        threading.Thread(target=_read, args=(process.stderr, words.append)),
    ]
    for reader in readers:
        reader.start()
    try:
        code = process.wait(seconds)
        ended = "in time" if code == 0 else "failed: " + "".join(words)[-300:].strip()
    except subprocess.TimeoutExpired:
        ended = f"cut off after {seconds:.0f} s"
        os.killpg(process.pid, signal.SIGKILL)  # its stages too: it has a session of its own
        process.wait()
    for reader in readers:
        reader.join()
    return {"rows": rows, "ended": ended, "seconds": round(time.monotonic() - began, 1)}


def _read(pipe: Any, take: Any) -> None:
    for line in pipe:
        take(line)


def _take(rows: dict[str, Any], line: str) -> None:
    if line.startswith('{"row"'):
        told = json.loads(line)
        rows[told.pop("row")] = told
        print(line, end="", flush=True)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, help="folder of TRL's virtual environment")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--parts", nargs="+", choices=[part.name for part in PARTS])
    parser.add_argument("--small", action="store_true", help="tiny sizes on a CPU")
    parser.add_argument("--out", type=Path, default=Path("."), help="root below which results are written")
    chosen = parser.parse_args(arguments)
    parts = SMALL if chosen.small else PARTS
    out = chosen.out / page.OUT
    found = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    found = {"device": _device(chosen.small), "parts": found.get("parts", {})}
    peers = chosen.peers.absolute() if chosen.peers else None
    for part in parts:
        if chosen.parts is None or part.name in chosen.parts:
            found["parts"][part.name] = run(part, part.share * chosen.seconds, peers)
            print(f"{part.name}: {found['parts'][part.name]['ended']}", flush=True)
            write_text(out, json.dumps(found, indent=1) + "\n")  # what was measured stays if a later part fails
    write_text(chosen.out / page.PAGE, page.page(found))


def _device(small: bool) -> str:
    """Return the GPU's name. Raises SystemExit where there is none: nothing here is about CPUs."""
    if small:
        return "CPU, tiny sizes"
    import torch

    if not torch.cuda.is_available():
        raise SystemExit("make gpu: torch sees no GPU; python -m benchmarks.gpu --small --out FOLDER tries the script")
    return f"{torch.cuda.get_device_name()}, torch {torch.__version__}"


if __name__ == "__main__":
    main(sys.argv[1:])
