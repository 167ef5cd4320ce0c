"""What params.yaml names that lies outside it, as dependencies in dvc.yaml: DVC then sees when one of them changes.

`python -m tools.check` keeps these entries of `deps`; each carries a comment, by which it is known again. A file or
folder stands for itself, a pattern for the folder that it begins with, in which new files may appear. What a hub holds
has no file here: its full commit sha is required, which cannot change.
"""

import ast
import glob
import json
import os
import re
import shlex
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any

from rlhf.models.gguf import places
from rlhf.params import collect_prompts, pretrain, reward_model, rewards
from rlhf.params.base import Installed, Local, Named, OfRounds, OnHub, expanded, is_folder, is_mapping, place_of, shown
from rlhf.params.labelers import kinds
from rlhf.params.moderation import section as moderation
from rlhf.runs import lineage
from tools import dvc_yaml, imports
from tools.unlisted import KEY

COMMENT = "named by params.yaml"
PIPELINE = Path("dvc.yaml")
MEND = "python -m tools.check"
PIN = "python -m tools.pin"
STAGES = (
    "collect_prompts", "pretrain", "sft", "collect_answers", "collect_comparisons", "reward_model", "ppo", "feedme",
    "rejection", "dpo", "judge", "moderation", "evaluate",
)  # fmt: skip
OUTPUTS = {Path("metrics"), *(Path("data", name) for name in (*STAGES, "model_card"))}
SHA = re.compile(r"[0-9a-f]{40}")
HUB = "https://huggingface.co"
PATIENCE = 3  # seconds that a hub may take to answer


def of_stages(params: Any, root: Path) -> dict[str, list[Named]]:
    """Return what each stage reads besides params, code and the outputs of others: {stage: what its params name}."""
    return {
        "collect_prompts": collect_prompts.named(params.collect_prompts, root),
        "pretrain": pretrain.named(params.pretrain, root),
        "collect_comparisons": [
            one
            for name in ("labelers", "judge_labelers")
            for one in kinds.named(f"collect_comparisons.{name}", getattr(params.collect_comparisons, name), root)
        ],
        "reward_model": reward_model.named("reward_model", params.reward_model, root),
        "judge": reward_model.named("judge", params.judge, root),
        "moderation": moderation.named(params.moderation, root),
        "ppo": [*_of_rewards(params.rewards, root)],
        "rejection": [*_of_rewards(params.rewards, root)],
        "evaluate": [*_of_rewards(params.rewards, root), *moderation.named_classifier(params.moderation, root)],
    }


def _of_rewards(params: rewards.Rewards, root: Path) -> Iterator[Named]:
    """Yield adopted reward models, and functions' files with those of the project that they import."""
    for number, adopted in enumerate(params.adopted):
        yield rewards.named_adopted(f"rewards.adopted.{number}", adopted, root)
    for number, one in enumerate(params.functions):
        yield from of_function(f"rewards.functions.{number}.function", one.function, root)


def of_function(place: str, function: str, root: Path) -> Iterator[Local]:
    """Yield the file of a function that stands at `place`, and the files beside it that it imports, and they import."""
    first = rewards.named_function(place, function, root)
    waiting, found = [first.path], list[str]()
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.append(path)
        yield Local(place, path, "files")
        try:
            tree = ast.parse((root / path).read_text(encoding="utf-8"))
        except (OSError, SyntaxError, ValueError):  # it is missing, or is no Python: that is said when it is imported
            continue
        waiting += [file for module in imports.imported_modules(tree) for file in _files_of(module, root)]


def _files_of(module: str, root: Path) -> list[str]:
    """Return the files below `root` that Python reads for a module that is not the pipeline's own code."""
    parts = module.split(".")
    if parts[0] in imports.PACKAGES:  # which the stages' deps name already
        return []
    candidates = [Path(*parts).with_suffix(".py"), *(Path(*parts[:n], "__init__.py") for n in range(1, len(parts) + 1))]
    return [path.as_posix() for path in candidates if (root / path).is_file() and (root / path).stat().st_size]


def mistakes(named: Iterable[Named], root: Path) -> Iterator[str]:
    """Yield what is wrong with what a stage reads: missing, not to be watched, or without a commit."""
    without_commit = []
    for one in named:
        if isinstance(one, Local):
            yield from (f"{one.place}: {problem}" for problem in _missing(one, root) or _unwatchable(one, root))
        elif isinstance(one, Installed):
            yield from (f"{one.place}: {problem}" for problem in _not_installed(one))
        elif isinstance(one, OfRounds):  # `tools.check` makes it where it is missing
            yield from (f"{one.place}: {problem}" for problem in _unwatchable(one, root))
        elif not is_commit(one.revision):
            without_commit.append(one)
    yield from _without_commit(without_commit, root)


def is_commit(revision: str | None) -> bool:
    """Return whether a revision is a full commit sha."""
    return SHA.fullmatch(revision or "") is not None


def _missing(one: Local, root: Path) -> list[str]:
    try:
        if one.what == "files":
            collect_prompts.matches(one.path, root)
        elif not is_folder(root / expanded(one.path)):
            mend = f"; nobody has talked yet? mkdir -p {one.path}" if one.what == "journals" else ""
            return [f"no such folder below {root.resolve()} (got {shown(one.path)}){_of_a_shell(one.path)}{mend}"]
    except FileNotFoundError as error:
        return [f"{error}{_of_a_shell(one.path)}"]
    return []


def _not_installed(one: Installed) -> list[str]:
    try:
        places.in_package(one)
    except ValueError as error:
        return [str(error)]
    return []


def _of_a_shell(path: str) -> str:
    return "; variables of a shell are not filled in: write ~/ or the whole path" if "$" in path else ""


def _unwatchable(one: Local | OfRounds, root: Path) -> list[str]:
    """Return why DVC cannot watch a path that exists."""
    dep, place = dependency(one), root.resolve()
    absolute = Path(os.path.normpath(place / dep))
    if isinstance(one, Local) and one.what == "files" and glob.has_magic(one.path) and place.is_relative_to(absolute):
        return [f"a pattern needs a folder that DVC can watch; move the files into one of their own (got {one.path!r})"]
    if os.path.isabs(dep) and absolute.is_relative_to(place):
        return [f"write a path inside the project as {absolute.relative_to(place)} (got {one.path!r})"]
    dep = Path(dep).parent.as_posix() if isinstance(one, OfRounds) else dep
    for output in OUTPUTS:
        if Path(dep).is_relative_to(output) or output.is_relative_to(dep):
            return [f"the pipeline writes {output}; copy its inputs to a folder of their own (got {one.path!r})"]
    return []


def dependency(one: Local | OfRounds) -> str:
    """Return the path that stands for it in dvc.yaml: a pattern's longest folder without a wildcard; of each round its
    own.
    """
    path = expanded(one.path)
    if isinstance(one, OfRounds):
        return Path(os.path.normpath(path), KEY).as_posix()
    if one.what == "files" and glob.has_magic(one.path):
        fixed = next(index for index, part in enumerate(path.parts) if glob.has_magic(part))
        path = Path(*path.parts[:fixed])
    return Path(os.path.normpath(path)).as_posix()


def dependencies(named: Iterable[Named]) -> list[str]:
    """Return the entries of `deps` that they ask for, sorted; what lies in a folder of another is left to that."""
    found = {dependency(one) for one in named if isinstance(one, Local | OfRounds)}
    return sorted(path for path in found if not any(str(parent) in found for parent in Path(path).parents))


def unlisted(params: Any, root: Path, stage: str) -> list[str]:
    """Return what a stage reads and dvc.yaml does not list, so that DVC would not see it change."""
    wanted = dependencies(of_stages(params, root).get(stage, []))
    if not wanted or not (root / PIPELINE).exists():
        return []
    listed = dvc_yaml.deps_of(dvc_yaml.read(root / PIPELINE), stage)
    return [dep for dep in wanted if dep not in listed]


def bring_up_to_date(params: Any, root: Path) -> list[str]:
    """Make dvc.yaml list what params name, and no longer what they named; return what was changed, a line a stage."""
    if not (root / PIPELINE).exists():
        return []
    pipeline, said = dvc_yaml.read(root / PIPELINE), []
    for stage, named in of_stages(params, root).items():
        if stage not in pipeline["stages"]:
            continue
        deps, wanted = dvc_yaml.deps_of(pipeline, stage), dependencies(named)
        ours = [dep for index, dep in enumerate(deps) if dvc_yaml.comment_of(deps, index) == COMMENT]
        gone = [dep for dep in ours if dep not in wanted]
        new = [dep for dep in wanted if dep not in deps]
        if gone or new:
            dvc_yaml.set_entries(deps, [*new, *(dep for dep in deps if dep not in gone)], COMMENT)
            words = [*(f"+ {dep}" for dep in new), *(f"- {dep}" for dep in gone)]
            said.append(f"dvc.yaml: deps of {stage}: {', '.join(words)}; commit it together with params.yaml")
    if said:
        dvc_yaml.write(root / PIPELINE, pipeline)
    return said


def _without_commit(unpinned: list[OnHub], root: Path) -> Iterator[str]:
    """Yield a line for each, with the commit of today as long as the hub answers."""
    answers = True
    for one in unpinned:
        today = commit_of_today(one) if answers else None
        answers = today is not None
        key = one.place.rpartition(".")[2]
        told = f"today's is {key}: {today}, and {PIN} writes it" if today else f"{PIN} asks the hub and writes it"
        yield (
            f"{one.place}: expected the full commit sha (40 hex digits) of {one.id!r}, for what a branch or tag names "
            f"can change; {told} (got {one.revision!r}). If it shall be a folder: {root.resolve() / one.id} is none"
        )


def commit_of_today(one: OnHub) -> str | None:
    """Ask the hub; None where it does not answer, or is not to be asked (HF_HUB_OFFLINE)."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return None
    at = f"/revision/{urllib.parse.quote(one.revision, safe='')}" if one.revision else ""
    url = f"{os.environ.get('HF_ENDPOINT', HUB)}/api/{one.kind}/{one.id}{at}"
    try:
        request = urllib.request.Request(url)
        if token := os.environ.get("HF_TOKEN"):
            request.add_unredirected_header("Authorization", f"Bearer {token}")  # for this host, wherever it sends us
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            about: Any = json.load(answer)
    except (OSError, ValueError, HTTPException, RecursionError):  # the third: an address or an answer that is no HTTP
        return None
    sha = about.get("sha") if is_mapping(about) else None
    return sha if SHA.fullmatch(str(sha)) else None


def untracked(params: Any, root: Path) -> list[str]:
    """Return a line for each input inside the project of which neither git nor DVC keeps a file."""
    found = []
    for one in (one for named in of_stages(params, root).values() for one in named if isinstance(one, Local)):
        dep = dependency(one)
        if os.path.isabs(dep) or dep.startswith("..") or _dvc_tracks(dep, root) or dep in (path for path, _ in found):
            continue
        if _missing(one, root):  # its own mistake
            continue
        kept = lineage.git(root, "ls-files", "-z", "--", dep)
        if kept is not None and {*_files(one, root)} - {Path(name) for name in kept.split("\0")}:
            found.append((dep, way(dep, root)))
    found += [*_untracked_labels(params, root)]
    return [
        f"{dep}: git does not keep it, so a colleague and an experiment's copy will not have it: {command}"
        for dep, command in found
    ]


def _untracked_labels(params: Any, root: Path) -> Iterator[tuple[str, str]]:
    """Yield each folder of labels inside the project of which git lacks a file, and the command that adds it."""
    named = (one for named in of_stages(params, root).values() for one in named if isinstance(one, OfRounds))
    for folder in dict.fromkeys(Path(dependency(one)).parent for one in named):
        if folder.is_absolute() or folder.parts[0] == "..":
            continue
        kept = lineage.git(root, "ls-files", "-z", "--", folder.as_posix())
        files = {file.relative_to(root) for file in (root / folder).rglob("*") if file.is_file()}
        files = {file for file in files if not lineage.IGNORED & {*file.parts}}
        if kept is not None and files - {Path(name) for name in kept.split("\0")}:
            yield folder.as_posix(), f"git add {_word(folder)}"


def way(dep: str, root: Path) -> str:
    """Return the command with which DVC keeps an input: of the folder above, where git ignores what lies beside it."""
    target = Path(dep)
    while lineage.git(root, "check-ignore", "--quiet", "--", f"{target}.dvc") is not None and len(target.parts) > 1:
        target = target.parent
    if target.is_relative_to("data"):
        return "move it out of data/, where the pipeline writes, and then dvc add"
    words = [_word(path) for path in (target, f"{target}.dvc", target.parent / ".gitignore")]
    return f"dvc add {words[0]} && git add {words[1]} {words[2]}"


def _word(path: Path | str) -> str:
    """Return a path as a word of a shell's command, and no option of it."""
    return shlex.quote(f"./{path}" if str(path).startswith("-") else str(path))


def _files(one: Local, root: Path) -> Iterator[Path]:
    """Yield its files, from `root`."""
    if one.what == "files":
        found: Iterable[Path] = collect_prompts.matches(one.path, root)
    else:
        found = (file for file in place_of(one.path, root).rglob("*") if file.is_file())
    yield from (Path(os.path.relpath(file, root)) for file in found)


def _dvc_tracks(dep: str, root: Path) -> bool:
    """Return whether git knows that DVC keeps it: a .dvc file that was not added to git is in no copy."""
    files = [f"{path}.dvc" for path in (Path(dep), *Path(dep).parents[:-1])]
    return bool(lineage.git(root, "ls-files", "--", *files))
