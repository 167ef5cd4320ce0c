"""Parameters of collect_prompts: where records come from, how they are cleaned, and how users are split."""

import glob
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args

from pydantic import AfterValidator, Field, field_validator, model_validator

from rlhf.params.base import Local, Named, OnHub, Params, expanded, folder_or_hub, is_mapping, place_of, shown

Split = Literal["sft", "reward_model", "judge", "ppo", "validation", "test"]
Use = Literal["documents", "demonstrations", "comparisons", "prompts"]
Meaning = Literal[
    "text", "prompt", "input", "system", "history", "response", "messages", "chosen", "rejected", "first", "second",
    "winner", "better", "strength", "label", "responses", "scores", "ranking", "ranks", "labels", "labeler", "user",
    "category", "language",
]  # fmt: skip
PersonalData = Literal[
    "email", "phone", "card", "iban", "id_number", "ip_address", "mac_address", "key", "handle", "birth_date",
    "address",
]  # fmt: skip
OnPersonalData = Literal["drop", "mask"]
# ISO 639-1 has 183 codes (Serbo-Croatian's was withdrawn).
ISO_639_1 = frozenset(
    "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo "
    "es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka "
    "kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng "
    "nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su "
    "sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu".split()
)


def _is_language(code: str) -> str:
    if code not in ISO_639_1 | {"other", "und"}:
        known = "an ISO 639-1 code ('en', 'zh', 'fr', ...), 'other' (not identified) or 'und' (no letters)"
        raise ValueError(f"expected {known}")
    return code


Language = Annotated[str, AfterValidator(_is_language)]
FileFormat = Literal["jsonl", "json", "csv", "tsv", "parquet", "arrow", "text"]
Name = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]

# ids of `datasets.load_dataset` that are no data sets: each reads the files in `folder`
READERS_OF_FOLDERS = {"arrow", "csv", "hdf5", "json", "lance", "pandas", "parquet", "text", "webdataset", "xml"}

MAX_ROW_MB = 16.0

# What save_to_disk of datasets 5.2.0 writes beside the Arrow files of a data set, and above those of its splits.
SAVED, SAVED_SPLITS = "state.json", "dataset_dict.json"
READ_SPLIT = "train"  # of several

SPLITS: tuple[Split, ...] = get_args(Split)
TAKES: dict[Split, set[Use]] = {
    "sft": {"demonstrations"},
    "reward_model": {"prompts", "comparisons"},
    "judge": {"prompts", "comparisons"},
    "ppo": {"prompts"},
    "validation": {"prompts", "comparisons", "demonstrations"},
    "test": {"prompts", "comparisons"},
}


class Source(Params):
    """What every kind of source says: its name, what is taken from its records, and which splits they may enter."""

    name: Name
    use: list[Use] = Field(min_length=1)
    splits: list[Split]  # left out: all that take what is used; reward_model and judge only with comparisons
    apart: bool = False  # its test prompts are a slice apart: measured by themselves, and in no figure over all prompts

    @model_validator(mode="before")
    @classmethod
    def _all_splits(cls, given: Any) -> Any:
        if not is_mapping(given) or "splits" in given:
            return given
        named = given.get("use")
        use = {*map(str, cast(list[object], named))} if isinstance(named, list) else set[str]()
        ranked = {"reward_model", "judge"} if "comparisons" not in use else set[str]()
        return {**given, "splits": [split for split, takes in TAKES.items() if takes & use and split not in ranked]}

    @model_validator(mode="after")
    def _splits_take_what_is_used(self) -> "Source":
        if self.apart and self.splits != ["test"]:
            raise ValueError(f"source '{self.name}': apart: true is for test prompts alone; set splits: [test]")
        if set(self.use) == {"documents"}:
            if self.splits:
                raise ValueError(f"source '{self.name}': use: [documents] enters no split; set splits: []")
            return self
        if not self.splits:
            raise ValueError(f"source '{self.name}': splits is empty; list some of {', '.join(SPLITS)}")
        for split in self.splits:
            if not TAKES[split] & set(self.use):
                allowed = ", ".join(sorted(TAKES[split]))
                raise ValueError(f"source '{self.name}': split {split} takes {allowed}, but use is {list(self.use)}")
        return self


class WorldSource(Source):
    """The embedded world: documents and prompts with demonstrations, made from a seed."""

    kind: Literal["world"]
    seed: int = Field(ge=0)
    documents: int = Field(ge=0)
    prompts: int = Field(ge=0)
    facts: Literal["seen", "held_out"]
    copy_probes: int = Field(ge=0)  # texts whose next word must be copied from them: pretrain tests the base on these
    chinese_share: float | None = Field(default=None, ge=0.0, le=1.0)  # of its prompts; null: the world's own, 0.08


class InstructionsSource(Source):
    """Prompts with instructions that a program verifies, made from a seed: on topics of its own, or over people's."""

    kind: Literal["instructions"]
    seed: int = Field(ge=0)
    prompts: int = Field(ge=1)  # of so many texts at most, where paths are given
    half: Literal["training", "held_out"]  # of wordings, topics and kinds of instruction
    paths: list[str] | None = Field(min_length=1)  # files of prompts that get an instruction each; null: own topics

    @model_validator(mode="after")
    def _has_what_is_used(self) -> "InstructionsSource":
        made = {"prompts", "demonstrations"} if self.half == "training" and self.paths is None else {"prompts"}
        if unmade := sorted(set(self.use) - made):
            raise ValueError(
                f"source '{self.name}': use: {unmade[0]}: instructions give prompts, and demonstrations where half is "
                "training and no paths are given"
            )
        return self


class FeedbackSource(Source):
    """What people said in the chat (`make chat`): a journal a user, see `rlhf.people.feedback`."""

    kind: Literal["feedback"]
    paths: list[str] = Field(min_length=1)
    thumbs: bool = False  # an answer with its thumb up is a demonstration

    @model_validator(mode="after")
    def _has_what_is_used(self) -> "FeedbackSource":
        if "documents" in self.use:
            raise ValueError(f"source '{self.name}': use: documents: chats are none")
        return self


class Scale(Params):
    """The lowest and the highest score that labelers could give."""

    low: float
    high: float

    @model_validator(mode="after")
    def _in_order(self) -> "Scale":
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} must be below high {self.high:g}")
        return self


class TableSource(Source):
    """What files and hub data sets say beyond the common part."""

    columns: dict[Meaning, str] | None
    form: str | None = None  # a format's name (docs/data.md), or "own"; null: told by the columns
    language: Language | None
    category: str | None
    scale: Scale | None = None  # of its scores; direct scores (reward_model.loss) cannot be learned without it
    limit: int | None = Field(ge=1)
    max_broken: float = Field(default=0.01, ge=0.0, le=1.0)  # share of rows that may be broken: they are left out, said
    strict: bool = False  # one odd row ends the source: one that is broken, or dropped where it is read
    max_row_mb: float | None = Field(gt=0.0, le=1e6)  # of a row, unpacked; longer ones are refused; null: MAX_ROW_MB
    licence: str | None


class FileSource(TableSource):
    """Local files; paths are relative to the folder of params.yaml and may hold *, ? and **."""

    kind: Literal["file"]
    paths: list[str] = Field(min_length=1)
    format: Literal["auto", FileFormat] = "auto"


class HubSource(TableSource):
    """A data set of the Hugging Face hub, or a local folder of one, read by `datasets.load_dataset`."""

    kind: Literal["hub"]
    id: str = Field(min_length=1)
    subset: str | None
    folder: str | None
    split: str = Field(default="train", min_length=1)
    revision: str | None

    @field_validator("id", "folder")
    @classmethod
    def _has_no_home(cls, path: str | None) -> str | None:
        if path is not None and path.startswith("~"):
            raise ValueError("datasets.load_dataset takes ~ for a folder's name; write the whole path")
        return path


class Limits(Params):
    """Inclusive bounds of a length."""

    min: int = Field(ge=0)
    max: int = Field(ge=1)

    @model_validator(mode="after")
    def _in_order(self) -> "Limits":
        if self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self


class NearDuplicates(Params):
    threshold: float = Field(gt=0.0, le=1.0)
    shingle_words: int = Field(ge=1, le=20)
    permutations: int | None = Field(ge=16, le=1024)  # null: all pairs; else those that MinHash proposes


class Cleaning(Params):
    normalise: bool
    languages: list[Language] | None = Field(min_length=1)
    prompt_characters: Limits
    prompt_words: Limits
    response_characters: Limits
    personal_data: list[PersonalData]
    on_personal_data: OnPersonalData
    placeholders: bool  # also what is nobody's counts as personal data: example.com, 555-0123
    exact_duplicates: bool
    common_prefix_characters: int | None = Field(ge=1)
    near_duplicates: NearDuplicates | None
    max_prompts_per_user: int | None = Field(ge=1)


class Documents(Params):
    characters: Limits
    personal_data: list[PersonalData]
    on_personal_data: OnPersonalData
    separator: str
    validation_share: float = Field(gt=0.0, lt=1.0)


class Comparisons(Params):
    min_responses: int = Field(ge=2)
    max_responses: int = Field(ge=2)

    @model_validator(mode="after")
    def _in_order(self) -> "Comparisons":
        if self.min_responses > self.max_responses:
            raise ValueError(f"min_responses {self.min_responses} is above max_responses {self.max_responses}")
        return self


Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Shares(Params):
    """Share of users (of prompts where a source has no users) that goes to each split; they add up to 1."""

    sft: Share
    reward_model: Share
    judge: Share
    ppo: Share
    validation: Share
    test: Share

    @model_validator(mode="after")
    def _sum_to_one(self) -> "Shares":
        total = sum(getattr(self, split) for split in SPLITS)
        if abs(total - 1.0) > 1e-6:
            raise ValueError(f"shares add up to {total:g}, not 1")
        return self


Cap = Annotated[int, Field(ge=1)]


class MaxPrompts(Params):
    """Most prompts a split may hold; null: all."""

    sft: Cap | None
    reward_model: Cap | None
    judge: Cap | None
    ppo: Cap | None
    validation: Cap | None
    test: Cap | None


AnySource = Annotated[
    WorldSource | InstructionsSource | FeedbackSource | FileSource | HubSource, Field(discriminator="kind")
]


class CollectPrompts(Params):
    sources: list[AnySource] = Field(min_length=1)
    cleaning: Cleaning
    documents: Documents
    comparisons: Comparisons
    shares: Shares
    max_prompts: MaxPrompts

    @field_validator("sources", mode="before")
    @classmethod
    def _kinds_by_keys(cls, given: Any) -> Any:
        """A source with paths is of kind file, one with an id of kind hub."""
        kinds = {"paths": "file", "id": "hub"}

        def with_kind(source: object) -> object:
            if not is_mapping(source) or "kind" in source:
                return source
            found = [kind for key, kind in kinds.items() if key in source and "half" not in source]
            return {**source, "kind": found[0]} if len(found) == 1 else source

        if not isinstance(given, list):
            return given
        return [with_kind(source) for source in cast(list[object], given)]

    @model_validator(mode="after")
    def _names_are_unique(self) -> "CollectPrompts":
        names = [source.name for source in self.sources]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"sources: the name '{name}' occurs twice; names make record ids, so they must differ")
        return self

    @model_validator(mode="after")
    def _shares_and_sources_agree(self) -> "CollectPrompts":
        for split in SPLITS:
            feeding = [source.name for source in self.sources if split in source.splits and not source.apart]
            if getattr(self.shares, split) > 0 and not feeding:
                but = " but as a slice apart" if any(split in source.splits for source in self.sources) else ""
                raise ValueError(f"shares.{split} is above 0, but no source lists {split} in its splits{but}")
        for source in self.sources:
            if source.splits and not any(getattr(self.shares, split) for split in source.splits):
                raise ValueError(f"source '{source.name}': all of its splits {list(source.splits)} have share 0")
        return self


class CollectPromptsInputs(Params):
    """The sections that the stage reads."""

    seed: int
    collect_prompts: CollectPrompts


def matches(pattern: str, root: Path) -> list[Path]:
    """Return the files that a path of params.yaml names, sorted, and those of folders that `save_to_disk` wrote.

    Raises FileNotFoundError with the fix if there are none, if links lead twice to a folder, and for names that no line
    of a message, and no dvc.yaml, can hold.
    """
    found = _found(pattern, root)
    files = [file for path in found for file in ([path] if path.is_file() else saved_files(path))]
    if not files:
        problem = f"no such file under {root.resolve()}; mend that path"
        if any(path.is_dir() for path in found):
            problem = f"a folder; name the files in it, such as {pattern:.200}/*.jsonl"
        raise FileNotFoundError(f"{pattern:.200}: {problem}")
    for file in files:
        if not os.path.relpath(file, root).isprintable():
            raise FileNotFoundError(f"{shown(str(file))}: a name with control characters or broken ones; rename it")
    return list(dict.fromkeys(files))


def _found(pattern: str, root: Path) -> list[Path]:
    path = expanded(pattern)
    if "**" in path.parts:
        _refuse_folders_seen_twice(root / Path(*path.parts[: path.parts.index("**")]), pattern)
    return [root / name for name in sorted(glob.glob(str(path), root_dir=root, recursive=True))]


def saved_files(folder: Path) -> list[Path]:
    """Return the Arrow files of a data set that `save_to_disk` wrote, or of its split train; [] for another folder.

    Raises FileNotFoundError for a file that is missing, for splits without train, and for a broken list of either.
    """
    splits = _listed(folder / SAVED_SPLITS)
    if splits:
        if READ_SPLIT not in splits:
            names = ", ".join(str(folder / name) for name in splits)
            raise FileNotFoundError(f"{folder}: no split {READ_SPLIT}; name one of its folders: {names}")
        return saved_files(folder / READ_SPLIT)
    found = [folder / name for name in _listed(folder / SAVED)]
    missing = [str(path) for path in found if not path.is_file()]
    if missing:
        raise FileNotFoundError(f"{folder / SAVED}: names {missing[0]}, which is missing; copy the whole folder")
    return found


def unread_splits(paths: Sequence[str], root: Path) -> list[Path]:
    """Return the folders of splits beside those that are read of data sets that `save_to_disk` wrote."""
    read = {file for pattern in paths for file in matches(pattern, root)}
    sets = [folder for pattern in paths for folder in _found(pattern, root)]
    splits = [folder / name for folder in sets for name in _listed(folder / SAVED_SPLITS)]
    return [split for split in splits if not read.issuperset(saved_files(split))]


def _listed(path: Path) -> list[str]:
    """Return the names that a list of `save_to_disk` holds; [] if there is no such file."""
    if not path.is_file():
        return []
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        is_of_splits = path.name == SAVED_SPLITS
        names: list[str] = content["splits"] if is_of_splits else [one["filename"] for one in content["_data_files"]]
        if any(Path(name).name != name for name in names):
            raise ValueError(f"expected names within the folder, got {names}")
        return names
    except (ValueError, LookupError, TypeError) as error:
        raise FileNotFoundError(f"{path}: not what save_to_disk writes ({error!r:.200})") from None


def is_saved(folder: Path) -> bool:
    """Return whether a folder holds one data set that `save_to_disk` wrote."""
    return (folder / SAVED).is_file()


def _refuse_folders_seen_twice(folder: Path, pattern: str) -> None:
    """Raise FileNotFoundError where ** would follow links round in circles, or read a folder in two places."""
    first: dict[str, str] = {}
    for place, _, _ in os.walk(folder, followlinks=True):
        if (earlier := first.setdefault(os.path.realpath(place), place)) is not place:
            raise FileNotFoundError(
                f"{pattern:.200}: {shown(earlier)} and {shown(place)} are one folder by a link, which ** would read "
                "twice; remove the link, or name the folders one by one"
            )


def named(params: CollectPrompts, root: Path) -> list[Named]:
    """Return the files, folders and data sets that the sources name; what they hold is an input of the stage."""
    found: list[Named] = []
    for number, source in enumerate(params.sources):
        place = f"collect_prompts.sources.{number}"
        if isinstance(source, FeedbackSource):
            found += [_named_journals(f"{place}.paths (source '{source.name}')", path) for path in source.paths]
        elif isinstance(source, FileSource | InstructionsSource) and source.paths:
            found += [Local(f"{place}.paths (source '{source.name}')", path, "files") for path in source.paths]
        elif isinstance(source, HubSource) and source.id in READERS_OF_FOLDERS:
            found += [Local(f"{place}.folder", source.folder, "folder")] if source.folder else []
        elif isinstance(source, HubSource):
            on_hub = OnHub(f"{place}.revision", "datasets", source.id, source.revision)
            found.append(folder_or_hub(f"{place}.id", on_hub, root))
    return found


def _named_journals(place: str, path: str) -> Local:
    """Return a pattern's folder, which stays where the last of its users is forgotten; a file by itself."""
    is_pattern = glob.has_magic(path)
    return Local(place, str(Path(path).parent), "journals") if is_pattern else Local(place, path, "files")


def feedback_files(source: FeedbackSource, root: Path) -> list[Path]:
    """Return the journals that a source names, sorted; a pattern may name none. Raises as `matches` does."""
    found = [path for pattern in source.paths for path in _found(pattern, root) or [*_not_a_pattern(pattern, root)]]
    return sorted(dict.fromkeys(path for path in found if path.is_file()))


def _not_a_pattern(path: str, root: Path) -> list[Path]:
    return [] if glob.has_magic(path) else matches(path, root)


def inputs(params: CollectPrompts, root: Path = Path(".")) -> list[Path]:
    """Return the local files and folders that the sources name. Raises FileNotFoundError naming source and path."""
    found: list[Path] = []
    for one in named(params, root):
        try:
            if isinstance(one, Local):
                found += matches(one.path, root) if one.what == "files" else [place_of(one.path, root)]
        except FileNotFoundError as error:
            raise FileNotFoundError(f"params.yaml: {one.place}: {error}") from None
    return found


def shares_of(params: CollectPrompts) -> Mapping[Split, float]:
    """Return {split: share} in the order of SPLITS."""
    return {split: getattr(params.shares, split) for split in SPLITS}


def names_of(sources: Sequence[Source]) -> str:
    """Return the sources' names for an error message."""
    return ", ".join(source.name for source in sources)
