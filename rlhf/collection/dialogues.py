"""Dialogues as the world's data sets write them (message lists, ShareGPT, transcripts, ChatML) -> lists of messages."""

import re
from collections.abc import Mapping
from typing import Any

from rlhf.collection.dropped import Dropped
from rlhf.params.base import shown
from rlhf.records.json_values import is_list, is_object
from rlhf.records.types import Message, Role

Messages = list[Message]

ROLES: dict[str, Role] = {
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "chatbot": "assistant",
    "model": "assistant",
    "system": "system",
    "developer": "system",
}
TOOLS = {"tool", "function", "function_call", "observation", "tool_call", "tool_response", "ipython"}
NAMES = ("role", "from"), ("content", "value", "text", "parts")  # of a turn's speaker and words
PAIRS = ("human", "assistant"), ("input", "output"), ("user", "assistant")  # two turns in one object
TEXT_PARTS = (None, "text", "input_text", "output_text")  # types of a turn's parts; Gemini and Bedrock write none
NOT_LEARNED = {"weight": (0, 0.0), "loss": (False, 0, 0.0), "train": (False,)}  # what trainers write at a bad answer
TURN = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant):")
LINE_TURN = re.compile(r"(?:\A\s*|\n\s*)(Human|Assistant):")  # BELLE's
TEMPLATES = {  # what a text in a chat template begins with: its turns (ChatML's, Llama 3's, Gemma's)
    "<|im_start|>": re.compile(r"<\|im_start\|>(\w+)\n(.*?)(?:<\|im_end\|>|\Z)", re.DOTALL),
    "<|start_header_id|>": re.compile(
        r"<\|start_header_id\|>(\w+)<\|end_header_id\|>(.*?)(?:<\|eot_id\|>|\Z)", re.DOTALL
    ),
    "<start_of_turn>": re.compile(r"<start_of_turn>(\w+)\n(.*?)(?:<end_of_turn>|\Z)", re.DOTALL),
}
BEGINNING = re.compile(
    r"\s*(?:<\|begin_of_text\|>|<bos>)?\s*(?=(<\|im_start\|>|<\|start_header_id\|>|<start_of_turn>))"
)
TURN_ENDS = ("<|im_end|>", "<|eot_id|>", "<end_of_turn>")
NEMO = re.compile(r"\n?<extra_id_[01]>(\w+)\n")  # HelpSteer2's, behind the first turn


def is_transcript(text: str) -> bool:
    """Return whether `text` is in hh-rlhf's form: "\\n\\nHuman: ...\\n\\nAssistant: ..."."""
    return text.lstrip().startswith("Human:") and "\n\nAssistant:" in text


def from_transcript(text: str, turn: re.Pattern[str] = TURN) -> Messages:
    """Return the turns of an hh-rlhf transcript; an empty last Assistant turn (the cue to answer) is no turn."""
    pieces = turn.split(text)[1:]
    return _without_cue(
        [
            {"role": ROLES[speaker.lower()], "content": content.strip()}
            for speaker, content in zip(pieces[::2], pieces[1::2], strict=True)
        ]
    )


def _without_cue(messages: Messages) -> Messages:
    return messages[:-1] if messages and messages[-1] == {"role": "assistant", "content": ""} else messages


def without_end(answer: str) -> str:
    """Return an answer without the mark by which a chat template ends a turn."""
    said = answer.rstrip()
    if not said.endswith(TURN_ENDS):
        return answer
    return next(said.removesuffix(end).rstrip() for end in TURN_ENDS if said.endswith(end))


def from_text(text: str, place: str = "a text") -> Messages:
    """Return the turns of a text that marks them as hh-rlhf, BELLE, HelpSteer2 or a chat template do, or else one user
    turn. Errors name `place`.
    """
    if is_transcript(text):
        return from_transcript(text)
    if text.lstrip().startswith("Human:") and re.search(r"\n\s*Assistant:", text):
        return from_transcript(text, LINE_TURN)
    if "<" in text and (begins := BEGINNING.match(text)):
        return _without_cue(
            [_turn(role, content.strip(), place) for role, content in TEMPLATES[begins[1]].findall(text)]
        )
    if "<extra_id_1>" in text:
        first, *others = NEMO.split(text)
        said = [("User", first), *zip(others[::2], others[1::2], strict=True)]
        return _without_cue([_turn(role, content.strip(), place) for role, content in said])
    return [{"role": "user", "content": text}]


def _turn(role: str, content: str, place: str) -> Message:
    if role.lower() in TOOLS:
        raise Dropped("tools_are_used")
    if role.lower() not in ROLES:
        raise ValueError(f"{place}: role {shown(role)} is none of {', '.join(ROLES)}")
    return {"role": ROLES[role.lower()], "content": content}


def from_list(turns: list[Any], place: str, is_answer: bool = False) -> Messages:
    """Return {role, content} or ShareGPT's {from, value} turns as messages; ValueError names `place` and turn.

    Text parts of a turn are joined, and so are several system turns; empty ones and an assistant's before the first
    user's are no turns. An answer that is marked as not to be learned is none: the turns end with the last one that is
    to be. `is_answer`: an assistant may begin, as in an answer without its prompt. Raises Dropped for turns of tools
    and for pictures.
    """
    messages: Messages = []
    system: list[str] = []
    learned = 0  # turns up to the last answer that is to be learned
    for number, turn in enumerate(turns, start=1):
        if not is_object(turn):
            raise ValueError(f"{place}: turn {number}: expected an object, got {type(turn).__name__}")
        for message in _messages(turn, f"{place}: turn {number}"):
            if message["role"] == "system":
                system += [message["content"]] if message["content"].strip() else []
            elif message["role"] == "user" or messages or is_answer:
                messages.append(message)
            if message["role"] == "assistant" and not _is_not_learned(turn):
                learned = len(messages)
    if messages and messages[-1]["role"] == "assistant" and learned < len(messages):
        if not learned:
            raise Dropped("answer_marked_bad")
        messages = messages[:learned]
    return [{"role": "system", "content": "\n\n".join(system)}, *messages] if system else messages


def _messages(turn: Mapping[str, Any], place: str) -> Messages:
    """Return the messages that an object of a list of turns holds: mostly one."""
    for first, second in PAIRS:
        if {first, second} <= turn.keys():
            return [
                {"role": "user", "content": content_of(turn[first], place)},
                {"role": "assistant", "content": content_of(turn[second], place)},
            ]
    role, content = (next((turn[name] for name in names if turn.get(name) is not None), None) for names in NAMES)
    if isinstance(role, str) and (role.lower() in TOOLS or turn.get("tool_calls") or turn.get("function_call")):
        raise Dropped("tools_are_used")
    if not isinstance(role, str) or role.lower() not in ROLES:
        raise ValueError(f"{place}: role {shown(role)} is none of {', '.join(ROLES)}")
    return [{"role": ROLES[role.lower()], "content": content_of(content, place)}]


def content_of(content: Any, place: str) -> str:
    """Return a turn's text, of parts that are all text too."""
    if is_list(content) and content and all(is_object(part) for part in content):
        if any(_is_of_tools(part) for part in content):
            raise Dropped("tools_are_used")
        if any(part.get("type") not in TEXT_PARTS or part.get("text") is None for part in content):
            raise Dropped("not_only_text")
        content = "\n".join(content_of(part.get("text"), place) for part in content)
    if not isinstance(content, str):
        raise ValueError(f"{place}: expected text as content, got {type(content).__name__}")
    return content


def _is_of_tools(part: Mapping[str, Any]) -> bool:
    calls = ("functionCall", "functionResponse", "toolUse", "toolResult")  # Gemini's and Bedrock's keys
    return str(part.get("type")).startswith("tool_") or any(part.get(name) is not None for name in calls)


def _is_not_learned(turn: Mapping[str, Any]) -> bool:
    return any(name in turn and turn[name] is not None and turn[name] in values for name, values in NOT_LEARNED.items())


def from_texts(said: list[str]) -> Messages:
    """Return texts as turns of a user and an assistant by turns."""
    return [{"role": "assistant" if number % 2 else "user", "content": text} for number, text in enumerate(said)]


def split_answer(messages: Messages) -> tuple[Messages, str | None]:
    """Return the turns before a closing assistant turn, and that turn's text (None if a user speaks last)."""
    if messages and messages[-1]["role"] == "assistant":
        return messages[:-1], messages[-1]["content"]
    return messages, None


def check_prompt(messages: Messages) -> None:
    """Drop a prompt that is not: an optional system turn, then user and assistant in turn, the user first and last."""
    if not messages:
        raise Dropped("no_prompt")
    turns = messages[1:] if messages[0]["role"] == "system" else messages
    expected = ["user" if index % 2 == 0 else "assistant" for index in range(len(turns))]
    if [turn["role"] for turn in turns] != expected or len(turns) % 2 == 0:
        raise Dropped("turns_do_not_alternate")
