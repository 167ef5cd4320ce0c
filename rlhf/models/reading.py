"""What is said of a model or tokenizer that cannot be read: folder, file and what was expected, in one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

from rlhf.models import folders

UNREADABLE = (  # what transformers raises of a folder's files, beside its own errors
    OSError,
    ValueError,
    RuntimeError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    ImportError,  # a library that only this model needs
    SafetensorError,
    StrictDataclassError,  # values that a config of this kind does not take
)


@contextmanager
def folder(path: Path | str, revision: str | None = None) -> Iterator[None]:
    """Name the folder (or hub id) in whatever is said of a model or tokenizer that cannot be read."""
    is_path = str(path).startswith((".", "/", "~")) or str(path).count("/") > 1  # an id of a hub is no such text
    if is_path and not Path(path).exists():
        raise ValueError(f"{path}: no such folder; `dvc repro` makes what stages write, and params name the others")
    try:
        yield
    except (ValueError, OSError) as error:
        words = _in_a_line(error)
        if "trust_remote_code" in words:  # an argument that nobody can set here
            words = folders.needs_code(path, revision)
        raise ValueError(
            f"{path}: this model cannot be read: {words}. Expected a folder (or hub id) with config.json, weights as "
            "model.safetensors of the shapes that it names, and tokenizer.json"
        ) from error


@contextmanager
def gguf(file: Path | str) -> Iterator[None]:
    """Name the GGUF file in whatever is said of it where it cannot be read."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise ValueError(f"{file}: this GGUF cannot be read: {_in_a_line(error)}") from error


@contextmanager
def files(names: str) -> Iterator[None]:
    """Raise ValueError naming the files whose reader, which is not ours, ends in an error of whatever kind."""
    try:
        yield
    except Exception as error:
        # tokenizers has no error of its own but Exception
        if not isinstance(error, UNREADABLE) and type(error) is not Exception:
            raise
        if "can't allocate memory" in str(error):
            raise
        raise ValueError(f"{names}: {_in_a_line(error)}") from error


def _in_a_line(error: Exception) -> str:
    """Return an error's words; those of the types that any program may raise say little without their names."""
    words = " ".join(str(error).split())[:500]
    spoken = isinstance(error, OSError | ValueError | RuntimeError | ImportError) or type(error) is Exception
    return words if spoken and words else f"{type(error).__name__}: {words}"
