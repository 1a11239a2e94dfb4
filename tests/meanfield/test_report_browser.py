"""A page in a browser: quiet, self-contained, legible in light and dark, on desk and phone, by keyboard alone."""

from itertools import pairwise

import pytest

import meanfield as mf

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")

FEW = {"depth": 3, "width": 32, "draws": 4, "max_draws": 16}
WIDTHS, SCHEMES = (1280, 390), ("light", "dark")


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    block = mf.erf >> mf.Dense(2.25, 0.09)
    mf.report(block, folder / "block.html", networks=mf.erf >> mf.Dense(4.5, 0.09), **FEW)
    mf.report("yang2021", folder / "theory.html", check=False)
    return folder


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["block", "theory"])
def test_a_page_is_quiet_and_fits(browser, pages, name, width, scheme):
    address = f"file://{pages}/{name}.html"
    browser.open(address, width=width, scheme=scheme)
    assert browser.console() == []
    assert browser.requests() == [address]
    assert browser.overflow() == 0
    assert browser.overlaps() == []
    assert [found for found in browser.contrasts() if found[0] < 4.5] == []


def test_formulas_have_a_size(browser, pages):
    browser.open(f"{pages}/block.html")
    boxes = "[...document.querySelectorAll('math')].map(m => m.getBoundingClientRect())"
    sizes = browser.js(f"return {boxes}.map(b => [b.width, b.height])")
    assert len(sizes) == 4 and all(width > 40 and height > 10 for width, height in sizes)


def test_pictures_follow_the_scheme(browser, pages):
    script = "return getComputedStyle(document.querySelector('#figure-diagram text')).fill"
    light, dark = (browser.open(f"{pages}/block.html", scheme=scheme).js(script) for scheme in SCHEMES)
    assert light != dark


def test_pictures_are_told_to_those_who_do_not_see_them(browser, pages):
    browser.open(f"{pages}/block.html")
    told = browser.js(
        "return [...document.querySelectorAll('svg')].map(s => s.getAttribute('aria-labelledby').split(' ')"
        ".map(id => document.getElementById(id).textContent))"
    )
    assert len(told) == 4 and all(title and description for title, description in told)


def test_the_keyboard_reaches_everything_and_unfolds(browser, pages):
    from selenium.webdriver.common.keys import Keys

    browser.open(f"{pages}/block.html")
    reached = browser.tabbed()
    tags = [element.tag_name for element in reached]
    assert reached[0].get_attribute("class") == "skip"
    wanted = browser.js("return document.querySelectorAll('a, summary').length")
    assert sum(tag in ("a", "summary") for tag in tags) == wanted
    summary = reached[tags.index("summary")]
    summary.send_keys(Keys.ENTER)
    assert browser.js("return document.querySelector('details').open")


def test_headings_descend_one_by_one(browser, pages):
    browser.open(f"{pages}/block.html")
    levels = browser.js("return [...document.querySelectorAll('h1, h2, h3')].map(h => Number(h.tagName[1]))")
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert browser.js("return document.documentElement.lang") == "en"
    assert browser.js("return [...document.querySelectorAll('th')].every(h => h.scope)")


def test_what_is_wrong_would_be_seen(browser, tmp_path):
    page = tmp_path / "wrong.html"
    page.write_text(
        "<p style='width:2000px; color:#aaa'>pale<img src='missing.png'>"
        "<svg viewBox='0 0 9 9'><text y='5'>one</text><text y='6'>two</text></svg><script>console.error(1)</script>"
    )
    browser.open(page, width=390)
    assert browser.overflow() > 0
    assert browser.overlaps() == [["one", "two"]]
    assert min(browser.contrasts())[0] < 4.5
    assert len(browser.requests()) == 2 and browser.console()
