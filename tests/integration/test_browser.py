"""What a person sees: the MLflow UI compares the two runs, and the report opens without a network."""

import copy
import json
import re
import shutil
from urllib.parse import quote

import pytest
from mlflow import MlflowClient
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from rlhf.evaluation import deciding
from rlhf.runs import mlflow_store, tracking
from rlhf.runtime import outputs
from tests.integration.conftest import EXPERIMENT, KL_COEF, REPO, run

SECONDS = 180  # a busy machine draws slowly
WIN = 0.73  # win rate of a pipeline that wins; what it is compared with loses by as much


@pytest.fixture
def parents(pipeline):
    """Return the parent runs of `dvc repro` and of `dvc exp run`, and their experiment's id."""
    client = MlflowClient(f"sqlite:///{pipeline.root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("rlhf").experiment_id
    runs = client.search_runs([experiment], order_by=["attributes.start_time ASC"])
    parents = {
        found.info.run_name.partition(" @")[0]: found for found in runs if "mlflow.parentRunId" not in found.data.tags
    }
    return experiment, [parents["tiny"], parents[EXPERIMENT]]


def page(browser, url: str, *texts: str) -> str:
    """Open `url`, wait until all `texts` are on the page, and return its text."""
    browser.get(url)
    return page_text(browser, *texts)


def page_text(browser, *texts: str) -> str:
    """Wait until all `texts` are on the page, and return its text."""

    def visible() -> str:
        return browser.find_element(By.TAG_NAME, "body").text

    WebDriverWait(browser, SECONDS, ignored_exceptions=[StaleElementReferenceException]).until(
        lambda _: all(text in visible() for text in texts), f"{texts} did not all appear on {browser.current_url}"
    )
    return visible()


def test_the_table_of_runs_shows_both_pipelines_with_what_decides_and_what_was_changed(
    browser, mlflow_url, pipeline, parents, screenshot
):
    experiment, runs = parents
    client = MlflowClient(f"sqlite:///{pipeline.root / 'mlflow.db'}")
    address = mlflow_store.table_link(mlflow_url, mlflow_store.Store(client, experiment))
    changed = f"ppo.kl_coef={KL_COEF} ({runs[0].data.params['ppo.kl_coef']})"
    page(browser, address, *(run.info.run_name for run in runs), "0 PPO beats SFT controlled/sampled", changed)
    columns = ("Run Name", "params.changed", "0 PPO beats SFT controlled/sampled")
    places = [browser.find_element(By.XPATH, f"//*[text()='{name}']").location["x"] for name in columns]
    assert places == sorted(places)
    screenshot(browser, "mlflow-runs")


def test_a_pipelines_page_has_the_verdict_the_picture_of_win_rates_and_what_its_params_change(
    browser, mlflow_url, parents, screenshot
):
    experiment, runs = parents
    page(browser, mlflow_store.link(mlflow_url, experiment, runs[1].info.run_id), runs[1].info.run_name, "Show more")
    browser.find_element(By.XPATH, "//*[text()='Show more']").click()
    text = page_text(browser, "ppo.kl_coef", KL_COEF, "SFT, greedy")
    assert "What differs from presets/tiny.yaml" in text
    picture = browser.find_element(By.CSS_SELECTOR, "img[src*='path=win_rates.svg']")
    WebDriverWait(browser, SECONDS).until(lambda _: picture.get_property("naturalWidth") > 0)
    screenshot(browser, "mlflow-pipeline")


@pytest.fixture
def losing(pipeline, tmp_path, monkeypatch):
    """Return the ids of an experiment and of two pipelines in it, one of which loses by as much as the other wins.

    They are recorded from a folder that holds the default's metrics, the laboratory's and the benchmarks'.
    """
    from tests import notebook

    shutil.copytree(REPO / "metrics", tmp_path / "metrics")
    content = (REPO / "presets/tiny.yaml").read_text().replace("experiment: rlhf", "experiment: losing")
    (tmp_path / "params.yaml").write_text(content.replace("uri: null", f"uri: sqlite:///{pipeline.root}/mlflow.db"))
    monkeypatch.setattr(tracking, "MlflowWorker", notebook.InProcess)
    metrics = json.loads((REPO / "metrics/evaluate.json").read_text())["evaluate"]
    for name, mean in {"wins": WIN, "loses": 1 - WIN}.items():
        found = copy.deepcopy(metrics)
        for rate in (*found["win_rate"].values(), *found["controlled"].values()):
            rate |= {"mean": mean, "low": mean - 0.05, "high": mean + 0.05}
        monkeypatch.setenv("DVC_EXP_NAME", name)
        with tracking.stage_run(tmp_path, "evaluate") as run:
            outputs.write_metrics(tmp_path, "evaluate", found)
            run.log_metrics(found)
            figures = deciding.figures(found)
            run.log_deciding(figures, deciding.columns(figures))
    client = MlflowClient(f"sqlite:///{pipeline.root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("losing").experiment_id
    runs = client.search_runs([experiment])
    ids = {run.info.run_name: run.info.run_id for run in runs if "mlflow.parentRunId" not in run.data.tags}
    return experiment, [ids["wins"], ids["loses"]]  # both began with this process, so times do not order them


def test_an_ablation_that_loses_looks_so_in_the_compare_view(browser, mlflow_url, losing, screenshot):
    experiment, runs = losing
    address = (
        f"{mlflow_url}/#/compare-runs?runs={quote(json.dumps(runs))}&experiments={quote(json.dumps([experiment]))}"
    )
    page(browser, address, "wins", "loses", "0 PPO beats SFT controlled/sampled")
    screenshot(browser, "mlflow-losing")
    name = "0 PPO beats SFT controlled/sampled"
    cells = page_text(browser).rsplit(name, 1)[1].split()[:2]
    assert [float(cell) for cell in cells] == pytest.approx([WIN, 1 - WIN])


def test_the_comparison_of_both_shows_the_changed_parameter_and_the_win_rates(browser, mlflow_url, parents, screenshot):
    experiment, runs = parents
    ids = quote(json.dumps([run.info.run_id for run in runs]))
    address = f"{mlflow_url}/#/compare-runs?runs={ids}&experiments={quote(json.dumps([experiment]))}"
    page(browser, address, EXPERIMENT, "ppo.kl_coef", KL_COEF, runs[0].data.params["ppo.kl_coef"])
    screenshot(browser, "mlflow-compare")
    for switch in browser.find_elements(By.XPATH, "//*[text()='Show diff only']"):
        browser.execute_script("arguments[0].scrollIntoView(); arguments[0].click()", switch)
    named = WebDriverWait(browser, SECONDS, ignored_exceptions=[StaleElementReferenceException]).until(
        lambda _: differing_metrics(browser)
    )
    assert {re.split("[./]", name)[0] for name in named} <= {
        "0 PPO beats SFT controlled",
        "1 PPO beats FeedME controlled",
        "2 gold",
        "3 tokens",
        "4 KL",
        "5 PPO beats SFT plain",
        "6 PPO beats FeedME plain",
        "ppo",
        "evaluate",
    }
    assert named[0][0].isdigit(), "the figures that decide stand first"
    assert "seed" not in browser.find_element(By.TAG_NAME, "body").text.splitlines()
    screenshot(browser, "mlflow-differences")


def differing_metrics(browser) -> list[str]:
    """Return the metrics in sight once the list has shrunk to those that differ; the page draws only rows in sight."""
    links = browser.find_elements(By.XPATH, "//a[contains(@href, '/metric')]")
    names = [link.text for link in links if link.text]
    return names if names and not any(name.startswith("collect") for name in names) else []


def test_a_printed_link_leads_to_the_stage_and_its_curves(browser, mlflow_url, parents, screenshot):
    experiment, runs = parents
    run_id = runs[1].data.tags["stage.ppo/r1"]
    page(browser, f"{mlflow_url}/#/experiments/{experiment}/runs/{run_id}", "ppo@r1", "ppo.kl_coef")
    screenshot(browser, "mlflow-run")


def test_the_report_opens_offline_and_asks_the_network_for_nothing(browser, pipeline, screenshot):
    browser.execute_cdp_cmd("Network.enable", {})
    offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    page(browser, (pipeline.root / "data/evaluate/report.html").as_uri(), "PPO", "SFT")
    assert browser.find_elements(By.TAG_NAME, "svg")
    assert browser.find_elements(By.TAG_NAME, "table")
    asked = browser.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert [address for address in asked if address.startswith("http")] == []
    assert [line for line in browser.get_log("browser") if line["level"] == "SEVERE"] == []
    screenshot(browser, "report")


def test_dvcs_plots_are_drawn_offline(browser, pipeline, tmp_path, screenshot):
    run(pipeline.root, "dvc", "plots", "show", "metrics/plots/ppo/r1.csv", "-o", str(tmp_path))
    browser.execute_cdp_cmd("Network.enable", {})
    offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    browser.get((tmp_path / "index.html").as_uri())
    WebDriverWait(browser, SECONDS).until(lambda _: browser.find_elements(By.CSS_SELECTOR, ".vega-embed canvas"))
    assert [line for line in browser.get_log("browser") if line["level"] == "SEVERE"] == []
    screenshot(browser, "dvc-plots")
