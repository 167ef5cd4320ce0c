"""Benchmarks run; what they measure is no test's business."""

from benchmarks import workers


def test_the_workers_benchmark_measures_a_setting(root, monkeypatch):
    monkeypatch.chdir(root)
    assert workers.updates_per_second(threads=2, workers=2, num_updates=1) > 0


def test_the_workers_benchmark_prints_a_row_for_every_setting(monkeypatch, capsys):
    def answer(command, **_):
        threads, count = command[command.index("--only") + 1 :][:2]
        return workers.subprocess.CompletedProcess(command, 0, stdout=f"{float(threads) * float(count)}\n")

    monkeypatch.setattr(workers.subprocess, "run", answer)
    workers.main(["--repetitions", "3"])
    rows = capsys.readouterr().out.strip().splitlines()[2:]
    assert rows == [
        "| 1 | 1 | 1.0 (1.0-1.0) | 1.00 |",
        "| 2 | 1 | 2.0 (2.0-2.0) | 2.00 |",
        "| 2 | 2 | 4.0 (4.0-4.0) | 4.00 |",
    ]
