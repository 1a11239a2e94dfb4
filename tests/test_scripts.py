"""The scripts run, on a small part of their work; those that measure in the slow run."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_derivations_are_timed_and_written(tmp_path: Path) -> None:
    """One pair and one mean, into a page."""
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- derived:begin -->\nold\n<!-- derived:end -->\nafter\n")
    done = run("derive_duals.py", "gelu", "elu", "--write", str(page))
    assert done.returncode == 0, done.stderr
    assert "All closed in time." in done.stdout and page.read_text().count("| closed |") == 2
    assert "old" not in page.read_text() and page.read_text().startswith("before") and "after" in page.read_text()


@pytest.mark.parametrize("name", ["derive_duals.py"])
def test_an_unknown_name_is_refused(name: str) -> None:
    done = run(name, "nothing")
    assert done.returncode == 2 and "known are identity" in done.stderr


@pytest.mark.slow
def test_the_reference_table_is_checked() -> None:
    """All activations, no peer; exit status 0 if the targets are met."""
    done = run("check_duals.py")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "targets: error/scale <= 1e-13, error/bound <= 1: met" in done.stdout
    assert "neural-tangents: not measured" in done.stdout


@pytest.mark.slow
def test_phase_diagrams_are_timed() -> None:
    """Twenty by twenty points; our row first, with small errors, the plain ones with larger."""
    done = run("bench_phase.py", "--quick")
    assert done.returncode == 0, done.stderr
    rows = [line.split("|") for line in done.stdout.splitlines() if line.startswith(("| mf", "| NumPy"))]
    assert len(rows) == 3 and float(rows[0][4]) < 1e-12 < float(rows[1][4])
    assert float(rows[0][5]) < 1e-9 < float(rows[2][5])


@pytest.mark.slow
def test_accuracies_are_measured() -> None:
    """Two folds of wine; every method knows the wines, in a table."""
    done = run("accuracy.py", "--quick")
    assert done.returncode == 0, done.stderr
    rows = [line.split("|") for line in done.stdout.splitlines()]
    assert len(rows) == 9 and rows[0][2].strip() == "wine, 178 x 13"
    assert all(float(row[2].split("±")[0]) > 90 for row in rows[2:])


@pytest.mark.slow
def test_a_kernel_on_disk_is_killed_and_finished() -> None:
    """600 points: killed with some of the 21 tiles done, the rest computed after, the entries right."""
    pytest.importorskip("zarr")
    done = run("big_kernel.py", "--quick")
    assert done.returncode == 0, done.stderr
    row = [part.strip() for part in done.stdout.splitlines()[-1].split("|")]
    at_kill = int(row[3].removesuffix(" of 21"))
    assert 10 <= at_kill < 21 and int(row[4]) == 21 - at_kill and float(row[8]) < 1e-13


@pytest.mark.slow
def test_kernels_are_timed(tmp_path: Path) -> None:
    """Two activations, a hundred points, no peer; the errors are those of rounding."""
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- kernels:begin -->\nold\n<!-- kernels:end -->\nafter\n")
    done = run("bench_kernels.py", "--quick", "--write", str(page))
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.read_text().splitlines() if "|" in line]
    cost, errors, roofline = rows[2:6], rows[8:12], rows[14:]
    names = [row[0] for row in (*cost, *errors, *roofline)]
    assert names == ["relu", "relu", "erf", "erf", "relu", "relu", "erf", "erf", "relu", "erf"]
    assert all(float(row[5]) > 0 for row in cost) and all(float(row[-1]) > 1 for row in roofline)
    for row in errors:
        assert max(float(row[5]), float(row[6])) < (1e-14 if row[3] == "float64" else 1e-7)
    assert "neural-tangents: not measured" in page.read_text() and "old" not in page.read_text()


@pytest.mark.slow
def test_the_experiment_of_attention_is_rerun(tmp_path: Path) -> None:
    """One head, two narrow widths, few networks: tables into a page, and a figure."""
    page, figure = tmp_path / "page.md", tmp_path / "figure.svg"
    page.write_text("before\n<!-- attention:begin -->\nold\n<!-- attention:end -->\nafter\n")
    done = run("bench_attention.py", "--quick", "--write", str(page), "--figure", str(figure))
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    assert "old" not in text and "| 4 | 1 | 0.3919714435757 | 0.1661028909858 | 0.2433184252205 |" in text
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| 1 | ")]
    assert [row[1] for row in rows[:4]] == ["16", "64", "line at 1/n = 0", "the law"] and rows[4][-1] == "agrees"
    ratio = next(line for line in text.splitlines() if line.startswith("| 256 | 1 |")).split("|")[-2]
    assert float(ratio) > 20 and "<svg" in figure.read_text()


def test_a_page_without_markers_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing")
    done = run("derive_duals.py", "step", "--write", str(page))
    assert done.returncode == 1 and "must have <!-- derived:begin -->" in done.stderr
    assert page.read_text() == "nothing"


@pytest.mark.slow
def test_kernels_of_real_networks_are_timed() -> None:
    """Narrow networks; five rows of seconds, the memory, and no peer."""
    done = run("bench_empirical.py", "--quick")
    assert done.returncode == 0, done.stderr
    rows = [line.split("|") for line in done.stdout.splitlines() if line.startswith(("| mf", "| floor"))]
    assert len(rows) == 5 and all(float(cells[2]) > 0 for cells in rows)
    assert "Peak memory" in done.stdout and "neural-tangents" not in done.stdout


@pytest.mark.slow
def test_tokens_of_real_networks_are_measured() -> None:
    """Small networks; six blocks, each with its networks, and what the annealed regime refuses."""
    done = run("bench_transformers.py", "--quick")
    assert done.returncode == 0, done.stderr
    rows = [line.split("|") for line in done.stdout.splitlines()[2:]]
    assert len(rows) == 6 and sum("refused" in row[4] for row in rows) == 2
    assert all(abs(float(row[2].split("±")[0]) - float(row[3])) < 0.1 for row in rows)


@pytest.mark.slow
def test_kernels_of_attention_are_timed() -> None:
    """Two short sequences: a row of numbers, whose error is that of a grid and not 0."""
    done = run("bench_attention_kernels.py", "--sizes", "2x3")
    assert done.returncode == 0, done.stderr
    count, tokens, *numbers = (float(x) for x in done.stdout.splitlines()[2].strip("|").split("|"))
    assert (count, tokens) == (2, 3) and all(x > 0 for x in numbers) and numbers[-1] < 1e-6


@pytest.mark.slow
def test_sweeps_of_lattices_are_timed() -> None:
    """Small grids: the same covariances as NumPy's, but for the coarse rule it takes for tanh; networks beside."""
    done = run("bench_fourier.py", "--quick")
    assert done.returncode == 0, done.stderr
    rows = [line.split("|") for line in done.stdout.splitlines() if line.startswith("| ")]
    assert [row[1].strip() for row in rows[1:4]] == ["relu", "tanh", "erf"]
    assert all(float(row[8]) < 1e-12 for row in (rows[1], rows[3])) and 1e-12 < float(rows[2][8]) < 1e-3
    assert len(rows) == 8


def test_deep_operators_are_trained(tmp_path: Path) -> None:
    """Eight narrow layers, few steps: tables into a page, and a figure; small weights leave the simplified operator
    where it starts, with gradients that have all but vanished."""
    pytest.importorskip("torch")
    page, figure = tmp_path / "page.md", tmp_path / "figure.svg"
    page.write_text("before\n<!-- training:begin -->\nold\n<!-- training:end -->\nafter\n")
    done = run("train_fno.py", "--quick", "--write", str(page), "--figure", str(figure))
    assert done.returncode == 0, done.stderr
    lines = [line for line in page.read_text().splitlines() if line.startswith(("| simplified", "| original"))]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    test, trained, start = rows[:6], rows[6:12], rows[12:]
    assert [row[1] for row in test] == ["default", "neuralop", "critical"] * 2 and len(start) == 6
    for table in (test, trained):
        assert float(table[0][3]) > 0.99 and float(table[2][3]) < 0.3 and float(table[5][3]) < 0.3
    assert float(start[0][3]) < 1e-6 < 1e-3 < float(start[2][3])
    assert "old" not in page.read_text() and "<svg" in figure.read_text()


def test_deep_mlps_are_trained(tmp_path: Path) -> None:
    """Fifty narrow tanh layers, few steps, into a page: gradients vanish from the default, and cross with init_."""
    pytest.importorskip("torch")
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- deep_mlp:begin -->\nold\n<!-- deep_mlp:end -->\nafter\n")
    done = run("deep_mlp.py", "--quick", "--write", str(page))
    assert done.returncode == 0, done.stderr
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in page.read_text().splitlines() if "tanh" in line
    ]
    assert [row[1] for row in rows] == ["default", "init_"] and "old" not in page.read_text()
    default, ours = (float(row[2].split()[0]) for row in rows)
    assert default < 1e-10 and 1 / 3 < ours < 3
    assert float(rows[0][4].split()[0]) < 20 < 60 < float(rows[1][4].split()[0])


@pytest.mark.slow
def test_moves_of_the_knobs_are_timed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- explore:begin -->\n<!-- explore:end -->\n")
    done = run("bench_explore.py", "--moves", "2", "--write", str(page))
    assert done.returncode == 0, done.stderr
    assert page.read_text().count("| tanh | ") == 1


@pytest.mark.slow
def test_deep_fourier_operators_are_checked(tmp_path: Path) -> None:
    """16 points, 4 layers: no theory is refuted but the wrong ones, also by networks with real weights."""
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- fno:begin -->\nold\n<!-- fno:end -->\nafter\n")
    done = run("check_fno.py", "--quick", "--write", str(page))
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]
    law, real = rows[1:9], rows[10:]
    assert "old" not in text and len(law) == 8 and len(real) == 5
    assert all(row[2] != "disagrees" == row[5] for row in law)
    assert [row[4] for row in real] == ["agrees"] * 5 and "disagrees" in (row[5] for row in real)
    digits = next(line for line in text.splitlines() if "scaled, to" in line).split()[-1]
    assert float(digits.rstrip(".")) < 1e-12


def test_slopes_of_trained_networks_are_tabulated(tmp_path: Path) -> None:
    """Three optimizers on narrow networks, into a page."""
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- slopes:begin -->\nold\n<!-- slopes:end -->\nafter\n")
    done = run("coordinate_table.py", "--quick", "--write", str(page))
    assert done.returncode == 0, done.stderr
    rows = [line for line in page.read_text().splitlines() if line.startswith("| ")]
    assert len(rows) == 6 and "old" not in page.read_text()
    assert rows[3].startswith("| mup target_propagation (derived here) | 0: ")


def test_exponents_of_every_optimizer_are_tabulated(tmp_path: Path) -> None:
    """All rows, derived anew in less than 5 s, into a page."""
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- scaling:begin -->\nold\n<!-- scaling:end -->\nafter\n")
    done = run("scaling_table.py", "--write", str(page))
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    assert "| `adam` | 0; -1/2; -1 | 0; -1; -1 | -1; -1; 0 | 1 |" in text and "old" not in text
    assert "| kfac | standard | 0; -1/2; -1/2 | 0; 0; 0 | kernel | 0 |" in text
    assert text.count("| `") == 26 and float(text.split(" s of processor time")[0].split()[-1]) < 5


def test_learning_rates_are_carried_to_wide_networks(tmp_path: Path) -> None:
    """Narrow networks, few steps: at the base width both parametrizations are one network, beyond it they differ."""
    page, figure = tmp_path / "page.md", tmp_path / "figure.svg"
    page.write_text("before\n<!-- transfer:begin -->\nold\n<!-- transfer:end -->\nafter\n")
    done = run("transfer.py", "--quick", "--write", str(page), "--figure", str(figure))
    assert done.returncode == 0, done.stderr
    lines = [line for line in page.read_text().splitlines() if line.startswith(("| adam", "| kfac", "| shampoo"))]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert [row[1] for row in rows] == ["mup", "standard"] * 3 and all(float(row[5]) >= 1 for row in rows)
    assert all(
        mup[2] == standard[2] and mup[3] != standard[3] for mup, standard in zip(rows[::2], rows[1::2], strict=True)
    )
    assert "old" not in page.read_text() and "<svg" in figure.read_text()
