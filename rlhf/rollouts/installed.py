"""What an engine lacks here, said before long work begins; read without torch, by `tools.check` before every stage."""

from importlib.util import find_spec

from rlhf.params.training.rollouts import Rollouts


def lacking(params: Rollouts | None) -> str | None:
    """Return what the engine needs and this environment does not have; None where nothing is missing."""
    if params is None or params.engine != "vllm_colocated" or find_spec("vllm") is not None:
        return None
    return (
        "ppo.rollouts.engine: 'vllm_colocated' needs the package vllm, which is not installed and pins a torch of its "
        "own: pip install vllm into an environment made for it, or use 'vllm_server', or 'own'"
    )
