"""`dvc plots show` and `dvc plots diff` fill a page of this repository, which needs no network."""

import configparser
import re
from pathlib import Path

from dvc_render.html import render_html
from dvc_render.vega import VegaRenderer

from tests import toys


def template() -> Path:
    """Return the page that .dvc/config names, as DVC finds it."""
    config = configparser.ConfigParser()
    config.read_string(re.sub(r"^\s+", "", (toys.REPO / ".dvc/config").read_text(), flags=re.MULTILINE))
    return toys.REPO / ".dvc" / config["plots"]["html_template"]


def test_the_page_carries_the_versions_of_vega_that_dvc_draws_with():
    wanted = re.findall(r"npm/([^\"]+)\"", VegaRenderer.SCRIPTS)
    assert len(wanted) == 3
    assert re.findall(r'<script data-package="([^"]+)">', template().read_text(encoding="utf-8")) == wanted


def test_a_filled_page_loads_nothing(tmp_path):
    points = [{"step": step, "loss": 1 / step, "rev": "workspace"} for step in (1, 2, 3)]
    drawn = VegaRenderer(points, "curve.csv", x="step", y="loss", template="linear")
    text = render_html([drawn], tmp_path / "index.html", template()).read_text(encoding="utf-8")
    assert text.count("vegaEmbed('#curve_csv', spec)") == 1
    assert re.findall(r"<(?:script|link|iframe)[^>]*\s(?:src|href)=[^>]*>", text) == []
