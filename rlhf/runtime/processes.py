"""Plain Python work on all CPUs, in processes, as threads would wait for one interpreter; no byte depends on how many.

Tensors are computed by `parallel` instead, whose threads share the weights.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

Part = TypeVar("Part")
Result = TypeVar("Result")


def each(function: Callable[[Part], Result], parts: Sequence[Part]) -> Iterator[Result]:
    """Yield function(part) for every part, in their order; a single part is computed here, without the start of others.

    Function, parts and results are pickled; an error in a part is raised here.
    """
    if len(parts) < 2:
        yield from map(function, parts)
        return
    from joblib import Parallel, delayed

    pool: Any = Parallel(n_jobs=-1, return_as="generator")  # whose results joblib declares as None or unknown
    yield from pool(delayed(function)(part) for part in parts)
