"""Pictures are drawn without a display, and a file is written whole or not at all."""

import pytest

import meanfield as mf
from meanfield.plot import save

matplotlib = pytest.importorskip("matplotlib")
BLOCK = mf.erf >> mf.Dense(2.25, 0.09)


@pytest.fixture(scope="module", autouse=True)
def without_a_display():
    matplotlib.use("Agg")


def drawn(ax):
    ax.figure.canvas.draw()
    return ax


def test_the_correlation_map_shows_its_fixed_point():
    ax = drawn(mf.plot(BLOCK))
    assert "chaotic" in ax.get_title()
    assert "c* = 0.4971" in [text.get_text() for text in ax.get_legend().get_texts()]


def test_trajectories_with_networks_beside_them():
    ax = drawn(mf.plot(BLOCK, "depth", layers=3, width=32, draws=4))
    assert len(ax.containers) == 2
    assert "4 networks of width 32" in ax.get_title()


def test_a_verdict():
    found = mf.check(BLOCK, sampler="conditional", draws=100, max_draws=100, depth=1)
    ax = drawn(found.plot())
    assert [t.get_text() for t in ax.get_yticklabels()] == ["q at layer 1", "k at layer 1"]


def test_given_axes_are_drawn_on():
    from matplotlib.figure import Figure

    ax = Figure().add_subplot()
    assert mf.plot(BLOCK, ax=ax) is ax


def test_an_unknown_picture_is_refused():
    with pytest.raises(ValueError, match="unknown picture 'map'; known are c_map, depth"):
        mf.plot(BLOCK, "map")


def test_what_is_no_block_is_refused():
    with pytest.raises(ValueError, match="alone is not a block"):
        mf.plot(mf.erf)


def test_saving(tmp_path):
    path = save(mf.plot(BLOCK), tmp_path / "map.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_save_leaves_what_was_there(tmp_path, monkeypatch):
    ax, path = mf.plot(BLOCK), tmp_path / "map.png"
    path.write_text("old")

    def interrupted(file, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(ax.figure, "savefig", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save(ax, path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
