"""Rates of this machine in the very code that will run: a few layers of the model's width, for some seconds.

Of each kind of work two sizes and two depths are timed, and what lies between is taken to be straight. torch is loaded.
"""

import hashlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from rlhf.models import placement
from rlhf.params.base import ParamsError
from rlhf.tokens import chat, tokenizer
from tools.planning.sizes import Dimensions
from tools.planning.timing import trials
from tools.planning.timing.rates import Line, Plane, Rates
from tools.planning.timing.trials import Sample
from tools.planning.work import LEARN, READ, Pass, Stage, pass_flops

MOST_FLOPS = 4e10  # of a layer's learning part
MOST_TOKENS = 2048
LARGEST_LAYER, LARGEST_VOCABULARY = 30_000_000, 150_000_000  # weights that are tried here
RECORDS = 200
WRITTEN = 64 * 2**20  # bytes
STARTED = "import stages.ppo, stages.evaluate, transformers.models.llama.modeling_llama, mlflow"
NONE = Line(0.0, 0.0)


def measured(params: Any, sizes: Dimensions, work: dict[str, Stage]) -> Rates:
    """Return the rates at which this machine does the work of these stages. Raises ParamsError where it cannot."""
    refuse(params, sizes)
    began, tried = time.monotonic(), of_work(sizes, work)
    placement.prepare(params.runtime, params.seed)
    passes = {what: trials.passes(params, sizes, tried, what) for what in sorted(tried.whats)}
    writes = tried.rows[1] > 0
    learning = LEARN if LEARN in passes else READ
    whole = Pass(learning, 1, tried.tokens[1], 0, tried.read)
    took = passes[learning].seconds(sizes.layers, tried.tokens[1])
    return Rates(
        passes=passes,
        heads={what: trials.heads(params, sizes, tried, what) for what in sorted(tried.whats)},
        steps=trials.steps(params, sizes, tried) if writes else Plane(NONE, NONE),
        draws=trials.draws(params, sizes, tried) if writes else NONE,
        updates={how: trials.updates(params, sizes, how) for how in sorted(tried.hows)},
        tries=trials.tries(params, sizes),
        record=_record(),
        start=_start(),
        byte=_byte(),
        flops=params.runtime.workers * pass_flops(sizes, whole, False) / max(took, 1e-9),
        took=time.monotonic() - began,
    )


def refuse(params: Any, sizes: Dimensions) -> None:
    """Raise ParamsError for what cannot be tried on this machine."""
    if params.runtime.device == "cuda" and not torch.cuda.is_available():
        raise ParamsError("no GPU is here to be measured; give what one reaches: --rate TFLOPS")
    if sizes.products() > LARGEST_LAYER or sizes.vocab * sizes.width > LARGEST_VOCABULARY:
        raise ParamsError(
            f"a layer of {sizes.products():,} weights is too large to be tried in seconds; give what the machine "
            "reaches: --rate TFLOPS"
        )


def of_work(sizes: Dimensions, work: dict[str, Stage]) -> Sample:
    """Return what must be timed for these stages: parts and steps of the size in which most is computed."""
    passes = [one for stage in work.values() for one in stage.passes if one.number]
    decodings = [one for stage in work.values() for one in stage.decodings]
    read = max(8, round(_mean([(one.read, one.number * one.tokens) for one in passes])))
    learned = [one for one in passes if one.what != READ] or passes
    typical = _mean([(one.tokens, one.number * one.tokens) for one in learned])
    most = max(1, round(min(typical, MOST_TOKENS, MOST_FLOPS / (6 * sizes.products())) / read))
    few = max(1, most // 4)
    rows = round(max((one.tokens / max(1.0, one.steps) for one in decodings), default=0.0))
    return Sample(
        whats={one.what for one in passes} | {READ},
        hows={one.how for stage in work.values() for one in stage.updates if one.number},
        tokens=(few * read, max(few + 1, most) * read),
        read=read,
        rows=(max(1, rows // 4), max(2, rows)) if decodings else (0, 0),
    )


def _mean(weighed: list[tuple[float, float]]) -> float:
    total = sum(weight for _, weight in weighed)
    return sum(value * weight for value, weight in weighed) / total if total else 1.0


def _record() -> float:
    """Return the seconds in which a dialogue becomes tokens."""
    texts = [f"Say {number} words about the {number + 1} foxes that sat on a mat." for number in range(RECORDS)]
    made = tokenizer.train(texts, 400, 256)
    made.chat_template = chat.PLAIN_TEMPLATE
    began = time.monotonic()
    for text in texts:
        chat.dialogue_ids(made, [{"role": "user", "content": text}], text)
    return (time.monotonic() - began) / RECORDS


def _byte() -> float:
    """Return the seconds in which a byte is written and summed."""
    content = bytes(WRITTEN)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "written"
        began = time.monotonic()
        with open(file, "wb") as opened:
            opened.write(content)
            opened.flush()
        with open(file, "rb") as opened:
            hashlib.file_digest(opened, "md5")
        return (time.monotonic() - began) / WRITTEN


def _start() -> float:
    """Return the seconds of the programs that stand before a stage's work: DVC, check, and what the stage loads."""
    began = time.monotonic()
    for command in (["-m", "dvc", "--version"], ["-m", "tools.check", "--help"], ["-c", STARTED]):
        subprocess.run([sys.executable, *command], check=True, capture_output=True)
    return time.monotonic() - began
