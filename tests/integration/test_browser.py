"""What a person sees: the MLflow UI compares the two runs, and the report opens without a network."""

import json
import re
from urllib.parse import quote

import pytest
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.integration.conftest import EXPERIMENT, KL_COEF, run

SECONDS = 180  # a busy machine draws slowly


@pytest.fixture
def parents(pipeline):
    """Return the parent runs of `dvc repro` and of `dvc exp run`, and their experiment's id."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{pipeline.root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("rlhf").experiment_id
    runs = client.search_runs([experiment], order_by=["attributes.start_time ASC"])
    parents = [found for found in runs if "mlflow.parentRunId" not in found.data.tags]
    assert len(parents) == 2
    assert parents[1].info.run_name == EXPERIMENT
    return experiment, parents


def page(browser, url: str, *texts: str) -> str:
    """Open `url`, wait until all `texts` are on the page, and return its text."""
    browser.get(url)

    def visible() -> str:
        return browser.find_element(By.TAG_NAME, "body").text

    WebDriverWait(browser, SECONDS, ignored_exceptions=[StaleElementReferenceException]).until(
        lambda _: all(text in visible() for text in texts), f"{texts} did not all appear on {url}"
    )
    return visible()


def test_the_table_of_runs_shows_both_pipelines(browser, mlflow_url, parents, screenshot):
    experiment, runs = parents
    address = f"{mlflow_url}/#/experiments/{experiment}/runs?workflowType=machine_learning"
    page(browser, address, *(run.info.run_name for run in runs))
    screenshot(browser, "mlflow-runs")


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
    assert {re.split("[./]", name)[0] for name in named} <= {"0 results", "ppo", "evaluate"}
    assert named[0].startswith("0 results/"), "the figures that decide stand first"
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
