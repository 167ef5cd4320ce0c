"""The parent runs in MLflow: one a session, with every parameter and every final metric of its pipeline.

A session is one `dvc` command (or one process by hand): all its stages share one parent run, so that a table of parent
runs compares whole pipelines. It stays RUNNING until what the command asked for is there. Where dvc ends before that,
the recorder that waits for it (see watching), the next stage to start, or `make ui` says what became of it (see
reaping).
"""

import fnmatch
import json
import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf.runs import dependencies, lineage, mlflow_store, sessions
from rlhf.runs.likeness import likeness
from rlhf.runs.mlflow_store import Store
from rlhf.runs.recording import reused
from rlhf.runs.stage_name import StageName
from rlhf.runtime.flat import flat_numbers, flatten
from rlhf.secrets.masking import masked

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

SESSION, COMMAND = "dvc.session", "dvc.command"
ASKED = "dvc.targets"  # tag: the stages and outputs that the command names; none where it asks for the whole pipeline
FROZEN = "dvc.frozen"  # tag: the stages that DVC was told not to run
STAGE, WENT_ON = "stage.", "went_on."  # tags: a place's run and its status; the pipeline in which it went on
DIRTY, CHANGED_FILES, COMMIT = "git.dirty", "git.changed", "mlflow.source.git.commit"
PRESET, CHANGED = "params.preset", "params.changed"  # what the run's params are like, and what they change of it
NOT_FRESH = " (stale: "  # in a run's name
STALE = "dvc.stale"  # tag: what has changed since earlier stages ran that the pipeline reused
UNKNOWN = "dvc.stale.unknown"  # tag: what may have changed since; a run is missing that would tell
LAST = StageName("evaluate")  # the pipeline ends with it
MORE_THAN_NAMED = {"--downstream", "--pipeline", "-p", "--all-pipelines", "-P", "--recursive", "-R"}
OPTIONS_WITH_VALUES = {"-n", "-S", "-j", "-r", "-C", "-m", "--name", "--set-param", "--jobs", "--rev", "--copy-paths"}


class PipelineRun:
    """A session's parent run, made with all `params` by the first of its stages, and named after them.

    `processes` identifies the stage's own and the `dvc` command's, which by hand is the same; a session is the latter.
    """

    def __init__(
        self,
        store: Store,
        root: Path,
        params: Mapping[str, Any],
        commit: lineage.Commit,
        tags: Mapping[str, str],
        processes: tuple[str, str],
    ):
        self._store = store
        process, session = processes
        begun = sessions.began(process)
        self._client, self._experiment_id = store
        self._root, self._params = root, params
        experiment = os.environ.get("DVC_EXP_NAME", "")
        named = targets(sessions.command_of(session))
        self._asked = named or [LAST.title]
        key = sessions.session_key(session)
        found = self._client.search_runs(
            [self._experiment_id], mlflow_store.equals(f"tags.{SESSION}", key), max_results=1
        )
        if found and found[0].data.params == mlflow_store.as_params(flatten(params)):
            self.run_id = found[0].info.run_id
            self._client.update_run(self.run_id, status="RUNNING")
            self._take_in_changes(found[0], commit)
            return
        like = likeness(root, params)
        command = [masked(word) for word in sessions.command_of(session)]  # whole: a path's end may hold a password
        words = masked(" ".join(Path(word).name if "/" in word else word for word in command))
        graph = dependencies.graph(root, params)
        own = {SESSION: key, mlflow_store.PROCESS: session, COMMAND: words}
        own |= {ASKED: masked(" ".join(named))} if named else {}
        own |= dependencies.code_tag(graph.code)
        own |= {FROZEN: " ".join(graph.frozen)} if graph.frozen else {}
        own |= {PRESET: like.preset, CHANGED: masked(like.words)[: mlflow_store.LONGEST_TAG]}
        run = self._client.create_run(
            self._experiment_id,
            begun if found else sessions.began(session),
            run_name=masked(like.named(experiment, commit)),
            tags={**tags, **own},
        )
        self.run_id = run.info.run_id
        mlflow_store.log_params(self._client, self.run_id, flatten(params))
        mlflow_store.write_page(self._client, self.run_id, [like.markdown()])
        if found:
            self._follow(found[0], run, begun)

    def _follow(self, earlier: "Run", own: "Run", moment: int) -> None:
        """End this session's run so far, at a moment (milliseconds since the epoch): params.yaml was changed after its
        first stages, and its params are others.
        """
        link = mlflow_store.link_within(self._experiment_id, self.run_id)
        moved = f"**params.yaml was changed while it ran: it went on as [{own.info.run_name}]({link}).**"
        mlflow_store.put_first(self._client, earlier, moved)
        if earlier.info.status == "RUNNING":  # else a stage of it has failed, and dvc went on with those beside it
            self._client.set_terminated(earlier.info.run_id, "KILLED", end_time=moment)

    def describe(self, parts: Sequence[str]) -> None:
        """Show texts on the run's page, the last one below what its params change of a preset."""
        changes = likeness(self._root, self._params).markdown()
        mlflow_store.write_page(self._client, self.run_id, [*parts[:-1], changes, *parts[-1:]])

    def _take_in_changes(self, found: "Run", commit: lineage.Commit) -> None:
        """Name code that was changed after the pipeline began: a later stage ran with it. It gives the name its +."""
        tags, others = found.data.tags, {*commit.changed}
        known, before = {*tags.get(CHANGED_FILES, "").split()}, tags.get(COMMIT, "")
        if commit.sha != before:  # committed meanwhile
            between = lineage.git(self._root, "diff", "--name-only", "--relative", before, commit.sha) or ""
            made = {path for outs in lineage.locked_outs(self._root).values() for path in outs} | {"dvc.lock"}
            others |= {*between.splitlines()} - made | {f"commit:{commit.sha[:7]}"}
        if not others - known:
            return
        self._client.set_tag(self.run_id, DIRTY, "true")
        self._client.set_tag(self.run_id, CHANGED_FILES, masked(" ".join(sorted(known | others))))
        if before and any(path != "params.yaml" and not path.startswith("commit:") for path in others - known):
            name, at = str(found.info.run_name), f"@{before[:7]}"
            self._client.update_run(self.run_id, name=name.replace(f"{at}+", at).replace(at, f"{at}+"))

    def go_on_with(self, name: StageName, earlier_id: str | None) -> None:
        """Say on the page of an earlier pipeline that a stage of it, whose run has moved here, went on in this one."""
        if not earlier_id or earlier_id == self.run_id:
            return
        earlier, own = mlflow_store.run_of(self._client, earlier_id), self._client.get_run(self.run_id)
        if earlier is None or earlier.info.lifecycle_stage != "active":
            return
        link = mlflow_store.link_within(self._experiment_id, self.run_id)
        moved = f"**{name.title} was broken off here and went on in the pipeline [{own.info.run_name}]({link}).**"
        self._client.set_tag(earlier_id, f"{WENT_ON}{name.place}", self.run_id)
        mlflow_store.put_first(self._client, earlier, moved)

    def begin(self, name: StageName, run_id: str) -> None:
        """Point to the run of a stage."""
        self._client.set_tag(self.run_id, f"{STAGE}{name.place}", run_id)

    def end(self, name: StageName, status: str, over: bool, moment: int) -> None:
        """Take in how a stage ended, at a moment (milliseconds since the epoch); `over`: nothing comes after it,
        whatever was asked for.
        """
        self._client.set_tag(self.run_id, f"{STAGE}{name.place}.status", status.lower())
        tags = self._client.get_run(self.run_id).data.tags
        places = [place for place, ended in stages_of(tags).items() if ended == "finished"]
        done = all(_is_done(target, places, self._params.get("rounds", {})) for target in self._asked)
        if status == "FINISHED" and (over or done):
            self._name_what_is_stale(name, places)
        if status != "FINISHED" or over or done:
            self._client.set_terminated(self.run_id, status, end_time=moment)

    def _name_what_is_stale(self, name: StageName, ran: Collection[str]) -> None:
        """Say of a pipeline that ends with a stage what has changed since stages before it ran that it reused."""
        try:
            built_on = reused.stages(self._root, name, self._params, ran)
            stale = reused.stale(self._store, self._root, built_on, self._params)
        except ValueError as error:
            stale = reused.Stale([f"what, is not known ({error})"], {}, [])
        self._name_replaced_stages(stale.replaced)
        name_stale(self._client, self.run_id, stale)

    def _name_replaced_stages(self, replaced: "Mapping[str, Run | None]") -> None:
        """Point to the runs of what this pipeline read, where that is not what dvc.lock lists: a stage ran by hand."""
        known = self._client.get_run(self.run_id).data.tags
        for place, run in replaced.items():
            tag = f"{STAGE}{place}"
            if run is not None:
                self._client.set_tag(self.run_id, tag, run.info.run_id)
                self._client.set_tag(self.run_id, f"{tag}.status", "by hand")
            elif tag in known:
                self._client.delete_tag(self.run_id, tag)
                self._client.set_tag(self.run_id, f"{tag}.status", "changed by hand")

    def add_metrics(self, name: StageName) -> dict[str, str]:
        """Take in a stage's final metrics; the last stage's bring those of stages that DVC did not rerun.

        Returns why MLflow refuses some of them, by name.
        """
        present = self._client.get_run(self.run_id).data.metrics
        moment = time.time_ns() // 1_000_000
        points = []
        for file in metrics_files(self._root, name, self._params.get("rounds", {})):
            numbers = mlflow_store.named(flat_numbers(json.loads(file.read_text(encoding="utf-8"))))
            points += [(key, value, moment, 0) for key, value in numbers.items() if key not in present]
        if name == LAST:
            self._name_cached_stages()
        return mlflow_store.log_points(self._client, self.run_id, points)

    def _name_cached_stages(self) -> None:
        """Tag the run with the earlier runs whose outputs this session reused, found by the md5 in dvc.lock."""
        known = self._client.get_run(self.run_id).data.tags
        for title, outs in lineage.of_rounds(lineage.locked_outs(self._root), self._params.get("rounds", {})).items():
            place = StageName.of(title).place
            md5 = outs.get(f"data/{place}")
            if f"{STAGE}{place}" in known or md5 is None:
                continue
            found = mlflow_store.runs_that_made(self._client, self._experiment_id, f"data/{place}", md5)
            if found:
                self._client.set_tag(self.run_id, f"{STAGE}{place}", found[-1].info.run_id)
                self._client.set_tag(self.run_id, f"{STAGE}{place}.status", "cached")


def name_stale(client: "MlflowClient", run_id: str, stale: reused.Stale) -> None:
    """Say in a pipeline's name, on its page and in tags what has changed since stages ran that it reused, and what may
    have; once.
    """
    run = client.get_run(run_id)
    found = [masked(one) for one in stale.changes]
    unknown = [masked(one) for one in stale.unknown if one not in stale.changes]
    if not (found or unknown) or {STALE, UNKNOWN} & {*run.data.tags}:
        return
    few = found if len(found) <= reused.SHOWN else [f"{len(found)} changes"]
    few = few or ["not known"]
    name_before = str(run.info.run_name).partition(NOT_FRESH)[0]  # an attempt before this one may have got so far
    client.update_run(run_id, name=f"{name_before}{NOT_FRESH}{', '.join(few)})")
    lines = [reused.in_words(found)] if found else []
    lines += [reused.unknown_in_words(unknown)] if unknown else []
    mlflow_store.put_first(client, run, *lines)
    for tag, names in {STALE: found, UNKNOWN: unknown}.items():
        if names:
            client.set_tag(run_id, tag, ", ".join(names)[: mlflow_store.LONGEST_TAG])


def metrics_files(root: Path, name: StageName, rounds: Collection[str]) -> Iterator[Path]:
    """Yield the metrics that belong to the pipeline's run once a stage has ended: its own, and after the last one those
    that dvc.lock lists of the stages before it, where the file is the one that is listed.

    Of rounds that params.yaml no longer lists, whose entries DVC keeps, there are none.
    """
    own = root / f"metrics/{name.place}.json"
    if own.exists():
        yield own
    if name != LAST:
        return
    for title, outs in lineage.of_rounds(lineage.locked_outs(root), rounds).items():
        stage = StageName.of(title)
        if stage == name:
            continue
        for path, md5 in outs.items():
            file = root / path
            if path == f"metrics/{stage.place}.json" and file.exists() and lineage.dvc_md5(file) == md5:
                yield file


def targets(command: Sequence[str]) -> list[str]:
    """Return the stages and outputs that a dvc command names; none where it asks for the whole pipeline."""
    found, skip = [], True
    if {"--downstream", "--pipeline", "-p", "--all-pipelines", "-P", "--recursive", "-R"} & {
        *command
    }:  # more than what they name
        return []
    for before, word in zip(["", *command], command, strict=False):
        if word in ("repro", "run"):
            skip = False
        elif not skip and not word.startswith("-") and before not in OPTIONS_WITH_VALUES:
            found.append(word.removeprefix("dvc.yaml:"))
    return [word for word in found if word != "dvc.yaml"]


def _is_done(target: str, finished: Collection[str], rounds: Collection[str]) -> bool:
    """Say whether the stages of a target have finished: of one that runs once a round, in all rounds that it names."""
    own = {place for place in finished if is_of(place, target)}
    others = {StageName(place.split("/")[0], each).place for place in own if "/" in place for each in rounds}
    return bool(own) and {place for place in others if is_of(place, target)} <= own


def is_of(place: str, target: str) -> bool:
    """Say whether a target names the stage of a place: by its name, as one of several rounds, or by its output."""
    named = StageName.of(target).place.removeprefix("data/").rstrip("/")
    return lineage.is_below(place, named) or fnmatch.fnmatch(place, named)  # dvc repro --glob


def stages_of(tags: Mapping[str, str]) -> dict[str, str]:
    """Return {place: how it ended} of a pipeline's stages that began, from its tags; "" where none says so."""
    places = [tag.removeprefix(STAGE) for tag in tags if tag.startswith(STAGE) and not tag.endswith(".status")]
    return {place: tags.get(f"{STAGE}{place}.status", "") for place in places}
