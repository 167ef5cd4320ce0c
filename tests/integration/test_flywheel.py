"""The flywheel turned twice on the tiny preset: chat, labels and a second round by the real pages."""

import json

import pytest

from tests.integration.flywheel import figures, lineage, persons
from tests.integration.flywheel.ground import Ground
from tests.integration.flywheel.turning import Turn

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def turned(tmp_path_factory):
    """The ground after two turns, and the figures."""
    ground = Ground(tmp_path_factory.mktemp("flywheel") / "ground", None)
    return ground, Turn(ground, "tiny", 24, 12).run()


def test_what_people_say_reaches_the_last_policy(turned):
    _, found = turned
    assert found["chat"]["lines"]["choice"] >= len(persons.USERS) // 2
    assert found["from_chat"]["demonstrations.train"] > 0
    assert found["from_chat"]["prompts.ppo"] > 0
    first, second = found["rounds"].values()
    assert first["judgements"] >= first["answered_prompts"] > 20
    assert sum(second["comparisons"].values()) > sum(first["comparisons"].values())
    assert found["lineage"]["judgement_lines"] == sum(sum(one.values()) for one in found["ranked"].values())
    assert set(figures.STEPS) == set(found["seconds"])
    assert "| r2 |" in figures.page(json.loads(json.dumps({"tiny": found}, sort_keys=True)))


def test_a_line_that_reached_nothing_is_found_out(turned):
    """Without its judgement behind the policy the lineage is refused: it cannot be said by the file's name alone."""
    ground, _ = turned
    file = next(iter(sorted((ground.root / "data/labels/r1").glob("*.jsonl"))))
    before = file.read_text(encoding="utf-8")
    last = json.loads(before.splitlines()[-1])
    file.write_text(f"{before}{json.dumps({**last, 'id': 'other', 'prompt': 'elsewhere'})}\n", encoding="utf-8")
    try:
        with pytest.raises(RuntimeError, match="no comparison of round r2 has this judgement"):
            lineage.checked(ground)
    finally:
        file.write_text(before, encoding="utf-8")
