"""A copy of this repository in git and DVC, in which commands run as a user types them."""

import re
import shutil
import subprocess
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from tests.integration.conftest import REPO, copied, environment, run

TOLD = re.compile(  # of what commands say: the rest is in the log
    r"^(Running stage|Stage .* is cached|ERROR: failed to reproduce|dvc\.yaml: deps)|wait for labels|enough of its"
)
MADE = ("params.yaml", "dvc.yaml", "dvc.lock", "metrics", "data/labels")  # what git keeps of a turn


class Ground:
    """Where the flywheel turns."""

    def __init__(self, root: Path, cache: Path | None):
        """Make it anew. `cache`: of DVC, in which what was made before is found; None: one of its own."""
        self.root, self.log = root, root / "flywheel.log"
        if root.exists():
            shutil.rmtree(root)
        copied(root)
        run(root, "git", "init", "--quiet")
        if cache is not None:
            run(root, "dvc", "cache", "dir", "--local", str(cache))
        self._commit("as it comes", ["--all"])

    def types(self, *command: str, codes: Collection[int] = (0,)) -> str:
        """Run a command, tell what matters of what it says and return all of it.

        Raises RuntimeError where it ends with another code.
        """
        print(f"    $ {' '.join(command)}", flush=True)
        program = [sys.executable, *command[1:]] if command[0] == "python" else command
        said = []
        with (
            open(self.log, "a", encoding="utf-8") as log,
            subprocess.Popen(
                program, cwd=self.root, env=environment(self.root), text=True, errors="replace",
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            ) as process,
        ):  # fmt: skip
            assert process.stdout
            for line in process.stdout:
                log.write(line)
                said.append(line)
                if TOLD.search(line):
                    print(f"      {line.rstrip()[:160]}", flush=True)
        if process.returncode not in codes:
            raise RuntimeError(
                f"{' '.join(command)} ended with {process.returncode}, not {' or '.join(map(str, codes))}; "
                f"all of it: {self.log}\n{''.join(said[-40:])}"
            )
        return "".join(said)

    def keeps(self, message: str) -> None:
        """Commit what git keeps of a turn: params, judgements, locks and metrics."""
        self._commit(message, [path for path in MADE if (self.root / path).exists()])

    def _commit(self, message: str, added: Sequence[str]) -> None:
        run(self.root, "git", "add", *added)
        run(self.root, "git", "commit", "--quiet", "--allow-empty", "--message", message)


def cache_of_this_repository() -> Path:
    return Path(run(REPO, "dvc", "cache", "dir").strip())
