"""The report as a page: complete, offline, escaped, and the same bytes for the same findings."""

import json
import random
import re

import pytest
from ruamel.yaml import YAML

from rlhf.evaluation import findings, model_card, report, report_words, verdicts
from rlhf.evaluation.findings import Findings
from rlhf.evaluation.statistics import Bootstrap, Interval
from rlhf.evaluation.verdicts import Judged
from rlhf.params.base import parse
from rlhf.params.evaluate import Evaluate

SETTINGS = {
    "test_prompts": 1000,
    "validation_prompts": 200,
    "document_tokens": 2000,
    "sequence_tokens": 64,
    "max_prompt_tokens": 120,
    "max_completion_tokens": 48,
    "batch_size": 64,
    "scoring_batch_size": 64,
    "temperatures": [0.0, 0.5, 1.0],
    "best_of_n": {"compare": [4], "curve": [1, 4, 16], "curve_draws": 16, "curve_prompts": 100},
    "tie_threshold": {"gold": 0.02, "judge": 0.05},
    "bootstrap_samples": 200,
    "coverage": 0.95,
    "sample_prompts": 5,
}
KINDS = ("story", "facts", "harmful", "look_alike")
MEANS = {"base": 0.05, "sft": 0.5, "feedme": 0.62, "ppo": 0.74, "best_of_4": 0.66}
CURVE = [{"kl": 0.05 * step, "score": 0.1 + 0.04 * step} for step in range(30)]
EVIL = '</script><img src=x onerror="alert(1)">'


def invented(num_prompts: int = 40, with_gold: bool = True, text: str = "The fox lives in the forest.") -> Findings:
    """Return findings about answers that no model wrote: PPO above SFT, everything else beside it."""
    rng = random.Random(3)
    prompts, judged = [], {}
    for index in range(num_prompts):
        kind = KINDS[index % len(KINDS)]
        messages = [{"role": "user", "content": f"Tell me about {kind} <b>{index}</b>."}]
        if index % 5 == 0:
            messages += [{"role": "assistant", "content": "Sure."}, {"role": "user", "content": "Go on."}]
        prompt = {"id": f"p{index}", "messages": messages, "category": "generation" if index % 3 else "open_qa"}
        prompt |= {"language": "zh" if index % 8 == 0 else "en", "user": "u", "source": "world"}
        prompts.append({**prompt, "task": {"kind": kind}} if with_gold else prompt)
    keys = [(policy, decoding) for policy in ("base", "sft", "feedme", "ppo") for decoding in ("sampled", "greedy")]
    keys += [("sft", "best_temperature"), ("ppo", "best_temperature"), ("best_of_4", "sampled")]
    for policy, decoding in keys:
        judged[policy, decoding] = [_judged(rng, MEANS[policy], text, with_gold) for _ in prompts]
    settings = parse(Evaluate, SETTINGS, "evaluate")
    bootstrap = Bootstrap(settings.bootstrap_samples, settings.coverage, 1)
    asked = verdicts.questions([], [4])
    rates = [verdicts.compare(question, judged, settings.tie_threshold, bootstrap) for question in asked]
    sweep = [{"policy": name, "temperature": t, "win_rate": 0.5, "low": 0.4, "high": 0.6, "score": 0.5}
             for name in ("sft", "ppo") for t in settings.temperatures]  # fmt: skip
    best = [{"n": n, "kl": n / 8, "reward_model": n / 10, "score": 0.5 + n / 80, "low": 0.4, "high": 0.8, "oracle": 0.9}
            for n in settings.best_of_n.curve]  # fmt: skip
    return Findings(
        prompts=prompts,
        judged=judged,
        win_rates=[rate for rate in rates if rate],
        summaries={key: findings.summary(answers, bootstrap) for key, answers in judged.items()},
        slices=findings.slices(prompts, judged, asked, settings, bootstrap),
        kl={"ppo": (Interval(2.1, 1.9, 2.3), 0.11), "feedme": (Interval(1.0, 0.9, 1.1), 0.06)},
        document_loss={"base": 2.1, "sft": 2.4, "ppo": 2.5},
        best_temperature={"sft": 0.5, "ppo": 1.0},
        sweep=sweep,
        best_of_n=best,
        judge={"accuracy": 0.71, "pairs": 1234, "longer_preferred_by_model": 0.58, "longer_chosen_by_labelers": 0.55},
        too_long=0,
        artifacts={"data/ppo/r1": "a" * 32 + ".dir", "data/sft": "b" * 32 + ".dir"},
        rounds=["r1"],
        settings=settings,
    )


def _judged(rng: random.Random, mean: float, text: str, with_gold: bool) -> Judged:
    gold = min(1.0, max(0.0, rng.gauss(mean, 0.2)))
    criteria = {"facts": gold, "politeness": gold / 2} if with_gold else None
    score, strict = (gold, gold * 0.8) if with_gold else (None, None)
    return Judged(text, rng.randint(5, 30), True, 0.1, 2 * gold, 3 * gold - 1, score, strict, criteria)


@pytest.fixture(scope="module")
def found() -> Findings:
    return invented()


def test_the_headline_says_what_the_interval_allows(found):
    assert report_words.headline(found).startswith("RLHF helped: PPO beats SFT on ")
    rate = report_words.certain(found, "ppo_vs_sft")
    for interval, claim in (
        (Interval(0.5, 0.4, 0.6), "No difference was shown"),
        (Interval(0.3, 0.2, 0.4), "RLHF made answers worse"),
    ):
        others = [rate._replace(interval=interval)]
        assert report_words.headline(found._replace(win_rates=others)).startswith(claim)


def test_the_page_loads_nothing_from_elsewhere(found):
    page = report.html(found, CURVE)
    addresses = set(re.findall(r"""https?://[^\s"'<>]+""", page))
    assert all(address.startswith("http://www.w3.org/") for address in addresses)  # names of SVG's vocabularies
    assert not re.search(r"<link|<iframe|@import|src=|url\((?!#)", page)


def test_text_from_users_and_models_never_becomes_markup():
    page = report.html(invented(text=EVIL), CURVE)
    assert "<img" not in page
    assert "<b>0</b>" not in page
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    rows = json.loads(data.group(1))["rows"]
    assert rows[0]["answers"][0]["text"] == EVIL
    assert rows[0]["turns"][0][1].endswith("<b>0</b>.")


def test_equal_findings_give_equal_bytes(found):
    assert report.html(found, CURVE) == report.html(invented(), CURVE)


def test_every_comparison_criterion_and_slice_is_on_the_page(found):
    page = report.html(found, CURVE)
    for words in ("PPO against SFT", "PPO against best of 4", "strict", "politeness", "look alike", "multi-turn", "zh"):
        assert words in page


def test_without_a_gold_labeler_the_judge_decides_and_its_accuracy_is_told():
    found = invented(with_gold=False)
    page = report.html(found, CURVE)
    assert found.decided_by == "judge"
    assert "agrees with labelers on 71% of 1,234 held-out pairs" in page
    assert "prefers the longer answer in 58%" in page
    assert ">Criteria</h2>" not in page
    assert found.win_rate("strict_ppo_vs_sft") is None


def test_metrics_hold_the_promised_win_rates_with_their_intervals(found):
    rates = findings.metrics(found)["win_rate"]
    for name in (
        "ppo_vs_sft", "ppo_vs_sft_best_temperature", "ppo_vs_sft_greedy", "ppo_vs_best_of_4", "ppo_vs_feedme",
        "ppo_vs_sft_length_controlled", "strict_ppo_vs_sft_greedy", "strict_ppo_vs_feedme_greedy",
    ):  # fmt: skip
        assert rates[name]["low"] <= rates[name]["mean"] <= rates[name]["high"]


def test_samples_in_markdown_keep_their_table_whole():
    text = report.samples_markdown(invented(text="one | two\nthree <b>"), [0, 1])
    assert "| one \\| two three &lt;b> |" in text
    assert text.count("\n## ") == 2


def test_the_report_and_the_model_card_name_the_artifacts_by_dvcs_md5(found):
    card = model_card.markdown(found, {"folder": "data/ppo/r1", "parameters": 1234567})
    for text in (card, report.html(found, CURVE)):
        for path, md5 in found.artifacts.items():
            assert path in text
            assert md5 in text


def test_the_model_card_has_a_head_that_the_hub_reads_and_the_results(found):
    card = model_card.markdown(found, {"folder": "data/ppo/r1", "parameters": 1234567})
    _, head, body = card.split("---\n", 2)
    assert YAML(typ="safe").load(head)["library_name"] == "transformers"
    assert report_words.headline(found) in body
    assert "1,234,567 parameters" in body
    assert 'from_pretrained("data/ppo/r1")' in body
    assert "| PPO against SFT |" in body
