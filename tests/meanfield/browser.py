"""Pages in a headless Chromium: what they logged, asked the network for and look like. Skips where there is none."""

import json
import shutil
from contextlib import contextmanager

import pytest

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-quic", "--disable-dev-shm-usage",
)  # fmt: skip


OVERLAPS = """
return [...document.querySelectorAll('svg')].flatMap(svg => {
  const boxes = [...svg.querySelectorAll('text')].map(t => [t.textContent, t.getBoundingClientRect()]);
  return boxes.flatMap(([a, p], i) => boxes.slice(i + 1).filter(([b, q]) =>
    Math.min(p.right, q.right) - Math.max(p.left, q.left) > 1 &&
    Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top) > 1).map(([b, q]) => [a, b]));
});
"""
CONTRASTS = """
const channels = c => c.match(/[\\d.]+/g).map(Number);
const luminance = c => channels(c).slice(0, 3).map(x => x / 255)
  .map(x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4)
  .reduce((sum, x, i) => sum + x * [0.2126, 0.7152, 0.0722][i], 0);
const opaque = c => channels(c).length < 4 || channels(c)[3] > 0;
const ground = e => !e ? 'rgb(255, 255, 255)' :
  opaque(getComputedStyle(e).backgroundColor) ? getComputedStyle(e).backgroundColor : ground(e.parentElement);
const own = e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
return [...document.body.querySelectorAll('*')].filter(e => own(e) && e.getClientRects().length).map(e => {
  const style = getComputedStyle(e), ink = e instanceof SVGElement ? style.fill : style.color;
  const [low, high] = [luminance(ink), luminance(ground(e))].sort((a, b) => a - b);
  return [(high + 0.05) / (low + 0.05), e.textContent.trim().slice(0, 40)];
});
"""


class Browser:
    """A driver with the questions that tests of pages ask."""

    def __init__(self, driver):
        self.driver = driver

    def open(self, url, width=1280, height=900, scheme="light"):
        """Load a page (a path or an address) in a window of this size and colour scheme; old logs are forgotten."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.get("about:blank")
        for log in ("browser", "performance"):
            self.driver.get_log(log)
        self.driver.get(url if "://" in str(url) else f"file://{url}")
        return self

    def js(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def console(self):
        """What was written to the console since `open` or the last call: [(level, message)]."""
        return [(entry["level"], entry["message"]) for entry in self.driver.get_log("browser")]

    def requests(self):
        """The addresses asked for since `open` or the last call, that of the page among them."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]

    def overflow(self):
        """By how many pixels the page is wider than its window."""
        return self.js("return document.documentElement.scrollWidth - document.documentElement.clientWidth")

    def overlaps(self):
        """Pairs of texts in one <svg> whose boxes meet."""
        return self.js(OVERLAPS)

    def contrasts(self):
        """Of every visible text (WCAG contrast with what is behind it, text)."""
        return self.js(CONTRASTS)

    def tabbed(self, most=200):
        """The elements that the Tab key reaches, each once, in order."""
        from selenium.webdriver.common.keys import Keys

        found = []
        self.js("document.activeElement.blur(); window.scrollTo(0, 0)")
        for _ in range(most):
            self.driver.switch_to.active_element.send_keys(Keys.TAB)
            element = self.driver.switch_to.active_element
            if element in found or element.tag_name == "body":
                break
            found.append(element)
        return found

    def screenshot(self, path, full=True):
        """A picture of the page, whole or of the window."""
        import base64

        options = {"captureBeyondViewport": full}
        if full:
            height = self.js("return document.documentElement.scrollHeight")
            width = self.js("return document.documentElement.clientWidth")
            options["clip"] = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", options)
        with open(path, "wb") as file:
            file.write(base64.b64decode(shot["data"]))


@contextmanager
def chromium(profile):
    """A Browser whose fresh profile is the folder `profile`; skips the test where Chromium or its driver is missing."""
    webdriver = pytest.importorskip("selenium.webdriver")
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not (browser and driver):
        pytest.skip("no chromium with a chromedriver on the path")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield Browser(started)
    finally:
        started.quit()
