"""Scores answers by the reward model in this folder. It needs torch and transformers, and nothing else.

    python scorer.py FILE                   JSONL, JSON or CSV in, JSON lines with "score" or "scores" out

    from scorer import Scorer               # with this folder on the path
    Scorer().score([[{"role": "user", "content": "What is a fox?"}]], ["A small animal."])

A row of FILE has "messages" (turns of role and content) or "prompt" (text, or turns), and "response" (text) or
"responses" (several). README.md beside this file says what a score means.
"""

import argparse
import csv
import json
import re
import sys
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

OWN_TYPE = "rlhf_reward_model"  # of a config.json whose scores plain transformers does not know how to read
MARK = "\U0010fffd"  # an answer that no text holds
PRIVATE_USE = 0xF0000  # the first of 65,534 characters that stand for nothing in Unicode
PROMPTS, ANSWERS = ("messages", "prompt"), ("responses", "response", "answers", "answer")


class Row(NamedTuple):
    ids: list[int]
    num_answer: int  # of the last ones, with the token that ends the answer


class Scorer:
    """The reward model of a folder, in float32."""

    def __init__(self, folder: Any = None, device: str = "cpu"):
        import torch
        import transformers
        from safetensors import safe_open

        self.folder, self.device = Path(folder or Path(__file__).parent), device
        settings = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
        if settings["model_type"] == OWN_TYPE:
            settings["model_type"] = settings.pop("reward_backbone_type")
        self.settings = settings
        config = transformers.CONFIG_MAPPING[settings["model_type"]].from_dict(settings)
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(self.folder, config=config, trust_remote_code=False)
        files = sorted(self.folder.glob("*.safetensors"))
        self.head = None
        for file in files:
            with safe_open(str(file), "pt") as weights:
                if "score.weight" in weights.keys():  # noqa: SIM118  # no mapping
                    self.head = weights.get_tensor("score.weight").to(device, torch.float32)
        kind = transformers.AutoModelForSequenceClassification if self.head is None else transformers.AutoModel
        said = transformers.utils.logging.get_verbosity()
        transformers.utils.logging.set_verbosity_error()  # the head, which is read above, is not "unexpected"
        try:
            model = kind.from_pretrained(self.folder, config=config, dtype=torch.float32, trust_remote_code=False)
        finally:
            transformers.utils.logging.set_verbosity(said)
        self.model = model.to(device).eval()

    def score(self, messages: list[Any], responses: list[str], batch_size: int = 32) -> list[float]:
        """Return one score an answer; `messages` holds the turns before each, or the one turn's text."""
        import torch

        rows = [self.row(turns, text) for turns, text in zip(messages, responses, strict=True)]
        order = sorted(range(len(rows)), key=lambda index: len(rows[index].ids))
        scores = [0.0] * len(rows)
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            with torch.no_grad():
                raw = self._raw([rows[index] for index in chosen])
            if self.settings["reward_activation"] == "sigmoid":
                raw = raw.sigmoid()
            found = (raw - self.settings["reward_shift"]) * self.settings["reward_gain"]
            for index, value in zip(chosen, found.tolist(), strict=True):
                scores[index] = value
        return scores

    def row(self, messages: Any, response: str) -> Row:
        """Return the token ids of turns and answer; of more than the model's positions the oldest go."""
        turns = [{"role": "user", "content": messages}] if isinstance(messages, str) else self._kept(messages)
        most = self.settings.get("max_position_embeddings") or self.settings.get("n_positions") or sys.maxsize
        frame = self.settings.get("reward_frame")
        if frame is None:
            return self._pair(turns, response, most)
        answer = self._behind(frame["context"], frame["lead"] + response + frame["tail"]) + [frame["end_id"]]
        ids = self._prompt(turns) + answer
        return Row(ids[-most:], min(len(answer), most))

    def _raw(self, rows: list[Row]) -> Any:
        """Return the raw rewards [B]: the head on the last token or the answer's mean, and its mean likelihood."""
        import torch

        width = max(len(row.ids) for row in rows)
        pad = self.settings["pad_token_id"]
        ids = torch.tensor([row.ids + [pad] * (width - len(row.ids)) for row in rows], device=self.device)
        mask = torch.tensor([[1] * len(row.ids) + [0] * (width - len(row.ids)) for row in rows], device=self.device)
        output = self.model(input_ids=ids, attention_mask=mask)
        if self.head is None:
            return output.logits.squeeze(-1).float()
        states, raw = output.last_hidden_state.float(), []
        for number, row in enumerate(rows):
            own = states[number, : len(row.ids)]
            answer = own[-row.num_answer :] if self.settings["reward_pooling"] == "mean" else own[-1:]
            value = (answer @ self.head.T).mean()
            if coef := self.settings["reward_likelihood_coef"]:
                value = value + coef * self._likelihood(own, row)
            raw.append(value)
        return torch.stack(raw)

    def _likelihood(self, states: Any, row: Row) -> Any:
        """Return the mean log-likelihood of an answer's tokens, in nats, by the backbone and its tied embeddings."""
        import torch

        first = max(1, len(row.ids) - row.num_answer)  # nothing stands before the first token of a row
        logits = states[first - 1 : -1] @ self.model.get_input_embeddings().weight.T * self.settings["reward_scale"]
        if cap := self.settings["reward_cap"]:
            logits = cap * torch.tanh(logits / cap)
        targets = torch.tensor(row.ids[first:], device=logits.device)
        found = logits.log_softmax(-1).gather(1, targets[:, None])
        return found.sum() / max(1, len(found))

    def _pair(self, turns: list[dict], response: str, most: int) -> Row:
        """Return turns and answer as the text pair that an encoder reads."""
        pair = self.tokenizer("\n".join(turn["content"] for turn in turns), response, split_special_tokens=True)
        own = {self.tokenizer.convert_tokens_to_ids(marker) for marker in self.settings["reward_markers"]}
        both = zip(pair["input_ids"], pair.sequence_ids(0), strict=True)
        kept = [(token, part) for token, part in both if part is None or token not in own]
        words = [index for index, (_, part) in enumerate(kept) if part is not None]
        dropped = set(words[: max(0, len(kept) - most)])
        ids = [token for index, (token, _) in enumerate(kept) if index not in dropped]
        return Row(ids, sum(part == 1 for index, (_, part) in enumerate(kept) if index not in dropped))

    def _kept(self, messages: list[dict]) -> list[dict]:
        """Return turns without system turns, where the template refuses those: merged into the next, or left out."""
        way = self.tokenizer.init_kwargs.get("system_turns")
        kept, waiting = [], []
        for turn in messages:
            if way is not None and turn["role"] == "system":
                waiting += [turn["content"]] if way == "merge" else []
            elif waiting and turn["role"] == "user":
                kept.append({"role": "user", "content": "\n\n".join([*waiting, turn["content"]])})
                waiting = []
            else:
                kept.append(turn)
        return kept

    def _prompt(self, turns: list[dict]) -> list[int]:
        """Return the ids of what stands before the answer; a marker that somebody typed is text, letter for letter."""
        pattern = self._pattern()
        if not any(pattern.search(turn["content"]) for turn in turns):
            return self._plain(self._before_answer(turns))
        whole = "".join(turn["content"] for turn in turns)
        free = (chr(code) for code in count(PRIVATE_USE) if chr(code) not in whole)
        left, right = next(free), next(free)
        marked = [{**turn, "content": pattern.sub(rf"{left}\1{right}", turn["content"])} for turn in turns]
        pieces = re.split(f"{left}({pattern.pattern[1:-1]}){right}|[{left}{right}]", self._before_answer(marked))
        first, *rest = [piece or "" for piece in pieces]
        return self._plain(first) + self._inside(rest)

    def _before_answer(self, turns: list[dict]) -> str:
        render, answered = self.tokenizer.apply_chat_template, [*turns, {"role": "assistant", "content": MARK}]
        return render(answered, tokenize=False).rpartition(MARK)[0].rstrip(" ")

    def _behind(self, context: str, text: str) -> list[int]:
        """Return the ids of a text as it stands behind the end of a prompt."""
        before = self._plain(context)
        first, *rest = self._pattern().split(text)
        ids = self._plain(context + first)
        if ids[: len(before)] != before:
            before, ids = [], self._plain(first)
        return (ids + self._inside(rest))[len(before) :]

    def _inside(self, pieces: list[str]) -> list[int]:
        """Return the ids of pieces within a text, of which every first of two spells a marker."""
        ids, line_end = [], self._plain("\n")
        for index, piece in enumerate(pieces):
            spelled = index % 2 == 0
            found = self._plain(f"\n{piece}", spelled) if piece else line_end
            ids += found[len(line_end) :] if found[: len(line_end)] == line_end else self._plain(piece, spelled)
        return ids

    def _plain(self, text: str, spelled: bool = False) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False, split_special_tokens=spelled)["input_ids"]

    def _pattern(self) -> Any:
        longest_first = sorted(self.settings["reward_markers"], key=len, reverse=True)
        return re.compile(f"({'|'.join(map(re.escape, longest_first)) or '(?!)'})")


class Asked(NamedTuple):
    """A row of a file: the turns, the answers, and the row as it was."""

    messages: list[dict]
    responses: list[str]
    row: dict[str, Any]


def read(path: Path) -> list[Asked]:
    """Return the rows of a JSONL, JSON or CSV file. Raises ValueError naming file and line, or row, of a mistake."""
    text = path.read_bytes().decode("utf-8-sig", errors="strict")
    if path.suffix == ".csv":
        lines = csv.DictReader(text.splitlines(keepends=True), strict=True)
        try:
            return [asked(dict(row), f"{path}: line {lines.line_num}") for row in lines]
        except csv.Error as error:
            raise ValueError(f"{path}: line {lines.line_num}: not CSV: {error}") from None
    if path.suffix == ".json":
        try:
            content = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}: line {error.lineno}: not valid JSON: {error.msg}") from None
        rows = content if isinstance(content, list) else [content]
        return [asked(row, f"{path}: row {number}") for number, row in enumerate(rows, start=1)]
    found = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{path}: line {number}: not valid JSON: {error.msg}") from None
            found.append(asked(row, f"{path}: line {number}"))
    return found


def asked(row: Any, place: str) -> Asked:
    """Return a row's turns and answers. Raises ValueError with `place` for a row that has none."""
    if not isinstance(row, dict):
        raise ValueError(f"{place}: expected an object with messages or prompt, and response or responses")
    turns, answers = (next((row[key] for key in keys if row.get(key) is not None), None) for keys in (PROMPTS, ANSWERS))
    if isinstance(turns, str):
        turns = [{"role": "user", "content": turns}]
    if not isinstance(turns, list) or not turns or not all(_is_turn(turn) for turn in turns):
        raise ValueError(
            f"{place}: expected prompt, a text, or messages, turns of role (system, user, assistant) and content (text)"
        )
    responses = [answers] if isinstance(answers, str) else answers
    if not isinstance(responses, list) or not responses or not all(isinstance(text, str) for text in responses):
        raise ValueError(f"{place}: expected response, a text, or responses, a list of texts")
    return Asked([{"role": turn["role"], "content": turn["content"]} for turn in turns], responses, row)


def _is_turn(turn: Any) -> bool:
    known = isinstance(turn, dict) and turn.get("role") in ("system", "user", "assistant")
    return known and isinstance(turn.get("content"), str)


def flat(rows: list[Asked]) -> tuple[list[list[dict]], list[str]]:
    """Return the turns before each answer, and the answers, of all rows."""
    return [one.messages for one in rows for _ in one.responses], [text for one in rows for text in one.responses]


def with_scores(rows: list[Asked], scores: list[float]) -> list[dict[str, Any]]:
    """Return the rows with "score", or "scores" where a row has a list of answers."""
    waiting, made = iter(scores), []
    for one in rows:
        own = [next(waiting) for _ in one.responses]
        is_list = any(isinstance(one.row.get(key), list) for key in ANSWERS)
        made.append({**one.row, **({"scores": own} if is_list else {"score": own[0]})})
    return made


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args(arguments)
    try:
        rows = read(chosen.file)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    for row in with_scores(rows, Scorer(device=chosen.device).score(*flat(rows))):
        print(json.dumps(row, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
