"""The report in headless Chromium: nothing is cut or hard to read on phones and screens, light and dark."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest
from frames import many
from serving import chromium

from tsattn.explanation.explanation import draw_attention, draw_covariates, draw_weights
from tsattn.report.html import Picture, write_report
from tsattn.scoring.comparison import ValidationExample, ValidationSummary
from tsattn.timeseries.schema import InferredSetting

CUT = """[...document.querySelectorAll('main *, footer')].filter((part) => {
    const box = part.getBoundingClientRect();
    const scrolls = part.parentElement.closest('.scroll, .scrolled, pre, details, .long');
    return box.width && !scrolls && (box.right > innerWidth + 1 || box.left < -1);
}).map((part) => part.outerHTML.slice(0, 80))"""

CLIPPED = """[...document.querySelectorAll('main *')].filter((part) => {
    const style = getComputedStyle(part);
    return style.overflowX === 'hidden' && part.scrollWidth > part.clientWidth + 1;
}).map((part) => part.outerHTML.slice(0, 80))"""

FAINT = """(() => {
    const parse = (text) => {
        const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
        return { rgb: [r, g, b], a };
    };
    const linear = (v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const luminance = (rgb) => rgb.map((v) => linear(v / 255))
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const ground = (part) => {
        for (let at = part; at; at = at.parentElement) {
            const { rgb, a } = parse(getComputedStyle(at).backgroundColor);
            if (a > 0.99) return rgb;
        }
        return [255, 255, 255];
    };
    const found = [];
    const walker = document.createTreeWalker(document.querySelector('main'), NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const part = walker.currentNode.parentElement;
        if (!walker.currentNode.data.trim() || part.closest('style, script') || !part.getClientRects().length) continue;
        const style = getComputedStyle(part);
        const ink = parse(part.closest('svg') ? style.fill : style.color).rgb;
        const [high, low] = [luminance(ink), luminance(ground(part))].sort((a, b) => b - a);
        const ratio = (high + 0.05) / (low + 0.05);
        if (ratio < 4.5) found.push([walker.currentNode.data.trim().slice(0, 30), ratio]);
    }
    return found;
})()"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report with every section and long names."""
    past, ahead = many(3)
    names = {"unique_id": "a_column_with_a_rather_long_name", "ds": "date", "y": "Ventes_mensuelles_de_la_région"}
    ahead = ahead.rename(columns=lambda text: names.get(text, text.replace("y-", f"{names['y']}-", 1)))
    steps, heads = np.arange(1, 7), (1, 2)
    attention = pd.DataFrame(
        [
            ("H1", step, head, 40 - back, 40 - back, back, 1 / 8)
            for step in steps
            for head in heads
            for back in range(1, 9)
        ],
        columns=["unique_id", "ds", "head", "first", "last", "steps_back", "weight"],
    )
    weights = pd.DataFrame(
        {"unique_id": "H1", "ds": np.tile(steps, 2), "method": ["theta, seasonal"] * 6 + ["network"] * 6}
    )
    covariates = pd.DataFrame({"covariate": ["promotion", "x"], "increase": [0.4, 0.0], "spread": [0.1, 0.0]})
    example_past, example = many(1)
    errors = pd.DataFrame({"step": range(1, 6), "seq2seq": 0.5, "seasonal_naive": 1.0})
    coverage = pd.DataFrame({"level": [0.1, 0.5, 0.9], "fraction": [0.2, 0.5, 0.8]})
    shown = ValidationExample("good", 0.25, pd.concat([example_past, example[["unique_id", "ds", "y"]]]), example)
    path = tmp_path_factory.mktemp("report") / "report.html"
    scores = {
        "model": ["seq2seq + combination", "seasonal_naive"],
        "mase": [0.7, 1.1],
        "skill": [0.2, 0.0],
        "mae": 1234.5,
    }
    write_report(
        path,
        title="sales_of_all_the_shops_in_the_north_2024_final_version_3",
        inferred_settings=[
            InferredSetting(field="future covariates", value="promotion, x", given=True, reason="they were given")
        ],
        scores=pd.DataFrame(scores).assign(rmse=2345.6, wql=0.1, smape=12.5, **{"coverage-80": 0.8}),
        losses=pd.DataFrame({"epoch": [1, 2], "loss": [2.0, 1.0], "val_loss": [2.0, 1.5], "best": [False, True]}),
        history=past.rename(columns=names),
        forecast=ahead,
        config='[data]\nsource = "' + "x" * 200 + '"\n',
        model="seq2seq + combination",
        season=7,
        summary="seq2seq + combination is 20% better than the best naive baseline.",
        validation=ValidationSummary("MASE", errors, coverage, (shown,) * 3),
        weights=weights.assign(weight=0.5),
        pictures=[
            Picture("Candidates", partial(draw_weights, weights.assign(weight=0.5))),
            Picture("Attention", partial(draw_attention, attention)),
            Picture("Covariates", partial(draw_covariates, covariates)),
        ],
        findings=["The forecast attends most to 2024-01-01."],
        commands=[("tsattn predict runs/sales_of_all_the_shops_in_the_north NEW_DATA -o forecast.csv", "Forecast")],
    )
    return path.as_uri()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_nothing_is_cut_or_faint(browser: chromium.Page, address: str, width: int, dark: bool) -> None:
    browser.events.clear()
    browser.look(width, 900, dark=dark, phone=width < 800)
    browser.open(address)
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run(CUT) == [] and browser.run(CLIPPED) == []
    assert browser.run(FAINT) == []
    ground = browser.run("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, ground[4:-1].split(","))) < 200) == dark
    small = "[...document.querySelectorAll('svg.chart text')].map((text) => text.getBoundingClientRect().height)"
    assert min(height for height in browser.run(small) if height) > 8, "pixels"
    failures = ("Runtime.exceptionThrown", "Log.entryAdded")
    assert [event for event in browser.events if event["method"] in failures] == []


def test_a_chart_is_zoomed_and_shown_whole_again(browser: chromium.Page, address: str) -> None:
    browser.look(1280, 900)
    browser.open(address)
    box = "document.querySelector('svg.chart').getAttribute('viewBox').split(' ').map(Number)"
    whole = browser.run(box)
    press = "document.querySelector('figure .tools button[aria-label=\"{}\"]').click()"
    browser.run(press.format("Zoom in"))
    x, y, width, height = browser.run(box)
    assert width == pytest.approx(whole[2] / 1.5) and height == pytest.approx(whole[3] / 1.5)
    assert x == pytest.approx((whole[2] - width) / 2) and y == pytest.approx((whole[3] - height) / 2)
    browser.run("for (let i = 0; i < 30; i++) " + press.format("Zoom in"))
    assert browser.run(box)[2] == pytest.approx(whole[2] / 16)
    browser.run(press.format("Show the whole chart"))
    assert browser.run(box) == pytest.approx(whole)
