"""Pages in a headless Chromium: what they logged, asked the network for and look like. Skips where there is none."""

import json
import shutil
from contextlib import contextmanager

import pytest

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-quic", "--disable-dev-shm-usage",
)  # fmt: skip


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
