"""The engine's side of new weights: nothing is answered with them before all have arrived as they were sent."""

from collections.abc import Callable, Iterable, Sequence

from torch import Tensor

from rlhf.rollouts.buckets import Bucket, Line

SHOWN = 5  # tensors that an error names

Put = Callable[[list[tuple[str, Tensor]]], object]
Held = Callable[[str], Tensor | None]


class Receiver:
    """Takes one version after another, bucket by bucket, and says which it holds whole.

    put: gives the engine's model some tensors. held: the model's own tensor of a name, to be compared with what was
    sent when all is there; None where the model keeps it otherwise (fused with others, sharded, of a lower dtype).
    """

    def __init__(self, put: Put, held: Held = lambda _: None):
        self._put, self._held = put, held
        self.session: str | None = None  # of the trainer that is served
        self.version: int | None = None  # held whole; None: before the first, and while one arrives
        self._newest, self._arriving, self._lines = -1, -1, dict[str, Line]()

    def begin(self, session: str, version: int) -> None:
        """Expect the buckets of a version. A new session is another run of a trainer, which counts anew."""
        if session != self.session:
            self.session, self._newest = session, -1
        if version <= self._newest:
            raise ValueError(f"weights of version {version} are stale: version {self._newest} was here before")
        self.version, self._arriving, self._lines = None, version, {}

    def take(self, session: str, bucket: Bucket) -> None:
        """Give the model a bucket's tensors, if each is what its line says."""
        if session != self.session:
            raise ValueError(f"{_named(bucket)}: from trainer {session}, and {self.session} is served")
        if bucket.version != self._arriving:
            raise ValueError(f"{_named(bucket)}: of version {bucket.version}, and {self._arriving} is arriving")
        expected = {line.name: line for line in bucket.lines}
        for name in [*expected, *bucket.tensors]:
            if name not in bucket.tensors:
                raise ValueError(f"{name}: it is not in bucket {bucket.number}, which names it")
            if name not in expected:
                raise ValueError(f"{name}: bucket {bucket.number} has it and does not name it")
            if name in self._lines:
                raise ValueError(f"{name}: it arrived twice")
            problem = expected[name].differs(Line.of(name, bucket.tensors[name]))
            if problem is not None:
                raise ValueError(f"{problem} (version {bucket.version}, bucket {bucket.number})")
        self._put([*bucket.tensors.items()])
        self._lines |= expected

    def finish(self, manifest: Sequence[Line]) -> int:
        """Return the version, now held, if all that the manifest names is there and in the model, and nothing else."""
        names = [line.name for line in manifest]
        missing, more = set(names) - self._lines.keys(), self._lines.keys() - set(names)
        if missing:
            raise ValueError(f"version {self._arriving} came without {_some(missing)}")
        if more:
            raise ValueError(f"version {self._arriving} has {_some(more)}, which its manifest does not name")
        for line in manifest:
            problem = line.differs(self._lines[line.name])
            if problem is not None:
                raise ValueError(f"{problem} (version {self._arriving})")
            inside = self._held(line.name)
            if inside is not None and (problem := line.differs(Line.of(line.name, inside))) is not None:
                raise ValueError(f"{problem}: the model did not take it (version {self._arriving})")
        self.version = self._newest = self._arriving
        return self.version


def _named(bucket: Bucket) -> str:
    return _some(line.name for line in bucket.lines)


def _some(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - SHOWN} more" if len(ordered) > SHOWN else ""
    return ", ".join(ordered[:SHOWN]) + more
