"""Sets the addresses of artifacts right where mlflow.db was moved or copied with its folder; `make ui` does so first.

    python -m tools.moved

Stages do the same when they open the store.
"""

from pathlib import Path

from rlhf.params.base import ParamsError, load
from rlhf.params.tracking import TrackingInputs
from rlhf.runs import artifact_addresses


def main(root: Path = Path(".")) -> None:
    """Say in one line what was done; nothing where the database is in its place or not there."""
    database = root.resolve() / "mlflow.db"
    if not database.exists():
        return
    try:
        settings = load(root, TrackingInputs).tracking
    except ParamsError as error:  # the UI shows earlier runs without params.yaml
        print(f"{error}\n(so whether {database} was moved is not known)")
        return
    done = artifact_addresses.set_right(database, settings.experiment)
    if done:
        print(done)


if __name__ == "__main__":
    main()
