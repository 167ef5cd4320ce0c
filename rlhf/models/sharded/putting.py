"""Models of transformers put into shards among the processes, where the params ask for it (`rlhf.sharding.shards`)."""

from typing import TYPE_CHECKING

from rlhf.models import ways
from rlhf.params.runtime import Runtime
from rlhf.runtime import distributed
from rlhf.sharding import shards

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def put(model: "PreTrainedModel", runtime: Runtime) -> None:
    """Put a model in place into shards where the params ask for it and there are several processes. Collective.

    From then on it is taken as proven for sequences of any length: a proof amid a batch would be one process's alone.
    Raises ValueError for a model that reads some sequences in as many calls as these have lengths.
    """
    if runtime.sharding is None or distributed.count() == 1:
        return
    known = ways.proven(model)
    alone = [kind for kind, exact in known.reading.items() if exact and exact[0] == ways.ALONE]
    if alone:
        raise ValueError(
            f"params.yaml: runtime.sharding: {type(model).__name__} reads {' and '.join(alone)} rows one sequence at a "
            "time, in a number of calls that differs between processes, which wait for one another in each; set it to "
            "null, or adopt another base model (pretrain.path)"
        )
    ways.remember(model, known._replace(prove=None))
    shards.shard(model, runtime)
