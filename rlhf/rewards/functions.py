"""A reward function of the user's: `module:function`, a batch of dialogues and answers in, one number an answer out.

    def brevity(messages, answers):                       # my_rewards.py, beside params.yaml
        return [-len(answer) / 100 for answer in answers]

`messages` holds, for each answer, the turns before it: [{"role": "user", "content": "..."}].
"""

import importlib
import math
import sys
from collections.abc import Callable
from numbers import Real
from pathlib import Path
from typing import Any

from rlhf.params.base import shown
from rlhf.params.rewards import file_of
from rlhf.records.types import Message
from rlhf.runtime import distributed

EXPECTED = "expected a list of finite numbers, one an answer"


class FunctionScorer:
    """Scores answers by a function; of several processes the first one calls it, and all get its numbers."""

    def __init__(self, name: str, root: Path):
        self.name, self.file = name, file_of(name, root)
        self.function = imported(name, root)

    def score_texts(self, messages: list[list[Message]], responses: list[str], batch_size: int = 128) -> list[float]:
        """Return the function's numbers. Raises ValueError naming the function and the row of whatever else it does."""
        scores: list[float] = []
        if distributed.is_first():
            for start in range(0, len(responses), batch_size):
                span = slice(start, start + batch_size)
                turns = [[message.copy() for message in dialogue] for dialogue in messages[span]]
                scores += self._numbers(turns, responses[span], start)
        return distributed.told_by_first(scores)

    def _numbers(self, messages: list[list[Message]], responses: list[str], start: int) -> list[float]:
        returned = self._called(messages, list(responses), start)
        values = returned.tolist() if hasattr(returned, "tolist") else returned
        if isinstance(values, str | bytes | dict) or not hasattr(values, "__iter__"):
            raise ValueError(f"{self._place()}: {EXPECTED} (got {type(returned).__name__} {shown(returned)})")
        found = list(values)
        if len(found) != len(responses):
            raise ValueError(f"{self._place()}: {EXPECTED} (got {len(found)} for {len(responses)} answers)")
        for row, value in enumerate(found):
            if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
                raise ValueError(
                    f"{self._place()}: row {start + row}: {EXPECTED} (got {shown(value)} for the answer "
                    f"{shown(responses[row])}); return float(...) of what is known, and a low number where it is not"
                )
        return [float(value) for value in found]

    def _called(self, messages: list[list[Message]], responses: list[str], start: int) -> Any:
        try:
            return self.function(messages, responses)
        except Exception as error:  # whatever a user's code raises; its own traceback follows as the cause
            rows = f"rows {start} to {start + len(responses) - 1}"
            words = f"{type(error).__name__}: {' '.join(str(error).split()):.300}"
            raise ValueError(f"{self._place(error)}: {rows}: it raised {words}; mend the function") from error

    def _place(self, error: Exception | None = None) -> str:
        """Return the function's name and file, with the line of that file in which an error was raised."""
        line, trace = "", error.__traceback__ if error else None
        while trace is not None:
            if Path(trace.tb_frame.f_code.co_filename).name == self.file.name:
                line = f", line {trace.tb_lineno}"
            trace = trace.tb_next
        return f"reward function {self.name} ({self.file}{line})"


def imported(name: str, root: Path) -> Callable[..., Any]:
    """Return the function of a module:function below `root`.

    Raises ValueError for a module that cannot be imported, or is another file than the project's, and for what is no
    function of it; FileNotFoundError where the project has no such file.
    """
    module_name, _, function_name = name.partition(":")
    file = file_of(name, root)
    if str(root.resolve()) not in (str(Path(place).resolve()) for place in sys.path):
        sys.path.insert(0, str(root.resolve()))
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever a user's module raises
        words = f"{type(error).__name__}: {' '.join(str(error).split()):.300}"
        raise ValueError(f"reward function {name}: {file} cannot be imported: {words}") from error
    found = Path(getattr(module, "__file__", None) or "")
    if found.resolve() != (root / file).resolve():
        raise ValueError(
            f"reward function {name}: Python finds another module of that name ({found}); rename {file}, for example "
            f"to my_{file.name}"
        )
    function = getattr(module, function_name, None)
    if not callable(function):
        raise ValueError(f"reward function {name}: {file} has no function {function_name} (got {shown(function)})")
    return function
