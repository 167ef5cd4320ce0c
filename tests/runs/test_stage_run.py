"""What a stage's run passes to its recorder, what it prints at its end, and which points of a curve it keeps."""

import signal

import pytest

from rlhf.runs import checkpoints, progress, tracking
from rlhf.runs.stage_name import StageName
from tests import notebook
from tests.runs.test_tracking import write_params


class Recorder:
    """Stands in for a recorder: writes down what it is asked for."""

    link = "http://the/run"

    def __init__(self, *arguments):
        self.opened_with, self.calls = arguments, []

    def __getattr__(self, name):
        return lambda *arguments: self.calls.append((name, *arguments))


@pytest.fixture
def root(tmp_path, monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "RANK"):
        monkeypatch.delenv(name, raising=False)
    write_params(tmp_path)
    monkeypatch.setattr(tracking, "MlflowWorker", Recorder)
    return tmp_path


@pytest.fixture
def clock(monkeypatch):
    """Seconds on the screen stand still."""
    return notebook.stopped_clock(monkeypatch, progress, 100.0)


def test_a_recorder_is_opened_for_the_stage_its_round_and_its_states(root):
    with tracking.stage_run(root, "ppo", "r1") as run:
        pass
    where, name, settings, training = run._recorder.opened_with
    assert (where, name, settings.experiment, training) == (root, StageName("ppo", "r1"), "rlhf", ("", 0))
    states = checkpoints.States(None, 0.0)
    states.folder, states.points = root / ".checkpoints/sft/0123", [{"loss": 0.5}] * 7
    with tracking.stage_run(root, "sft", states=states) as run:
        pass
    assert (run._recorder.opened_with[1], run._recorder.opened_with[3]) == (StageName("sft"), ("0123", 7))


def test_each_word_reaches_the_recorder_in_its_order(root):
    with tracking.stage_run(root, "ppo", "r1") as run:
        run.log_params({"a": {"b": 1}})
        run.log_metrics({"loss": 1, "deep": {"kl": 0.5}, "text": "x"})
        run.log_metrics({"loss": 2}, step=7)
        run.log_inputs([root / "a"], context="training")
        run.log_model(root / "m")
        run.log_card(root / "m", root / "card")
        run.log_deciding({"PPO beats SFT": 0.7}, ["PPO beats SFT"])
        run.describe(["**so**"], [])
        run.log_artifact(root / "f")
        run.progress(1, 2, {})
    assert run._recorder.calls == [
        ("params", {"a": {"b": 1}}),
        ("results", {"ppo.r1.loss": 1.0, "ppo.r1.deep.kl": 0.5}),
        ("metrics", {"loss": 2.0}, 7),
        ("inputs", [root / "a"], "training"),
        ("model", root / "m"),
        ("card", root / "m", root / "card"),
        ("decide", {"PPO beats SFT": 0.7}, ["PPO beats SFT"]),
        ("describe", ["**so**"], []),
        ("artifact", root / "f"),
        ("ready",),
        ("close", "FINISHED"),
    ]


def curve(root, steps, log_every: int) -> list:
    """Return the points that reach the recorder, the held back ones among them."""
    write_params(root, log_every=log_every)
    with tracking.stage_run(root, "sft") as run:
        for step in steps:
            run.log_metrics({"loss": step / 2, **({"rare": 1} if step % 5 == 0 else {})}, step=step)
    return [call[1:] for call in run._recorder.calls if call[0] == "metrics" and call[1]]


def test_a_curve_keeps_one_point_in_so_many_each_name_for_itself_and_its_last(root):
    assert curve(root, range(1, 10), log_every=3) == [
        ({"loss": 0.5}, 1),
        ({"loss": 2.0}, 4),
        ({"rare": 1.0}, 5),
        ({"loss": 3.5}, 7),
        ({"loss": 4.5}, 9),
    ]
    assert [step for _, step in curve(root, [1, 2, 3, 4], log_every=3)] == [1, 4], "the last was kept already"
    assert [step for _, step in curve(root, [0, 1, 2], log_every=3)][-1] == 2
    assert [step for _, step in curve(root, [1, 1, 4], log_every=3)] == [1, 4], "a step twice is not a curve anew"


def test_a_curve_that_begins_anew_keeps_its_first_point(root):
    assert [step for _, step in curve(root, [8, 9, 1, 2, 4], log_every=3)] == [8, 1, 4]


@pytest.mark.parametrize(
    ("error", "status"), [(None, "finished"), (ZeroDivisionError, "failed"), (KeyboardInterrupt, "killed")]
)
def test_the_last_line_says_how_it_ended_after_how_long_and_where_to_look(root, clock, capsys, error, status):
    def work():
        with tracking.stage_run(root, "ppo", "r1") as run:
            runs.append(run)
            clock.now += 65
            if error:
                raise error

    runs: list = []
    if error:
        with pytest.raises(error):
            work()
    else:
        work()
    said = capsys.readouterr()
    assert said.out == f"ppo@r1  {status} after 1m05s  http://the/run\n"
    assert said.err == ""
    assert runs[0]._recorder.calls == [("close", status.upper())]


def test_without_a_recorder_lines_have_no_address(root, clock, capsys):
    write_params(root, enabled="false")
    with tracking.stage_run(root, "sft") as run:
        run.say("a word")
        run.progress(1, 1, {"loss": 0.5})
        run.log_params({"a": 1})
        run.describe(["so"], [])
        run.log_artifact(root)
    assert capsys.readouterr().out == "sft  a word\nsft  1/1  loss 0.5  0s\nsft  finished after 0s\n"


def test_all_but_the_first_process_are_silent(root, capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(ZeroDivisionError), tracking.stage_run(root, "sft") as run:
        raise ZeroDivisionError(run.say("a word"))
    assert capsys.readouterr() == ("", "")
    assert run._recorder is None


def test_a_training_that_goes_on_says_after_which_step_and_discards_its_states_at_a_good_end(root, capsys):
    folder = root / "states"
    folder.mkdir()
    states = checkpoints.States(folder, 0.0)
    states.points = [{"step": 1}, {"step": 2}]
    with pytest.raises(ZeroDivisionError), tracking.stage_run(root, "sft", states=states):
        1 / 0  # noqa: B018
    assert folder.exists()
    assert capsys.readouterr().out.startswith("sft  goes on after step 2\nsft  failed after ")
    with tracking.stage_run(root, "sft", states=states):
        pass
    assert not folder.exists()


SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_as_killed_and_handlers_come_back(root, number):
    before = [signal.getsignal(each) for each in SIGNALS]
    named = f"signal {number:d} at "
    with pytest.raises(KeyboardInterrupt, match=named), tracking.stage_run(root, "sft") as run:
        signal.raise_signal(number)
    assert run._recorder.calls == [("close", "KILLED")]
    assert [signal.getsignal(each) for each in SIGNALS] == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_training_waits_for_the_step_and_says_what_it_goes_on_from(root, number, capsys):
    states = checkpoints.States(root / ".checkpoints/sft/0123", 1000.0)

    def train():
        with tracking.stage_run(root, "sft", states=states):
            for step in (1, 2, 3):
                if step == 2:
                    signal.raise_signal(number)
                states.keep({"step": step}, {"x": {"done": step}}, last=False)

    with pytest.raises(KeyboardInterrupt, match="after step 2"):
        train()
    said = capsys.readouterr().out
    assert "sft  stops after this step and keeps it; once more ends it at once\n" in said
    assert said.endswith("sft  it goes on after step 2 with: dvc repro sft\n")
    assert checkpoints.States(root / ".checkpoints/sft/0123", 1000.0).points == [{"step": 1}, {"step": 2}]


def test_a_second_signal_does_not_wait(root):
    states = checkpoints.States(root / ".checkpoints/sft/0123", 1000.0)

    def train():
        with tracking.stage_run(root, "sft", states=states):
            for _ in range(2):
                signal.raise_signal(signal.SIGINT)
            pytest.fail("it went on")

    with pytest.raises(KeyboardInterrupt, match="signal"):
        train()
    assert not states.stopping
