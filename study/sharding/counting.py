"""What a rank would hold and send, counted without a GPU: fake tensors in a fake process group, torch's memory tracker.

The code is that of training (`rlhf.sharding.shards.over`, gradient checkpointing, logits in chunks), computed as on a
GPU: low weights are gathered, sums are float32. Nothing is allocated and nothing sent. What torch's kernels take for
themselves, and what an allocator wastes, is not counted. Moments are not tracked but added: two numbers a weight.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any, NamedTuple, TypedDict

GIB = 2**30
RANKS = (8, 16, 32, 64)
TOKENS = 4096  # of a micro-batch: one row
MOMENTS = 2


class Sizes(NamedTuple):
    """A Llama-shaped model, as published (Touvron et al. 2023)."""

    layers: int
    width: int
    inner: int
    heads: int
    read: int  # heads of keys and values
    vocab: int = 32_000


MODELS = {"7B": Sizes(32, 4096, 11008, 32, 32), "70B": Sizes(80, 8192, 28672, 64, 8)}


class Counted(TypedDict):
    """One model on so many ranks; memory in GiB of a rank."""

    model: str
    ranks: int
    parameters: int
    embedding_rows: int  # of a rank
    weights: float
    gradients: float
    moments: float
    gathered: float  # weights that are whole at the moment of the most, and the buffers that they came in
    others: float  # activations and what the gradient makes, then
    peak: float  # of a rank in an update
    ppo: float  # with a value model that learns and two frozen ones
    messages: dict[str, int]  # of a micro-batch, forward and backward
    sent: dict[str, float]  # GiB of them, of the whole tensors


def every_case(say: Callable[[str], None]) -> list[Counted]:
    """Count each case in a process of its own, which has one process group."""
    found: list[Counted] = []
    for model in MODELS:
        for ranks in RANKS:
            command = [sys.executable, "-m", "study.sharding.counting", model, str(ranks)]
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
            found.append(json.loads(done.stdout.splitlines()[-1]))
            say(f"{model} on {ranks}: {found[-1]['peak']:.1f} GiB a rank")
    return found


def count(model: str, ranks: int) -> Counted:
    """Count one update of a model on one micro-batch."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.distributed._tools.fsdp2_mem_tracker import FSDPMemTracker
    from torch.distributed.device_mesh import init_device_mesh
    from torch.testing._internal.distributed.fake_pg import FakeStore

    from rlhf.sharding import shards
    from study.sharding import messages

    torch.distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=ranks)
    among = init_device_mesh("cpu", (ranks,))
    with FakeTensorMode(allow_non_fake_inputs=True):
        made = untrained(MODELS[model])
        parameters = sum(weight.numel() for weight in made.parameters())
        shards.over(made, among, policy())
        embedding = made.get_input_embeddings().weight
        rows = embedding.to_local().shape[0]
        ids = torch.zeros(1, TOKENS, dtype=torch.long)
        tracker, sending = FSDPMemTracker(made), messages.Counting()
        tracker.track_inputs((ids,))
        with tracker, sending:
            made(ids).backward()
        snapshot = tracker.get_tracker_snapshot("peak")
    (peak,) = ({str(kind).rsplit(".", 1)[-1]: size / GIB for kind, size in one.items()} for one in snapshot.values())
    share = 4 * parameters / ranks / GIB
    moments, total = MOMENTS * share, peak["Total"] + MOMENTS * share
    gathered = sum(peak[kind] for kind in ("UNSHARDED_PARAM", "ALL_GATHER"))
    return Counted(
        model=model,
        ranks=ranks,
        parameters=parameters,
        embedding_rows=rows,
        weights=peak["SHARDED_PARAM"],
        gradients=share,
        moments=moments,
        gathered=gathered,
        others=peak["Total"] - peak["SHARDED_PARAM"] - peak["SHARDED_GRAD"] - gathered,
        peak=total,
        ppo=total + share + moments + 2 * share,
        messages=sending.messages,
        sent={name: size / GIB for name, size in sending.bytes.items()},
    )


def untrained(sizes: Sizes) -> Any:
    """Return a model whose call is the loss of a row, with logits some rows at a time, as training has it."""
    import torch
    import transformers

    from rlhf.engine import logprobs

    config = transformers.LlamaConfig(
        hidden_size=sizes.width,
        intermediate_size=sizes.inner,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        num_key_value_heads=sizes.read,
        vocab_size=sizes.vocab,
        max_position_embeddings=TOKENS,
    )
    model: Any = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    model.gradient_checkpointing_enable({"use_reentrant": False})
    model.train()

    def losses(ids: torch.Tensor) -> torch.Tensor:
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state.flatten(0, 1)
        return -logprobs.of_hidden(hidden, logprobs.Head(model.lm_head.weight, None), ids.flatten()).sum()

    model.forward = losses
    return model


def policy() -> Any:
    """Return what a GPU's training gathers (`shards.precision`)."""
    import torch
    from torch.distributed.fsdp import MixedPrecisionPolicy

    return MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False)


if __name__ == "__main__":
    print(json.dumps(count(sys.argv[1], int(sys.argv[2]))))
