"""One thread, no telemetry, no download; a tokenizer for the whole session and folders of tiny models."""

import builtins
import functools
import gc
import io
import json
import os
import pickle
import types
from pathlib import Path

os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "DVC_NO_ANALYTICS": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
}

import pytest

from rlhf.secrets import masking
from tests import notebook, toys


def pytest_configure(config):
    gc.disable()


def pytest_collection_finish(session):
    """What the tests import stays: the garbage collector need not go through it again and again.

    No test asks for log records, and to catch them takes longer than many a test.
    """
    session.config.pluginmanager.unregister(name="logging-plugin")
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)  # tests are short and their models small
    gc.enable()


@pytest.fixture(autouse=True)
def _one_thread_and_the_same_draws():
    import torch

    from rlhf.runtime import parallel

    parallel.set_workers(1)
    torch.set_num_threads(1)
    torch.default_generator.manual_seed(0)  # torch.manual_seed keeps a stack trace for a GPU that may come


@pytest.fixture(autouse=True, scope="session")
def _equal_texts_of_yaml_are_parsed_once():
    """Every stage and every check reads its params anew, and the parser written in Python is slow.

    What the toys wrote is known without it; tests/params/test_params.py parses such texts.
    """
    from rlhf.params import base
    from tools.overlays import texts

    def once(read):
        kept = functools.cache(lambda text: pickle.dumps(read(text)))
        return lambda text: pickle.loads(kept(text))

    parsed, base_yaml = once(lambda text: base_yaml(typ="safe", pure=True).load(text)), base.YAML

    def load(text: str):
        return json.loads(toys.SAID[text]) if text in toys.SAID else parsed(text)

    with pytest.MonkeyPatch.context() as patch:
        for reader in ("_read", "entries"):
            patch.setattr(texts, reader, once(getattr(texts, reader)))
        patch.setattr(base, "YAML", lambda **_: types.SimpleNamespace(load=load))
        yield


@pytest.fixture(autouse=True)
def _other_tests_secrets_are_not_known(monkeypatch):
    monkeypatch.setattr(masking, "_learnt", set())


@pytest.fixture(scope="session")
def tokenizer():
    """A BPE tokenizer of our own kind with the chat template, as `sft` leaves it. Not to be changed by a test."""
    return toys.tokenizer()


@pytest.fixture(params=["llama", "gpt2"])
def policy(request, tokenizer):
    """A random causal LM in eval mode: rotary positions and an output layer of its own, then neither."""
    return toys.policy(tokenizer, request.param, tie_word_embeddings=request.param == "gpt2")


@pytest.fixture(params=["llama", "gpt2"])
def reward_model(request, tokenizer):
    """A random one-label classifier in eval mode: rotary positions, then learned ones."""
    return toys.reward_model(tokenizer, request.param)


@pytest.fixture
def root(tmp_path):
    """A repository's root with shrunken params.yaml and what `collect_prompts` would have written; tracking is off."""
    return toys.root(tmp_path / "repository")


@pytest.fixture
def recorder(monkeypatch):
    """What stages tell MLflow, whose recorder it stands for, where their root's params enable tracking."""
    from rlhf.runs import tracking

    kept = notebook.Notebook()
    monkeypatch.setattr(tracking, "MlflowWorker", lambda *_: kept)
    return kept


@pytest.fixture(scope="session")
def drawings():
    return {}


@pytest.fixture(scope="module")
def plots_drawn_once(drawings):
    """Equal plots of a report are drawn once a session: matplotlib takes longer than all else on a page."""
    from rlhf.evaluation import plots

    def once(draw):
        @functools.wraps(draw)
        def drawn(*arguments):
            key = draw.__name__, pickle.dumps(arguments)
            if key not in drawings:
                drawings[key] = draw(*arguments)
            return drawings[key]

        return drawn

    with pytest.MonkeyPatch.context() as patch:
        for name in ("forest", "lines"):
            patch.setattr(plots, name, once(getattr(plots, name)))
        yield


@pytest.fixture
def plots_drawn_anew(plots_drawn_once, monkeypatch):
    """For a test that holds one drawing against another."""
    from rlhf.evaluation import plots

    for name in ("forest", "lines"):
        monkeypatch.setattr(plots, name, getattr(plots, name).__wrapped__)


@pytest.fixture
def files_read(monkeypatch):
    """The files that Python opens to read, as they come; what libraries map into memory themselves is not seen."""
    found, real = [], builtins.open

    def noting(file, mode="r", *arguments, **named):
        if isinstance(file, str | os.PathLike) and "r" in mode and "+" not in mode:
            found.append(Path(file).absolute())
        return real(file, mode, *arguments, **named)

    monkeypatch.setattr(builtins, "open", noting)
    monkeypatch.setattr(io, "open", noting)
    return found


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """A database with MLflow's tables and nothing in them: to make them takes seconds, to copy them none."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path
