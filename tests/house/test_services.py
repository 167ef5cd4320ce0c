"""What tests start listens on this machine alone."""

import ast
from collections.abc import Iterator

import pytest

from tests import toys

LOOPBACK = ("'127.0.0.1'", "HOST", "loopback.HOST")
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104


def elsewhere(code: str) -> Iterator[int]:
    """Yield the lines that let something listen, and do not say that it does so on this machine alone."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            address = node.args[0] if node.args else None
            listens = name in ("bind", "create_server") or name.endswith("HTTPServer")
            if listens and not (isinstance(address, ast.Tuple) and ast.unparse(address.elts[0]) in LOOPBACK):
                yield node.lineno
        elif isinstance(node, ast.FunctionDef):
            words = {one.value for one in ast.walk(node) if isinstance(one, ast.Constant)}
            if "mlflow" in words and {"ui", "server"} & words and "--port" in words and "--host" not in words:
                yield node.lineno


def test_no_test_starts_a_server_that_listens_elsewhere_than_on_this_machine():
    tests = {path: path.read_text(encoding="utf-8") for path in sorted((toys.REPO / "tests").rglob("*.py"))}
    del tests[toys.REPO / "tests/house/test_services.py"]
    found = [f"{path}:{line}" for path, code in tests.items() for line in elsewhere(code)]
    found += [f"{path}: {word}" for path, code in tests.items() for word in EVERYWHERE if f'"{word}"' in code]
    assert not found
    assert any("loopback.serving" in code for code in tests.values())


@pytest.mark.parametrize(
    "code",
    [
        "socket.create_server(('', 80))",
        "HTTPServer(('localhost', 0), Handler)",
        "probe.bind(address)",
        "def start():\n    run(['mlflow', 'ui', '--port', '1'])",
    ],
)
def test_a_server_that_listens_elsewhere_is_found(code):
    assert list(elsewhere(code)) == [1]
