"""Judgements of people, from other tools and for them.

    python -m tools.labels import ranked.jsonl --round r1 --labeler ada
    python -m tools.labels export --format argilla --round r1 --out ranked.jsonl
    python -m tools.labels figures --round r1

Import reads what `collect_prompts` reads (Argilla 1.x and 2.x, Label Studio, TRL's pairs, and some fifty more) and what
export wrote as jsonl. It takes judgements of answers that the round has, known by their text, adds them to the
labeler's file and rewrites no line; what is there already is not added again. Export writes the judgements that hold.
Whatever a file or a form cannot carry is counted and said. Figures are each labeler's: seconds a prompt, ties, ratings,
flags, written answers, skips.
"""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

from rlhf.params.base import Params, ParamsError, load
from rlhf.params.collect_comparisons import CollectComparisons
from rlhf.params.labelers.people import People
from rlhf.params.rounds import Rounds
from rlhf.people import names, standing
from rlhf.secrets import guard
from tools.labels import exporting, figures, importing
from tools.looking import piped


class LabelsInputs(Params):
    rounds: Rounds
    collect_comparisons: CollectComparisons


def main(arguments: list[str], root: Path = Path(".")) -> int:
    """Do as asked; returns the exit code: 1 where nothing was taken or written, 2 for a broken params.yaml."""
    chosen = _parsed(arguments)
    guard.install()
    try:
        params = load(root, LabelsInputs)
        people = _people(params, chosen.round, chosen.judge)
    except ParamsError as error:
        guard.say(str(error))
        return 2
    answers = standing.read_answers(root, chosen.round)
    if not any(answers.values()):
        raise ValueError(f"data/collect_answers/{chosen.round}: no answers to judge are there; dvc repro makes them")
    folder = people.folder_of(root, chosen.round).parent
    if chosen.command == "figures":
        guard.say(json.dumps(figures.of_round(folder, chosen.round, answers), ensure_ascii=False, indent=2), sys.stdout)
        return 0
    if chosen.command == "import":
        there = importing.Place(folder, chosen.round, names.checked(chosen.labeler), answers, people.scale)
        number, counts = importing.take(chosen.file, chosen.only, there, root)
        said = f"{there.file}: {number} judgements of {chosen.file} added"
    else:
        rows, counts = exporting.rows(folder, chosen.round, answers, people, chosen.format)
        number = len(rows)
        said = f"{chosen.out}: {number} rows written" if rows else f"{chosen.out}: nothing to write"
        if rows:
            exporting.write(rows, chosen.out, chosen.format)
    guard.say(f"{said}{_in_words(counts)}", sys.stdout)
    return 0 if number or counts["already_there"] else 1


def _parsed(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    taking = commands.add_parser("import", help="add judgements of a file to a labeler's own")
    taking.add_argument("file", type=Path)
    taking.add_argument("--labeler", required=True, help="whose judgements they become")
    taking.add_argument("--only", help="who is meant, of several labelers whom the file names")
    giving = commands.add_parser("export", help="write the judgements that hold for other tools")
    giving.add_argument("--format", required=True, choices=sorted(exporting.FORMATS))
    giving.add_argument("--out", type=Path, required=True)
    telling = commands.add_parser("figures", help="say what each labeler's judgements come to")
    for one in (taking, giving, telling):
        one.add_argument("--round", required=True)
        one.add_argument("--judge", action="store_true", help="of judge_labelers, where these are other people")
    return parser.parse_args(arguments)


def _people(params: LabelsInputs, round_name: str, judge: bool) -> People:
    """Return the people who rank. Raises ParamsError where nobody does, or for an unknown round."""
    if round_name not in params.rounds:
        raise ParamsError(f"--round: expected one of rounds: {', '.join(params.rounds)} (got {round_name!r})")
    key = "judge_labelers" if judge else "labelers"
    found = getattr(params.collect_comparisons, key)
    if not isinstance(found, People):
        raise ParamsError(
            f"params.yaml: collect_comparisons.{key}: expected kind people, whose labels are meant; "
            "examples/people.yaml shows it"
        )
    return found


def _in_words(counts: Counter[str]) -> str:
    return "".join(f"\n  {count} {name.replace('_', ' ')}" for name, count in counts.most_common() if count)


if __name__ == "__main__":
    piped.exit_with(lambda: main(sys.argv[1:]))
