"""The command: what it prints of presets, and how it refuses flags."""

import shutil

import pytest

from tests import toys
from tests.tools.planning.shapes import params
from tools import plan
from tools.planning import needs, sizes, stages, tables, whole


@pytest.fixture
def root(tmp_path):
    shutil.copytree(toys.REPO / "presets", tmp_path / "presets")
    shutil.copy(toys.REPO / "presets/tiny.yaml", tmp_path / "params.yaml")
    return tmp_path


def said(root, capsys, *flags):
    code = plan.main([*flags], root)
    return code, capsys.readouterr()


def test_a_plan_has_every_stage_and_every_term(root, capsys):
    code, printed = said(root, capsys, "--no-time")
    assert code == 0
    lines = printed.out.splitlines()
    assert lines[0].startswith("tiny: 0.144 million weights; rows as params bound them")
    starts = [line.split()[0] for line in lines]
    for stage in stages.STAGES:
        assert starts.count(stage) == 2  # in the table of work and in that of memory
    header = next(line for line in lines if "gradients" in line)
    for term in ("weights", "gradients", "optimiser", "frozen", "activations", "logits", "cache"):
        assert term in header
    assert any(line.startswith("disk: ") for line in lines)
    assert any("20 tokens a weight" in line for line in lines)


def test_a_given_rate_gives_times(root, capsys):
    _, at_one = said(root, capsys, "--preset", "instructgpt", "--shape", "gpt3-xl", "--rate", "1", "--gpus", "8")
    _, at_two = said(root, capsys, "--preset", "instructgpt", "--shape", "gpt3-xl", "--rate", "2", "--gpus", "8")
    assert "at 1 TFLOP/s a process, as given" in at_one.out
    assert at_one.out.split("all ")[1].split()[3:5] != at_two.out.split("all ")[1].split()[3:5]


def test_of_gpus_no_time_is_claimed_from_this_machine(root, capsys):
    _, printed = said(root, capsys, "--gpus", "8", "--memory", "80")
    assert "give what a GPU reaches, --rate" in printed.out
    assert "fit: every stage fits into the 80 GB that a process has" in printed.out


def test_what_does_not_fit_is_an_exit_code_and_names_what_does(root, capsys):
    flags = ("--preset", "instructgpt", "--shape", "gpt3-xl", "--gpus", "8", "--memory", "24", "--no-time")
    code, printed = said(root, capsys, *flags)
    assert code == 1
    assert "ppo needs " in printed.out
    assert "ppo.lora of rank 8, ppo.share_backbone: true and ppo.batch_size: " in printed.out
    assert "runtime.sharding: fsdp2 and 16 processes" in printed.out
    shared_code, shared = said(root, capsys, *flags, "--sharded")
    assert "8 processes sharing" in shared.out
    assert shared_code == (1 if "needs " in shared.out else 0)


def test_params_that_ask_for_shards_are_planned_so(root, capsys):
    text = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(
        text.replace("\nruntime:\n", "\nruntime:\n  sharding: fsdp2\n", 1).replace("workers: 2", "workers: 1")
    )
    _, printed = said(root, capsys, "--gpus", "8", "--memory", "80", "--no-time")
    assert "8 processes sharing" in printed.out


def test_a_model_that_is_not_there_yet_is_asked_for(root, capsys):
    text = (root / "presets/instructgpt.yaml").read_text()
    (root / "presets/instructgpt.yaml").write_text(text.replace("EleutherAI/gpt-neo-1.3B", "someone/model"))
    code, printed = said(root, capsys, "--preset", "instructgpt", "--no-time")
    assert code == 2
    assert "--shape" in printed.out + printed.err


PRESETS = sorted(path.stem for path in (toys.REPO / "presets").glob("*.yaml"))


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_has_a_plan(root, capsys, preset):
    asked = ("--preset", preset, "--no-time", "--memory", "1000")
    code, printed = said(root, capsys, *asked)
    if code == 2:  # a model of a package that is not installed
        assert "--shape" in printed.err
        code, printed = said(root, capsys, *asked, "--shape", "gpt2")
    assert code == 0, printed.err
    trained = {"rejection", "dpo"} <= {line.split()[0] for line in printed.out.splitlines()}
    assert trained == params(preset).dpo.train


def test_a_published_model_that_is_not_read_yet_is_planned_by_its_shape_and_that_is_said(root, capsys):
    _, printed = said(root, capsys, "--preset", "instructgpt", "--no-time")
    assert printed.out.startswith("instructgpt: 1.32 billion weights; rows")
    assert "EleutherAI/gpt-neo-1.3B is not read yet: its sizes are those of the named shape gpt3-xl" in printed.out
    _, of_shape = said(root, capsys, "--preset", "instructgpt", "--no-time", "--shape", "gpt3-xl")
    assert "is not read yet" not in of_shape.out


def test_rounds_are_added_up(root, capsys):
    rows = {}
    for rounds in (1, 2):
        of = params().model_copy(update={"rounds": {f"r{one}": params().rounds["r1"] for one in range(rounds)}})
        found = whole.of_params(of, root)
        rows[rounds] = {line.split()[0]: line.split()[3] for line in tables.work(found, None)}
        said_so = any("collect_answers, reward_model, ppo: 2 rounds" in line for line in tables.work(found, None))
        assert said_so == (rounds == 2)
        assert found.disk["ppo"].model == rounds * found.disk["sft"].model
    assert rows[1]["sft"] == rows[2]["sft"]
    ppo = whole.of_params(params(), root)
    assert rows[2]["ppo"] == needs.short(2 * ppo.work["ppo"].flops(ppo.sizes))


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--vocab", "100"], "--vocab is of --shape"),
        (["--bandwidth", "100"], "--bandwidth goes with --rate"),
        (["--sharded"], "give --gpus"),
        (["--gpus", "0"], "expected 1 or more, got 0"),
        (["--gpus", "two"], "invalid"),
        (["--memory", "-1"], "expected more than 0, got -1"),
        (["--rate", "nan"], "expected more than 0, got nan"),
        (["--rate", "inf"], "expected more than 0, got inf"),
        (["--rate", "1", "--no-time"], "one of --rate and --no-time"),
        (["--shape", "gpt9"], "invalid choice"),
        (["--rows", "sft"], "expected SET=N of sft, ranked"),
        (["--rows", "sft=3,all=4"], "got 'all=4'"),
        (["--rows", "sft=-3"], "got 'sft=-3'"),
        (["--against", "x", "--gpus", "2"], "leave out --gpus"),
    ],
)
def test_bad_flags_are_refused(root, capsys, flags, told):
    with pytest.raises(SystemExit) as ended:
        plan.main(flags, root)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_bad_params_and_presets_are_named(root, capsys):
    code, printed = said(root, capsys, "--preset", "no_such", "--no-time")
    assert (code, "expected one of" in printed.out + printed.err) == (2, True)
    text = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(text.replace("iterations: 4", "iterations: none"))
    code, printed = said(root, capsys, "--no-time")
    assert (code, "ppo.iterations" in printed.out + printed.err) == (2, True)


def test_the_text_that_a_model_wants(root):
    from tests.tools.planning.shapes import changed
    from tools.planning import rows

    tiny = changed("tiny", pretrain__tokens=1_000_000)
    model = sizes.of_shape("tiny", 768)
    known = rows.known(tiny, root)._replace(documents=100_000)
    lines = [*needs.lines(tiny, model, known)]
    assert lines[0].endswith(needs.short(20 * model.policy()))
    assert "1M" in lines[1]
    assert "read 10 times; beyond 4" in lines[2]
    assert "read 1 times" in [*needs.lines(tiny, model, known._replace(documents=1_000_000))][2]


def test_given_numbers_of_records_are_planned(root, capsys):
    tokens = {}
    for rows in ("sft=1000,ppo=100", "sft=2000,ppo=100"):
        _, printed = said(root, capsys, "--no-time", "--rows", rows)
        line = next(line for line in printed.out.splitlines() if line.startswith("sft "))
        tokens[rows] = line.split()[2]
    assert tokens == {"sft=1000,ppo=100": "164k", "sft=2000,ppo=100": "323k"}  # whole batches of 32 rows of 160
