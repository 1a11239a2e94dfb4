"""Time the moves of the knobs of `meanfield explore`, over its real server; print a table.

Usage: python scripts/bench_explore.py [--moves N] [--write PAGE] [--picture PNG]
Each move is to random knobs, a round trip over the loopback interface: `point` is what every move asks (phase, map of
correlations, layers, code), `edge` is asked besides when bias_var or the activation moves. The first question about an
activation, whose equations are derived and compiled unless an earlier process has, is reported by itself.
--picture also takes a screenshot of the page, by a Chromium on the path.
"""

import argparse
import subprocess
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path
from threading import Thread
from urllib.parse import urlencode, urlsplit

import numpy as np
from pages import replace

from meanfield.pages.explore import start

ACTIVATIONS = ("tanh", "gelu", "relu", "x*tanh(x)")


def ask(connection: HTTPConnection, folder: str, kind: str, **knobs: object) -> float:
    """The milliseconds of one round trip; whatever the answer, it was an answer."""
    began = time.perf_counter()
    connection.request("GET", f"{folder}{kind}?{urlencode(knobs)}")
    reply = connection.getresponse()
    reply.read()
    spent = 1000 * (time.perf_counter() - began)
    if reply.status not in (200, 400):
        raise SystemExit(f"{kind}: status {reply.status}")
    return spent


def measure(url: str, activation: str, moves: int, rng: np.random.Generator) -> str:
    parts = urlsplit(url)
    spent: dict[str, list[float]] = {"point": [], "edge": []}
    connection = HTTPConnection(parts.netloc, timeout=300)
    first = ask(connection, parts.path, "point", activation=activation)
    ask(connection, parts.path, "edge", activation=activation)
    for _ in range(moves):
        knobs = {
            "activation": activation,
            "weight_var": rng.uniform(0.1, 5),
            "bias_var": rng.uniform(0, 1),
            "depth": int(rng.integers(1, 101)),
        }
        for kind, times in spent.items():
            times.append(ask(connection, parts.path, kind, **knobs))
    cells = [f"{np.median(times):.1f} ({np.quantile(times, 0.95):.1f})" for times in spent.values()]
    return f"| {activation} | {' | '.join(cells)} | {first / 1000:.1f} s |"


def photograph(url: str, picture: Path) -> None:
    """The page as it starts, once its answers are there."""
    with tempfile.TemporaryDirectory() as profile:
        flags = ["--headless=new", "--no-sandbox", "--hide-scrollbars", f"--user-data-dir={profile}"]
        size = ["--window-size=1280,1400", "--virtual-time-budget=20000", f"--screenshot={picture.resolve()}"]
        subprocess.run(["chromium", *flags, *size, url], check=True, capture_output=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moves", type=int, default=200)
    parser.add_argument("--write", type=Path, help="a page with the markers explore:begin and explore:end")
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args()
    server, url = start()
    Thread(target=server.serve_forever, daemon=True).start()
    rng = np.random.default_rng()
    lines = ["| activation | point, ms (95 %) | edge, ms (95 %) | first |", "|---|---|---|---|"]
    lines += [measure(url, activation, given.moves, rng) for activation in ACTIVATIONS]
    table = "\n".join(lines)
    print(table)
    if given.write:
        replace(given.write, "explore", table)
    if given.picture:
        photograph(url, given.picture)
    server.shutdown()


if __name__ == "__main__":
    main()
