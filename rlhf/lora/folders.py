"""Folders of adapters: what LoRA trained, its tokenizer and its model's config, but not the base that it stands on.

PEFT's files, so that `PeftModel.from_pretrained(base, folder)` reads them. In the pipeline the base is another of its
own folders, which config.json names by one of two words; the name in adapter_config.json is never followed.
"""

import copy
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import load_file, save_file

from rlhf.lora import attaching
from rlhf.params.optimisation import Lora
from rlhf.runtime import distributed
from rlhf.sharding import shards

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."  # of PEFT's names
KEY = "adapter_base"  # in config.json: {"folder": one of BASES' words, "weights": their checksum}
BASES = {  # the stage that trained an adapter, and the folders below data/ that it may stand on
    "sft": ("pretrain",), "feedme": ("sft",), "rejection": ("sft",), "dpo": ("sft",), "ppo": ("sft",),
    "reward_model": ("sft", "pretrain"), "judge": ("sft", "pretrain"),
}  # fmt: skip
WITH_ROUNDS = ("ppo", "reward_model")


def base_of(path: Path | str) -> Path | None:
    """Return the pipeline's folder that an adapter of the pipeline stands on; None for any other folder or hub id.

    Only folders where the stages write can be adapters: data/sft, data/ppo/<round> and the like.
    """
    folder = Path(path)
    if not (folder / CONFIG).is_file() or not (folder / "config.json").is_file():
        return None
    place = folder.resolve()
    stage, data = (
        (place.parent.name, place.parent.parent) if place.parent.name in WITH_ROUNDS else (place.name, place.parent)
    )
    try:
        named = json.loads((folder / "config.json").read_text(encoding="utf-8")).get(KEY, {}).get("folder")
    except (ValueError, AttributeError):
        return None
    return data / named if data.name == "data" and named in BASES.get(stage, ()) else None


def write(model: "PreTrainedModel", params: Lora, base: Path, folder: Path) -> None:
    """Write adapters, heads and config into `folder`; `base` is the folder below data/ that the model was read from.

    The first of several processes does, and all call it: weights in shards are gathered.
    """
    weights = {name: shards.gathered(weight) for name, weight in attaching.trained_weights(model).items()}
    if not distributed.is_first():
        return
    config = copy.deepcopy(model.config)
    setattr(config, KEY, {"folder": base.name, "weights": checksum(base)})
    config.architectures = [shards.kind_of(model).__name__]
    config.save_pretrained(folder)
    told = attaching.configuration(model, params, [name for name, _ in attaching.adapters(model)]).to_dict()
    told |= {"base_model_name_or_path": f"data/{base.name}", "inference_mode": True}
    ordered = {key: sorted(value) if isinstance(value, set) else value for key, value in told.items()}
    text = json.dumps(ordered, indent=2, sort_keys=True, default=str)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")
    save_file(
        {PREFIX + name: weight.contiguous() for name, weight in weights.items()}, folder / WEIGHTS, {"format": "pt"}
    )


def put_on(model: "PreTrainedModel", folder: Path, new_head: bool = False) -> None:
    """Put the adapters and heads of `folder` on the base that they stand on; `new_head`: heads may be missing there.

    Raises ValueError where the base has changed since, and where files and model do not fit.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    base = base_of(folder)
    assert base is not None
    if config[KEY]["weights"] != checksum(base):
        raise ValueError(
            f"{CONFIG}: the base in {base} has changed since this adapter was trained on it; train it again"
        )
    params, targets = _params_of(folder)
    wanted = attaching.layers(model, targets)
    attaching.inject(model, attaching.configuration(model, params, wanted), wanted)
    found = load_file(folder / WEIGHTS)
    heads = tuple(f"{name}." for name in attaching.heads_of(model)) if new_head else ()
    own = {name: weight for name, weight in attaching.trained_weights(model).items() if name.startswith(heads or "/")}
    attaching.load_trained(model, own | {name.removeprefix(PREFIX): weight for name, weight in found.items()})


def _params_of(folder: Path) -> tuple[Lora, list[str]]:
    told: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    targets = told["target_modules"]
    chosen = {"rank": told["r"], "alpha": float(told["lora_alpha"]), "dropout": 0.0, "save": "adapter"}
    return Lora(**chosen, target_modules=targets), targets


def checksum(base: Path) -> str:
    """Return the checksum of a folder's weights, in 32 hexadecimal digits."""
    digest = hashlib.sha256()
    for file in sorted(base.glob("*.safetensors")):
        with open(file, "rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()[:32]
