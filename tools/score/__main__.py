"""Scores answers: by a trained reward model, or by the weighted sum that params.yaml's section `rewards` names.

    python -m tools.score FILE                                the last round's reward model
    python -m tools.score FILE --model data/reward_model/r1   another reward model's folder
    python -m tools.score FILE --rewards                      the weighted sum, its terms beside it
    python -m tools.score --serve 8008                        the same over HTTP: POST /score, GET /health

FILE is JSONL, JSON or CSV. A row has `prompt` (text) or `messages` (turns of role and content), and `response` (text)
or `responses` (several). Out come the rows as JSON lines, in their order, with `score` or `scores`; --out: to a file.
"""

import argparse
import json
import signal
import sys
import threading
from pathlib import Path
from typing import Any, NamedTuple

from rlhf.params.base import Params, ParamsError, load
from rlhf.params.rewards import Rewards
from rlhf.params.rounds import Rounds
from rlhf.params.runtime import Runtime
from rlhf.rewards import folder_scorer
from rlhf.rewards.folder_scorer import Asked
from rlhf.runtime.files import write_text
from rlhf.secrets import guard
from tools.looking import piped

LOOPBACK = "127.0.0.1"


class ScoreInputs(Params):
    """The sections that scoring reads."""

    seed: int
    runtime: Runtime
    rounds: Rounds
    rewards: Rewards


class Scoring(NamedTuple):
    """What scores, and what it is called."""

    name: str
    rewards: Any  # a RewardSum
    tokenizer: Any  # which counts an answer's tokens; None where their number is no term


def main(arguments: list[str], root: Path = Path(".")) -> int:
    """Score a file, or serve; returns the exit code: 2 for mistakes, which are said."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--model", type=Path, help="a reward model's folder; else the last round's")
    parser.add_argument("--rewards", action="store_true", help="the weighted sum of params.yaml")
    parser.add_argument("--out", type=Path, help="where the rows are written; else they are printed")
    parser.add_argument("--serve", type=int, metavar="PORT", help="answer over HTTP")
    parser.add_argument("--host", default=LOOPBACK, help="where it listens; elsewhere than on loopback others may ask")
    parser.add_argument("--batch-size", type=int, default=64, help="answers at once")
    chosen = parser.parse_args(arguments)
    if (chosen.file is None) == (chosen.serve is None):
        parser.error("expected FILE, or --serve PORT")
    if chosen.model and chosen.rewards:
        parser.error("expected one of --model and --rewards")
    guard.install()
    try:
        rows = folder_scorer.read(chosen.file) if chosen.file else []
        scoring = opened(root, chosen.model, chosen.rewards)
        if chosen.serve is not None:
            return serve(scoring, chosen.host, chosen.serve, chosen.batch_size)
        lines = [json.dumps(row, ensure_ascii=False) for row in scored(scoring, rows, chosen.batch_size)]
    except (ParamsError, ValueError, OSError) as error:
        guard.say(str(error))
        return 2
    if chosen.out:
        write_text(chosen.out, "".join(f"{line}\n" for line in lines))
    else:
        print("\n".join(lines))
    return 0


def opened(root: Path, model: Path | None, summed: bool) -> Scoring:
    """Return what scores. Raises ValueError for a folder that is no trained reward model."""
    params = load(root, ScoreInputs)
    from rlhf.models import loading, placement
    from rlhf.preferences.rewards import RewardScorer
    from rlhf.rewards import weighted

    placement.prepare(params.runtime, params.seed)
    last = root / "data/reward_model" / list(params.rounds)[-1]
    folder = model or last
    trained = None
    if not summed or params.rewards.trained:
        if not (folder / "config.json").is_file():
            raise ValueError(f"{folder}: no reward model's folder: expected config.json in it; dvc repro reward_model")
        trained = RewardScorer(folder, params.runtime)
    if not summed:
        assert trained is not None
        return Scoring(str(folder), weighted.alone(trained), None)
    found = weighted.opened(params.rewards, root, trained, params.runtime)
    tokenizer = loading.load_tokenizer(root / "data/sft") if params.rewards.answer_tokens else None
    return Scoring("rewards of params.yaml", found, tokenizer)


def scored(scoring: Scoring, rows: list[Asked], batch_size: int) -> list[dict[str, Any]]:
    """Return the rows with their scores and, of a sum of several terms, those of each term."""
    messages, responses = folder_scorer.flat(rows)
    num_tokens = [_num_tokens(scoring.tokenizer, text) for text in responses]
    found = scoring.rewards.score(messages, responses, num_tokens, batch_size)
    made = folder_scorer.with_scores(rows, found.totals)
    for name in scoring.rewards.names:
        for row, terms in zip(made, folder_scorer.with_scores(rows, found.by_part[name]), strict=True):
            row.setdefault("terms", {})[name] = terms["scores"] if "scores" in row else terms["score"]
    return made


def _num_tokens(tokenizer: Any, text: str) -> int:
    """Return an answer's number of tokens, its end not counted; 0 where nobody asks."""
    if tokenizer is None:
        return 0
    from rlhf.tokens import chat

    return len(chat.response_ids(tokenizer, text)) - 1


def serve(scoring: Scoring, host: str, port: int, batch_size: int) -> int:
    """Answer requests until SIGINT or SIGTERM; those that have begun are answered."""
    from tools.score.service import Server

    with Server(host, port, scoring.name, lambda rows: scored(scoring, rows, batch_size)) as server:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
        warning = "" if host == LOOPBACK else "; whoever reaches this address may ask, without a password"
        guard.say(f"{scoring.name}: POST http://{host}:{server.server_port}/score{warning}; Ctrl-C ends it")
        server.serve_forever(poll_interval=0.2)
    guard.say("ended")
    return 0


if __name__ == "__main__":
    piped.exit_with(lambda: main(sys.argv[1:]))
