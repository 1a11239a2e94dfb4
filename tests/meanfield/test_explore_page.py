"""The page with knobs in a headless Chromium: knobs turned by keyboard show what Python computes, in any window."""

from threading import Thread
from urllib.parse import urlencode

import pytest

import meanfield as mf
from meanfield.pages.explore import start

pytest.importorskip("bottle")
KEYS = {"left": "\ue012", "up": "\ue013", "right": "\ue014", "tab": "\ue004", "enter": "\ue007"}
FIRST = {"activation": "relu", "weight_var": 1.5, "bias_var": 0.05, "depth": 30}


@pytest.fixture(scope="module")
def url():
    server, found = start()
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


def settle(browser, condition="true", seconds=60):
    """Wait until the page has every answer, and until a condition of its own."""
    from selenium.webdriver.support.ui import WebDriverWait

    script = f"return document.getElementById('page').getAttribute('aria-busy') === 'false' && ({condition})"
    WebDriverWait(browser.driver, seconds, 0.05).until(lambda driver: driver.execute_script(script))


def opened(browser, url, width=1280, scheme="light", **changes):
    browser.open(f"{url}#{urlencode({**FIRST, **changes})}", width=width, scheme=scheme)
    settle(browser, "document.querySelector('#diagram svg') && document.querySelector('#equations math')")
    return browser


def text(browser, name):
    return browser.js(f"return document.getElementById({name!r}).textContent")


def press(browser, name, keys):
    browser.driver.find_element("id", name).send_keys(keys)


def test_a_slider_moved_by_keyboard_shows_what_python_computes(browser, url):
    opened(browser, url)
    for _ in range(3):
        press(browser, "weight_var", KEYS["right"])
    settle(browser, "document.getElementById('python').textContent.includes('1.53')")
    wanted = mf.phase(mf.relu >> mf.Dense(1.53, 0.05))
    assert float(text(browser, "q")) == pytest.approx(wanted.q, rel=1e-5)
    assert float(text(browser, "chi_1")) == pytest.approx(wanted.chi_1, rel=1e-5)
    assert text(browser, "phase") == "ordered"
    assert "weight_var=1.53" in browser.js("return location.hash")
    assert browser.console() == []
    assert all(asked.startswith((url, "about:", "data:")) for asked in browser.requests())


def test_the_diagram_moves_the_point_by_key_and_by_click(browser, url):
    opened(browser, url)
    press(browser, "diagram", KEYS["up"])
    settle(browser, "document.getElementById('command').textContent.includes('0.055')")
    browser.driver.find_element("id", "diagram").click()
    settle(browser, "document.getElementById('phase').textContent === 'chaotic'")
    assert 2.3 < float(browser.js("return document.getElementById('weight_var').value")) < 2.8
    browser.driver.find_element("id", "bias_var_number").clear()
    press(browser, "bias_var_number", "0")
    settle(browser, "!document.getElementById('to-edge').hidden")
    browser.driver.find_element("id", "to-edge").click()
    settle(browser, "document.getElementById('phase').textContent === 'critical'")
    assert browser.console() == []


def test_a_bad_formula_is_marked_beside_its_field_and_forgotten_when_mended(browser, url):
    opened(browser, url)
    browser.driver.find_element("id", "activation").clear()
    press(browser, "activation", "relu(x)^2" + KEYS["enter"])
    settle(browser, "document.getElementById('formula-error').textContent.includes('^')")
    assert text(browser, "formula-error") == "'^' is not a power here; write ** for powersrelu(x)^2"
    assert browser.js("return document.querySelector('mark').textContent") == "^"
    assert text(browser, "phase") == "no phase"
    browser.driver.find_element("id", "activation").clear()
    press(browser, "activation", "relu" + KEYS["enter"])
    settle(browser, "document.getElementById('phase').textContent === 'ordered'")
    assert browser.js("return document.getElementById('formula-error').hidden")


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_overlaps_or_leaves_the_window_and_text_can_be_read(browser, url, width, scheme):
    opened(browser, url, width, scheme)
    assert browser.overflow() == 0
    assert browser.js(OVERLAPS) == []
    assert min(browser.js(CONTRASTS)) >= 4.5
    assert browser.console() == []


def test_the_tab_key_goes_down_the_page(browser, url):
    opened(browser, url)
    order = []
    for _ in range(11):
        browser.driver.switch_to.active_element.send_keys(KEYS["tab"])
        order.append(browser.js("return document.activeElement.id"))
    knobs = ["activation", *(k for name in ("weight_var", "bias_var", "depth") for k in (name, f"{name}_number"))]
    assert order == [*knobs, "diagram", "equations", "python", ""]  # and then the button that copies


def test_scales_and_ticks(browser, url):
    opened(browser, url)
    script = """
      const done = arguments[0];
      import(`${location.pathname}chart.js`).then((chart) => {
        const x = chart.linear([0, 4], [10, 90]), y = chart.log([0.01, 100], [100, 0]);
        done([x(1), x.back(30), x.ticks(4), y(1), y.back(50), y.ticks(4), chart.steps(-1, 1, 4),
          chart.path([[0, 0.01], [NaN, 1], [4, 100]], x, y), chart.short(0.123456789), chart.short(-2.5e-9, 3),
          chart.short("inf"), chart.short(null), chart.extent([0, 1]), chart.extent([2, 2])]);
      });"""
    assert browser.driver.execute_async_script(script) == [
        30, 1, [0, 1, 2, 3, 4], 50, 1, [0.01, 0.1, 1, 10, 100], [-1, -0.5, 0, 0.5, 1],
        "M10.00,100.00M90.00,0.00", "0.123457", "\u22122.5e\u22129", "∞", "\u2013", [-0.06, 1.06], [1.8, 2.2],
    ]  # fmt: skip


# Pairs of texts whose boxes share more than a pixel, of those that show.
OVERLAPS = """
const parts = [...document.querySelectorAll("h1, h2, label, p, dt, dd, figcaption, button, input, pre, svg text")]
  .filter((e) => e.getClientRects().length && e.textContent + e.tagName !== "");
const found = [];
parts.forEach((a, i) => parts.slice(i + 1).forEach((b) => {
  if (a.contains(b) || b.contains(a)) return;
  const [r, s] = [a.getBoundingClientRect(), b.getBoundingClientRect()];
  const wide = Math.min(r.right, s.right) - Math.max(r.left, s.left);
  const high = Math.min(r.bottom, s.bottom) - Math.max(r.top, s.top);
  if (wide > 1 && high > 1) found.push([a.textContent || a.id, b.textContent || b.id]);
}));
return found;
"""

# Contrast of each text with the paper behind the page, by WCAG's formula.
CONTRASTS = """
const light = (colour) => {
  const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const paper = light(getComputedStyle(document.body).backgroundColor);
const texts = "h1, h2, label, .muted, p, dt, dd, figcaption, button, input, svg text";
return [...document.querySelectorAll(texts)].map((e) => {
  const ink = light(e.closest("svg") ? getComputedStyle(e).fill : getComputedStyle(e).color);
  return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
});
"""
