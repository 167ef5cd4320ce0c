"""What a model folder says of itself beside its weights, judged before any of it is read.

Code that comes with a model is never run, and its switches do not decide how models are computed: params.yaml does.
Both are refused or left out, and said; neither passes on into a folder that is saved.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

import transformers

from rlhf.lora import folders as adapter_folders
from rlhf.models import folder_files
from rlhf.models.folder_files import INDEX, WEIGHTS
from rlhf.runtime.files import write_json

USUAL = {  # what a config may say of its model's answers, and what is said here
    "return_dict": True,
    "use_cache": True,
    "output_attentions": False,
    "output_hidden_states": False,
    "chunk_size_feed_forward": 0,
}
KERNELS = (  # how something is computed; attention by runtime.attention, mixtures of experts as transformers chooses
    "attn_implementation",
    "_attn_implementation",
    "experts_implementation",
    "_experts_implementation",
)
REWARD_MODEL = "rlhf_reward_model"  # of reward models that no class of transformers scores as we do: it refuses them
LEFT_OUT = (
    "auto_map",  # names of classes in Python files
    "base_model_name_or_path",
    "distributed_config",
    "fusion_config",
    "gradient_checkpointing",
    "kernel_config",
    "torchscript",
    "tp_plan",
    "use_kernels",
)


def told(path: Path | str, revision: str | None = None) -> dict[str, Any]:
    """Return what config.json of a folder or hub id says; {} where it has none, as a tokenizer's may."""
    config, _ = transformers.PretrainedConfig.get_config_dict(path, revision=revision)
    return config


def set_apart(folder: Path) -> None:
    """Give a reward model's config.json a type of its own, so that plain transformers does not misread its scores.

    Its backbone's type stays beside it, by which `backbone_config` reads it.
    """
    place = folder / folder_files.CONFIG
    config = folder_files.read(place, folder_files.CONFIG)
    config |= {"reward_backbone_type": config["model_type"], "model_type": REWARD_MODEL}
    config["architectures"] = ["RewardModel"]  # some programs choose their class by it
    write_json(place, dict(sorted(config.items())))


def backbone_config(path: Path | str, revision: str | None, **more: Any) -> Any:
    """Return the config of a folder that `set_apart` has marked, as its backbone's; None of any other.

    Raises ValueError where it names a backbone that transformers does not have.
    """
    config = told(path, revision)
    if config.get("model_type") != REWARD_MODEL:
        return None
    kind = config.pop("reward_backbone_type", None)
    if kind not in transformers.CONFIG_MAPPING:
        raise ValueError(f"config.json: reward_backbone_type: transformers has no {kind!r}; save the model again")
    known = {name: value for name, value in config.items() if name not in ("model_type", "architectures")}
    return transformers.CONFIG_MAPPING[kind].from_dict(known | more)


def own_code(path: Path | str, revision: str | None) -> list[str]:
    """Return the classes of its own that a folder or hub id asks for: "AutoModelForCausalLM: own.Model"."""
    of_tokenizer = transformers.models.auto.tokenization_auto.get_tokenizer_config(path, revision=revision)
    maps = [told(path, revision).get("auto_map"), of_tokenizer.get("auto_map")]
    lines = []
    for named in filter(None, maps):
        for kind, classes in (named if isinstance(named, dict) else {"AutoTokenizer": named}).items():
            names = filter(None, classes) if isinstance(classes, list) else [classes]
            lines += [f"{kind}: {', '.join(map(str, names))}"]
    return lines


def refuse(path: Path | str, revision: str | None) -> None:
    """Raise ValueError for what is no whole model in plain safetensors, and for an architecture that is only code."""
    config = told(path, revision)
    if adapter_folders.base_of(path) is None:
        refuse_adapter(path, revision)
    for name in ("quantization_config", "compression_config", "transformers_weights"):
        if any(one.get(name) is not None for one in _with_nested(config)):
            raise ValueError(
                f"config.json: {name}: weights are read as float32 from model.safetensors; save the model again "
                "without quantisation, under the usual file names"
            )
    _refuse_index(path, revision)
    kind = config.get("model_type")
    if config.get("auto_map") and kind not in transformers.CONFIG_MAPPING:
        raise ValueError(needs_code(path, revision))


def refuse_adapter(path: Path | str, revision: str | None) -> None:
    """Raise ValueError for what is an adapter and not a model."""
    if folder_files.found(path, adapter_folders.CONFIG, revision):
        raise ValueError(
            "adapter_config.json: this is an adapter on another model, which would be fetched by the name that stands "
            "there; merge the two (merge_and_unload of PEFT) and name the folder of the result"
        )


def _refuse_index(path: Path | str, revision: str | None) -> None:
    """Raise ValueError for an index of weights that names files outside of its folder, or that are not in it."""
    found = folder_files.found(path, INDEX, revision)
    if found is None:
        return
    try:
        names = {*folder_files.read(found, INDEX)["weight_map"].values()}
    except (LookupError, TypeError, AttributeError):
        raise ValueError(f"{INDEX}: expected {{weight_map: {{weight: file}}}} as JSON; save the model again") from None
    outside = sorted(str(name) for name in names if not _is_within(name))
    if outside:
        raise ValueError(
            f"{INDEX}: names files outside of its folder, which are not read: {', '.join(outside[:3])}; "
            "save the model again, all of it in one folder"
        )
    missing = sorted(name for name in names if not (Path(path) / name).is_file())
    if missing and Path(path).is_dir() and not (Path(path) / WEIGHTS).exists():
        raise ValueError(f"{INDEX}: names files that are not there: {', '.join(missing[:3])}; copy the folder again")


def _is_within(name: object) -> bool:
    """Say whether an index's name of a file leads into its folder: here or, with backslashes and drives, elsewhere."""
    if not isinstance(name, str) or not name:
        return False
    path = PureWindowsPath(name)  # takes both kinds of slashes
    return not path.anchor and ".." not in path.parts


def needs_code(path: Path | str, revision: str | None) -> str:
    """Return why a model that only its own code can read is not read."""
    return (
        f"it asks for code of its own ({'; '.join(own_code(path, revision))}) and transformers has no class for it. "
        "Code that comes with a model is never run, and no param allows it; adopt an architecture that transformers "
        "has (docs/models.md)"
    )


def ignored(path: Path | str, revision: str | None = None) -> list[str]:
    """Return, a line each, what a folder or hub id asks for and does not get."""
    config, lines = told(path, revision), []
    if code := own_code(path, revision):
        lines.append(f"{path}: its own code ({'; '.join(code)}) is not run; transformers' classes are taken")
    found = {
        name: one[name]
        for one in _with_nested(config)
        for name in (*USUAL, *KERNELS, *LEFT_OUT)
        if name != "auto_map" and one.get(name) is not None and one[name] != USUAL.get(name, False)
    }
    if found:
        shown = ", ".join(f"{name}: {str(value)[:60]}" for name, value in sorted(found.items()))
        lines.append(f"{path}/config.json: left out, for params.yaml decides how models are computed: {shown}")
    return lines


def without_switches(config: Any) -> Any:
    """Return the config, and those nested in it, without what must not decide how its model is computed."""
    nested = [getattr(config, name, None) for name in config.sub_configs]
    for one in (config, *filter(None, nested)):
        for name, usual in USUAL.items():
            if hasattr(one, name):
                setattr(one, name, usual)
        for name in LEFT_OUT:
            vars(one).pop(name, None)
    config._experts_implementation = None  # of all nested ones; `runtime.attention` replaces the other
    return config


def _with_nested(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield what config.json says, then what it says of the parts of a model of several kinds."""
    yield config
    for value in config.values():
        if isinstance(value, dict) and "model_type" in value:
            yield from _with_nested(value)
