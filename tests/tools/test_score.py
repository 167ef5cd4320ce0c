"""Scoring from a shell and over HTTP: rows in, the same rows with scores out, and mistakes named."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from rlhf.preferences.rewards import RewardScorer
from tests import toys
from tools.score import __main__ as score
from tools.score import service

ROWS = [
    {"prompt": "Say red.", "response": "red fox.", "id": 7},
    {"messages": [{"role": "user", "content": "Who?"}], "responses": ["Nobody knows.", "amber"]},
    {"prompt": "Say 你好.", "responses": ["blue"]},
]


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    """A root with a policy, a reward model and a function."""
    root, tokenizer = toys.root(tmp_path_factory.mktemp("score") / "repository"), toys.tokenizer()
    toys.save(root / "data/sft", toys.policy(tokenizer), tokenizer)
    toys.save(root / "data/reward_model/r1", toys.reward_model(tokenizer), tokenizer)
    toys.save(root / "elsewhere", toys.reward_model(tokenizer, seed=9), tokenizer)
    (root / "my_scored.py").write_text("def length(messages, answers):\n    return [len(a) for a in answers]\n")
    terms = {"functions": [{"function": "my_scored:length", "weight": -2.0}], "answer_tokens": 0.5}
    toys.set_param(root, "rewards", toys.REWARDS | terms)
    return root


@pytest.fixture(scope="module")
def expected(ready):
    scorer = RewardScorer(ready / "data/reward_model/r1", toys.runtime())
    turns = [[{"role": "user", "content": text}] for text in ("Say red.", "Who?", "Who?", "Say 你好.")]
    return scorer.score_texts(turns, ["red fox.", "Nobody knows.", "amber", "blue"])


def written(tmp_path, text: str, name: str = "rows.jsonl"):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / name


def ran(ready, *arguments) -> int:
    return score.main([str(argument) for argument in arguments], ready)


LINES = "\n".join(json.dumps(row) for row in ROWS) + "\n\n"


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json"])
def test_rows_come_out_in_their_order_with_their_scores(ready, expected, tmp_path, capsys, name):
    file = written(tmp_path, LINES if name == "rows.jsonl" else json.dumps(ROWS), name)
    assert ran(ready, file) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [{key: row[key] for key in asked} for row, asked in zip(found, ROWS, strict=True)] == ROWS
    assert found[0]["score"] == pytest.approx(expected[0], abs=1e-5)
    assert found[1]["scores"] == pytest.approx(expected[1:3], abs=1e-5)
    assert found[2]["scores"] == pytest.approx(expected[3:], abs=1e-5)


def test_a_csv_file_has_a_row_a_line(ready, expected, tmp_path):
    file = written(tmp_path, 'prompt,response\nSay red.,red fox.\nWho?,"Nobody knows."\n', "rows.csv")
    assert ran(ready, file, "--out", tmp_path / "out.jsonl") == 0
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["score"] for row in found] == pytest.approx(expected[:2], abs=1e-5)


def test_another_folder_may_be_named(ready, expected, tmp_path, capsys):
    assert ran(ready, written(tmp_path, LINES), "--model", ready / "elsewhere") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["score"] != pytest.approx(expected[0], abs=1e-3)
    assert ran(ready, written(tmp_path, LINES), "--model", ready / "data/collect_prompts") == 2
    assert "no reward model's folder" in capsys.readouterr().err


def test_the_weighted_sum_is_shown_with_its_terms(ready, expected, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.path", [*sys.path])
    assert ran(ready, written(tmp_path, LINES), "--rewards") == 0
    first, second, _ = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    terms = first["terms"]
    assert terms["reward_model"] == pytest.approx(expected[0], abs=1e-5)
    assert terms["length"] == len("red fox.")
    assert terms["answer_tokens"] == len(toys.tokenizer()(" red fox.")["input_ids"])
    assert first["score"] == pytest.approx(expected[0] - 16 + 0.5 * terms["answer_tokens"], abs=1e-4)
    assert second["terms"]["length"] == [13, 5]


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ('{"prompt": "a", "response": "b"}\n{"prompt": "a"\n', "x.jsonl", "x.jsonl: line 2: not valid JSON"),
        ('{"prompt": "a", "response": "b"}\n\n{"prompt": "a"}\n', "x.jsonl", "x.jsonl: line 3: expected response"),
        ('{"response": "b"}', "x.jsonl", "x.jsonl: line 1: expected prompt"),
        ('{"messages": [{"role": "boss", "content": "a"}], "response": "b"}', "x.jsonl", "line 1: expected prompt"),
        ('{"prompt": "a", "responses": [1]}', "x.jsonl", "line 1: expected response"),
        ('[{"prompt": "a", "response": "b"}, 3]', "x.json", "x.json: row 2: expected an object"),
        ("prompt,response\na,b\nc\n", "x.csv", "x.csv: line 3: expected response"),
        (None, "x.jsonl", "x.jsonl"),
    ],
)
def test_a_mistake_names_file_and_line(ready, tmp_path, capsys, text, name, words):
    file = tmp_path / name if text is None else written(tmp_path, text, name)
    assert ran(ready, file) == 2
    assert words in capsys.readouterr().err


@pytest.fixture
def asking(ready):
    """Ask a service on this machine: method, path, body, headers -> status and JSON."""
    scoring = score.opened(ready, None, summed=False)
    server = service.Server(score.LOOPBACK, 0, scoring.name, lambda rows: score.scored(scoring, rows, 8))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def ask(method: str, path: str, body=None, headers=None):
        connection = http.client.HTTPConnection(*server.server_address, timeout=20)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        content = json.loads(answer.read())
        connection.close()
        return answer.status, content

    yield ask
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_service_scores_a_row_or_a_list_of_rows(asking, expected):
    status, found = asking("POST", "/score", json.dumps(ROWS))
    assert status == 200
    assert [found[0]["score"], *found[1]["scores"], *found[2]["scores"]] == pytest.approx(expected, abs=1e-5)
    status, found = asking("POST", "/score", json.dumps(ROWS[0]))
    assert (status, found["id"]) == (200, 7)
    assert found["score"] == pytest.approx(expected[0], abs=1e-5)
    status, found = asking("GET", "/health")
    assert (status, found["status"]) == (200, "ok")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("POST", "/score", "{", 400, "not JSON"),
        ("POST", "/score", "[" * 100_000, 400, "not JSON"),
        ("POST", "/score", b"\xff", 400, "not UTF-8"),
        ("POST", "/score", "[]", 400, "expected 1 to 1024 answers"),
        ("POST", "/score", json.dumps({"prompt": "a", "responses": ["b"] * 1025}), 400, "1024 answers in a request"),
        ("POST", "/score", json.dumps([ROWS[0], {"prompt": "a"}]), 400, "row 2: expected response"),
        ("POST", "/", "{}", 404, "expected POST /score"),
        ("GET", "/score", None, 404, "expected GET /health"),
        ("POST", "/score", b" " * (service.MOST_BYTES + 1), 413, "at most"),
    ],
)
def test_what_is_no_request_gets_an_error_that_says_what_is(asking, method, path, body, status, words):
    found, content = asking(method, path, body)
    assert found == status
    assert words in content["error"]
    assert asking("GET", "/health")[0] == 200


def test_a_body_without_its_length_is_refused(asking):
    assert asking("POST", "/score", iter([b"{}"]))[0] == 411


@pytest.mark.parametrize(("path", "status"), [("/score", 411), ("/", 404)])
def test_a_body_that_comes_after_the_refusal_does_not_hide_it(asking, path, status):
    def slow():
        yield b"{"
        time.sleep(0.3)  # the refusal has been sent
        for _ in range(8):
            yield b" " * (1 << 18)

    found, content = asking("POST", path, slow())
    assert found == status
    assert "expected" in content["error"]


def test_requests_at_once_get_their_own_scores(asking, expected):
    found = {}

    def one(number: int) -> None:
        row = (
            {"prompt": "Say red.", "response": "red fox."}
            if number % 2
            else {"prompt": "Say 你好.", "response": "blue"}
        )
        found[number] = asking("POST", "/score", json.dumps(row))[1]["score"]

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(8):
        assert found[number] == pytest.approx(expected[0] if number % 2 else expected[3], abs=1e-5)


def test_a_signal_ends_the_command_which_listens_on_loopback_alone(ready):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(toys.REPO)!r}); "
               f"from tools.score.__main__ import main; sys.exit(main(['--serve', '{port}']))"]  # fmt: skip
    process = subprocess.Popen(command, cwd=ready, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if f"POST http://127.0.0.1:{port}/score" in line:
            break
    connection = http.client.HTTPConnection(score.LOOPBACK, port, timeout=60)
    connection.request("POST", "/score", json.dumps(ROWS[0]))
    assert connection.getresponse().status == 200
    connection.close()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    assert "ended" in process.stderr.read()
