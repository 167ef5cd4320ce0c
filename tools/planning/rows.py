"""How many records each set holds, and how long they are in tokens: counted in data/collect_prompts, or as long as the
params allow where it is not there yet.

Tokens are counted by the tokenizer of data/pretrain; before there is one, words and marks are (see `pieces`).
"""

import json
import random
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = "data/collect_prompts"
SAMPLE = 2000  # records of a file that are counted; the others are taken to be like them
TURN = 4  # tokens that a template puts around a turn, about
WORDS = re.compile(r"[\u3400-\u9fff]|\w+|[^\w\s]")
OF_OTHERS = 1.15  # tokens a word or mark where others made the vocabulary: OpenAI counts 4 tokens to 3 words of English
PROMPTS = ("reward_model", "judge", "ppo", "validation", "test")
SETS = ("sft", "ranked", *PROMPTS)  # of which a number of records can be given
PAIR = 2.0  # answers of a comparison that is not read yet
OF_SPLITS = {"train": "reward_model", "validation": "validation", "judge": "judge"}  # who learns given comparisons
MADE = ("world", "instructions")

Count = Callable[[str], int]


class Rows(NamedTuple):
    """So many records, and the tokens of a sample of them."""

    number: int
    prompts: tuple[int, ...]
    answers: tuple[int, ...] = ()  # beside each prompt, of all its answers; () where none is known
    each: float = 1.0  # answers of a prompt

    def mean_prompt(self) -> float:
        return sum(self.prompts) / len(self.prompts) if self.prompts else 0.0

    def mean_answer(self) -> float:
        return sum(self.answers) / len(self.answers) if self.answers else 0.0

    def drawn(self, count: int, seed: int = 0) -> list[tuple[int, int]]:
        """Return so many (prompt, answer) of the sample, at random."""
        pairs = [*zip(self.prompts, self.answers or (0,) * len(self.prompts), strict=True)]
        return random.Random(seed).choices(pairs, k=count) if pairs else []


class Known(NamedTuple):
    """What there is to learn from and to answer."""

    demonstrations: Rows
    validation: Rows  # demonstrations held out
    prompts: dict[str, Rows]  # by split
    ranked: dict[str, Rows]  # given comparisons: train, validation, judge; `answers`: of all answers of a record
    documents: int  # tokens of pretraining text
    held_out: int  # and of the part that is held out
    probes: int  # texts for copying
    bounds: bool  # lengths are the longest that params allow
    counted: str  # how it is known, in words


def known(params: Any, root: Path) -> Known:
    """Return what data/collect_prompts holds, or what params allow where it does not hold it yet."""
    if not (root / FOLDER / "demonstrations.train.jsonl").exists():
        return allowed(params)
    count, how = counter(params, root)
    folder = root / FOLDER
    documents = [_documents(folder / f"documents.{part}.jsonl", count) for part in ("train", "validation")]
    return Known(
        demonstrations=_of_file(folder / "demonstrations.train.jsonl", count),
        validation=_of_file(folder / "demonstrations.validation.jsonl", count),
        prompts={name: _of_file(folder / f"prompts.{name}.jsonl", count) for name in PROMPTS},
        ranked={
            name: _of_file(folder / f"comparisons.{name}.jsonl", count) for name in ("train", "validation", "judge")
        },
        documents=documents[0],
        held_out=documents[1],
        probes=_lines(folder / "copy_probes.jsonl"),
        bounds=False,
        counted=f"of {FOLDER}, tokens by {how}",
    )


def allowed(params: Any) -> Known:
    """Return as many records as the sources name, each as long as params allow."""
    section = params.collect_prompts
    prompt, answer = params.ppo.max_prompt_tokens, params.ppo.max_completion_tokens
    counts = _counts(section, {"prompts", "demonstrations"})
    rows = {split: Rows(round(count), (prompt,), (answer,)) for split, count in counts.items()}
    given, answers = _counts(section, {"comparisons"}), (round(PAIR * answer),)
    return Known(
        demonstrations=rows.pop("sft"),
        validation=rows["validation"],
        prompts=rows,
        ranked={name: Rows(round(given[split]), (prompt,), answers, PAIR) for name, split in OF_SPLITS.items()},
        documents=0,
        held_out=0,
        probes=sum(getattr(source, "copy_probes", 0) for source in section.sources),
        bounds=True,
        counted="as params bound them (after dvc repro collect_prompts: as the data are)",
    )


def _counts(section: Any, uses: set[str]) -> dict[str, float]:
    """Return how many rows sources of one of these uses bring to each split; slices apart, few as they are, not."""
    counts: dict[str, float] = dict.fromkeys(("sft", *PROMPTS), 0.0)
    for source in (one for one in section.sources if not one.apart):
        total = sum(getattr(section.shares, split) for split in source.splits) or 1.0
        for split in source.splits if uses & {*source.use} else ():
            counts[split] += _records(source) * getattr(section.shares, split) / total
    return counts


def with_counts(found: Known, params: Any, counts: Mapping[str, int]) -> Known:
    """Return the same with other numbers of records, by set (SETS)."""
    prompts = {name: one._replace(number=counts.get(name, one.number)) for name, one in found.prompts.items()}
    changed = found._replace(prompts=prompts)
    if "sft" in counts:
        changed = changed._replace(demonstrations=found.demonstrations._replace(number=counts["sft"]))
    if "ranked" in counts:
        section, given = params.collect_answers, found.ranked["train"]
        answers = (section.min_responses + section.max_responses) / 2
        total = round(answers * params.ppo.max_completion_tokens)
        one = given if given.number else Rows(0, (params.ppo.max_prompt_tokens,), (total,), answers)
        changed = changed._replace(ranked=found.ranked | {"train": one._replace(number=counts["ranked"])})
    return changed


def unknown_sources(params: Any) -> list[str]:
    """Return the names of the sources of which params say no number of records."""
    return [one.name for one in params.collect_prompts.sources if one.kind not in MADE and not _records(one)]


def _records(source: Any) -> int:
    return source.prompts if source.kind in MADE else getattr(source, "limit", None) or 0


def counter(params: Any, root: Path) -> tuple[Count, str]:
    """Return what counts a text's tokens, and what that is in words."""
    file = root / "data/pretrain/tokenizer.json"
    if file.exists():
        from tokenizers import Tokenizer  # here: check does without

        tokenizer: Any = Tokenizer.from_file(str(file))
        return lambda text: len(tokenizer.encode(f" {text}", add_special_tokens=False).ids), "data/pretrain's tokenizer"
    factor = 1.0 if params.pretrain.source == "scratch" else OF_OTHERS
    return lambda text: round(factor * pieces(text)), f"words and marks, times {factor:g}"


def pieces(text: str) -> int:
    """Return the number of words and marks: tokens of a vocabulary made for a text. A Chinese character is a word."""
    return len(WORDS.findall(text))


def _of_file(path: Path, count: Count) -> Rows:
    prompts, answers, num_answers = [], [], 0
    for record in _sample(path):
        prompts.append(sum(count(message["content"]) + TURN for message in record["messages"]) + TURN)
        given = record.get("responses") or ([record["response"]] if "response" in record else [])
        if given:
            answers.append(sum(count(response) + 1 for response in given))
            num_answers += len(given)
    each = num_answers / len(answers) if answers else 1.0
    return Rows(_lines(path), tuple(prompts), tuple(answers), each)


def _documents(path: Path, count: Count) -> int:
    found = [count(record["text"]) + 1 for record in _sample(path)]
    return round(_lines(path) * sum(found) / len(found)) if found else 0


def _sample(path: Path) -> Iterator[Any]:
    """Yield records at like distances."""
    step = max(1, _lines(path) // SAMPLE)
    if path.exists():
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file):
                if number % step == 0:
                    yield json.loads(line)


def _lines(path: Path) -> int:
    if not path.exists():
        return 0
    with path.open("rb") as file:
        return sum(1 for _ in file)
