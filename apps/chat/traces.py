"""What is said in the chat as MLflow traces: one an answer, a conversation their session, what people said assessments.

The journals are what holds; traces follow them, also after a time without MLflow. They are written by one thread, at
once (MLFLOW_ENABLE_ASYNC_TRACE_LOGGING=false): MLflow's own background writer would refuse feedback on a trace that it
has not written yet, and may leave a trace's text among the artifacts.
"""

import os
import queue
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from apps.chat import checkpoints
from apps.chat.books import Books
from apps.chat.checkpoints import Checkpoint, Sums
from rlhf.params.tracking import Tracking
from rlhf.people.feedback import History, Turn
from rlhf.runs import mlflow_store
from rlhf.secrets import guard
from rlhf.secrets.masking import masked

if TYPE_CHECKING:
    from mlflow.entities import Assessment

SESSION, USER, RUN = "mlflow.trace.session", "mlflow.trace.user", "mlflow.sourceRun"  # keys of a trace's metadata
TURN = "chat.turn"  # tag: the turn's id in the journal
LINE = "line"  # an assessment's metadata: the journal's line
RETRY_SECONDS = 60.0
CUT = ("left", "failed")  # ends of answers whose traces are no good ones
TAKEN_BACK = "taken back"
REFUSED = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "BAD_REQUEST")  # of one trace, not of all


class Said(NamedTuple):
    """An assessment that a trace should have."""

    name: str
    value: Any
    line: str
    source: tuple[str, str]  # HUMAN or CODE, and who
    why: str | None = None


class Traces(threading.Thread):
    """Follows the journals. Whatever MLflow does costs traces, and never a chat."""

    def __init__(self, root: Path, books: Books, settings: Tracking, sums: Sums):
        super().__init__(name="traces", daemon=True)
        self._root, self._books, self._settings, self._sums = root, books, settings, sums
        self._waiting: queue.SimpleQueue[tuple[str, str] | None] = queue.SimpleQueue()
        self._store: mlflow_store.Store | None = None
        self._tried = float("-inf")
        self._runs: dict[tuple[str, str], str | None] = {}
        self.known: dict[str, dict[str, Any]] = {}  # by checkpoint's name: md5, run, link
        self.state = "opening" if settings.enabled else "off"
        self.why: str | None = None  # it is down

    def sync(self, user: str, turn: str) -> None:
        """Let the trace of a turn be as the journal says, soon."""
        if self._settings.enabled:
            self._waiting.put((user, turn))

    def about(self, checkpoint: Checkpoint) -> dict[str, Any]:
        """Return what is kept of a checkpoint beside its answers. Reads its files, once."""
        md5 = self._sums.of(checkpoint)
        run = self._runs.get((checkpoint.path, md5))
        return {"name": checkpoint.name, "path": checkpoint.path, "md5": md5, "run": run}

    def link(self) -> str | None:
        """Return the address of the experiment's conversations in the MLflow UI."""
        if self._store is None:
            return None
        base = mlflow_store.link(self._uri(), self._store.experiment_id, None).partition("/runs?")[0]
        return f"{base}/chat-sessions?workflowType=genai_development"

    def close(self, seconds: float) -> None:
        """Write what waits, and end; at most so long."""
        self._waiting.put(None)
        self.join(seconds)

    def run(self) -> None:
        self._look_at_checkpoints()
        if not self._settings.enabled:
            return
        self._open()
        while (item := self._waiting.get()) is not None:
            if self._open():
                self._guarded(*item)

    def _look_at_checkpoints(self) -> None:
        for checkpoint in checkpoints.found(self._root):
            try:
                md5 = self._sums.of(checkpoint)
            except OSError as error:  # it is being written
                guard.say(f"{checkpoint.path}: {error}")
                continue
            run = self._run(checkpoint.path, md5)
            link = mlflow_store.link(self._uri(), self._store.experiment_id, run) if self._store and run else None
            self.known[checkpoint.name] = {"md5": md5, "run": run, "link": link}

    def _uri(self) -> str:
        return mlflow_store.resolve_uri(self._settings.uri, mlflow_store.anchor(self._root))

    def _open(self) -> bool:
        """Return whether the store is open; one that is not is tried again after a while."""
        if self._store is not None:
            return True
        if time.monotonic() - self._tried < RETRY_SECONDS:
            return False
        self._tried = time.monotonic()
        os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"
        try:
            store = mlflow_store.open_store(self._settings, mlflow_store.anchor(self._root))
            import mlflow

            _set_uri(mlflow, self._uri())
            self._store = store
        except Exception as error:  # noqa: BLE001 - a database's driver has errors of its own
            self._is_down(error)
            return False
        self.state, self.why = "kept", None
        self._look_at_checkpoints()
        self._catch_up()
        return self._store is not None

    def _is_down(self, error: Exception) -> None:
        self._store = None
        if self.state != "down":
            guard.say(f"traces are not kept: {error}")
        self.state, self.why = "down", masked(str(error))[:500]

    def _catch_up(self) -> None:
        """Write what the journals hold and no trace does: from a time without MLflow, or from before a kill."""
        for user in self._books.users():
            with self._books.lock:
                history = self._books.history(user)
                blocked = history.blocked_turns()
                behind = [
                    turn.id for turn in history.turns.values()
                    if (turn.role == "assistant" or turn.id in blocked) and _is_behind(history, turn)
                ]  # fmt: skip
            for turn in behind:
                if self._store is not None:
                    self._guarded(user, turn, may_exist=True)

    def _guarded(self, user: str, turn: str, may_exist: bool = False) -> None:
        try:
            self._sync(user, turn, may_exist)
        except Exception as error:  # noqa: BLE001 - see the class
            if getattr(error, "error_code", None) in REFUSED:
                guard.say(f"the trace of {turn}: {error}")
            else:
                self._is_down(error)

    def _sync(self, user: str, turn: str, may_exist: bool) -> None:
        with self._books.lock:
            history = self._books.history(user)
            said = history.turns.get(turn)
            if said is None:  # its user was forgotten
                return
            line = history.traces.get(turn)
            wanted, messages = [*assessments(user, history, said)], history.messages(turn)
            if line and line["said"] == [one.line for one in wanted]:
                return
        trace = str(line["trace"]) if line else self._found(turn) if may_exist else None
        if trace is None:
            trace = self._write(user, said, messages)
        self._assess(trace, wanted)
        try:
            self._books.write(user, "trace", {"answer": turn, "trace": trace, "said": [one.line for one in wanted]})
        except ValueError:  # forgotten while it was written
            assert self._store
            self._store.client.delete_traces(self._store.experiment_id, trace_ids=[trace])

    def _found(self, turn: str) -> str | None:
        """Return the trace of a turn that was written before a kill, and of which the journal knows nothing."""
        assert self._store
        query = mlflow_store.equals(f"tags.{TURN}", turn)
        found = self._store.client.search_traces(locations=[self._store.experiment_id], filter_string=query)
        return found[0].info.trace_id if found else None

    def _write(self, user: str, turn: Turn, messages: list[Any]) -> str:
        """Write the trace of a turn; returns its id. Raises ConnectionError where it did not arrive."""
        import mlflow

        assert self._store
        ended = int(datetime.fromisoformat(turn.at).timestamp() * 1e9)
        asked, about = (messages[:-1], turn.more) if turn.role == "assistant" else (messages, {})
        checkpoint = about.get("checkpoint") or {}
        run = self._run(checkpoint["path"], checkpoint["md5"]) if checkpoint else None
        span = mlflow.start_span_no_context(
            name="chat",
            span_type="CHAT_MODEL",
            inputs={"messages": asked},
            attributes=about.get("settings"),
            tags={TURN: turn.id, "chat.end": str(turn.end or "blocked"), **_tags(about, run)},
            metadata={SESSION: turn.conversation, USER: user, **({RUN: run} if run else {})},
            experiment_id=self._store.experiment_id,
            start_time_ns=ended - int(float(about.get("seconds") or 0) * 1e9),
        )
        answer = {"role": "assistant", "content": turn.content}
        outputs = {"choices": [{"message": answer, "finish_reason": turn.end}]} if asked is not messages else None
        span.end(outputs=outputs, status="ERROR" if turn.end in CUT else "OK", end_time_ns=ended)
        self._store.client.get_trace(
            span.trace_id, display=False
        )  # raises where it is not there: the exporter only warns
        return span.trace_id

    def _assess(self, trace: str, wanted: list[Said]) -> None:
        """Let a trace have these assessments: a changed mind overrides the newest one, so that one alone is valid."""
        import mlflow
        from mlflow.entities import AssessmentSource

        assert self._store
        present = self._store.client.get_trace(trace, display=False).info.assessments
        for one in wanted:
            own = sorted((a for a in present if a.name == one.name), key=lambda a: a.create_time_ms or 0)
            if any((a.metadata or {}).get(LINE) == one.line for a in own):
                continue
            source = AssessmentSource(source_type=one.source[0], source_id=one.source[1])
            about: dict[str, Any] = {"source": source, "rationale": one.why, "metadata": {LINE: one.line}}
            newest: Assessment | None = next((a for a in reversed(own) if a.valid is not False), None)
            if newest is None:
                mlflow.log_feedback(trace_id=trace, name=one.name, value=one.value, **about)
            else:
                assert newest.assessment_id
                mlflow.override_feedback(trace_id=trace, assessment_id=newest.assessment_id, value=one.value, **about)

    def _run(self, path: str, md5: str) -> str | None:
        """Return the run that made a checkpoint's bytes; None where none is known."""
        if self._store is None:
            return None
        if (path, md5) not in self._runs:
            runs = mlflow_store.runs_that_made(self._store.client, self._store.experiment_id, path, md5)
            self._runs[path, md5] = runs[0].info.run_id if runs else None
        return self._runs[path, md5]


def _set_uri(mlflow: Any, uri: str) -> None:
    """Tell MLflow's tracing where the store is. It would also tell the environment, by which params mean another."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri)
    if before is None:
        os.environ.pop("MLFLOW_TRACKING_URI", None)
    else:
        os.environ["MLFLOW_TRACKING_URI"] = before


def _tags(about: Any, run: str | None) -> dict[str, str]:
    checkpoint = about.get("checkpoint") or {}
    tags = {f"checkpoint.{key}": checkpoint.get(key) for key in ("name", "path", "md5")} | {"checkpoint.run_id": run}
    tags |= {"chat.pair": about.get("pair"), "chat.side": about.get("side") if about.get("pair") else None}
    return {name: str(value) for name, value in tags.items() if value is not None}


def assessments(user: str, history: History, turn: Turn) -> list[Said]:
    """Return what is said of a turn, as far as the lines that hold tell."""
    person, found = ("HUMAN", user), list[Said]()
    for kind, name, values in (
        ("thumb", "thumb", lambda line: {"up": True, "down": False}.get(line["value"])),
        ("better", "better_answer", lambda line: line["text"]),
        ("flag", "flags", lambda line: ", ".join(line["flags"]) or None),
    ):
        if line := history.said.get((kind, turn.id)):
            value = values(line)
            found.append(Said(name, TAKEN_BACK if value is None else value, line["id"], person))
    for line in history.choices.values():
        if turn.id in line["answers"]:
            chosen = line["chosen"]
            value = chosen == turn.id if chosen in line["answers"] else chosen or TAKEN_BACK
            found.append(Said("preferred", value, line["id"], person))
    for line in history.blocked.values():
        if line["turn"] == turn.id:
            why = f"{line['where']}, probability {line.get('probability')}"
            found.append(Said("blocked", line["category"] or True, line["id"], ("CODE", "moderation"), why))
            if appeal := history.appeals.get(line["id"]):
                found.append(Said("appeal", True, appeal["id"], person, appeal.get("note")))
    return found


def _is_behind(history: History, turn: Turn) -> bool:
    line = history.traces.get(turn.id)
    wanted = {one.line for one in assessments("", history, turn)}
    return line is None or not wanted <= {*line["said"]}
