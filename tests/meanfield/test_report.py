"""Pages of blocks and theories: numbers are those of the verbs, texts are escaped, what is wrong is said."""

import json
import re
from dataclasses import replace

import pytest
from typer.testing import CliRunner

import meanfield as mf
from meanfield.cli import app
from meanfield.pages.figures import svg
from meanfield.pages.parts import Figure, Report, Section, Table
from meanfield.pages.subject import command, freed, shown, spelled
from meanfield.pages.typeset import mathml
from symbolic.blocks import parse_block
from symbolic.networks import Layer

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")

BLOCK = mf.erf >> mf.Dense(2.25, 0.09)
FEW = {"depth": 3, "width": 32, "draws": 4, "max_draws": 16}


@pytest.fixture(scope="module")
def page():
    return mf.report(BLOCK, **FEW)


def table(page, section, number=0):
    return {row[0]: row[1:] for row in page.section(section).tables[number].rows}


def test_the_numbers_of_the_phase_are_those_of_phase(page):
    found, told = mf.phase(BLOCK), table(page, "phase")
    for name in ("q", "c", "chi_1", "chi_q", "chi_c"):
        assert float(told[name][0]) == pytest.approx(getattr(found, name), rel=1e-9)
    assert found.phase in page.section("phase").text[0]


def test_the_scales_are_those_of_init_scale(page):
    told = table(page, "init")
    for criterion in ("second_moment", "gradient"):
        found = mf.init_scale("erf", criterion=criterion)
        values = found.weight_var, found.bias_var, found.gain, found.chi_1, found.chi_q
        assert [float(x) for x in told[criterion]] == pytest.approx(values, rel=1e-7)
    edge = mf.edge_of_chaos("erf", bias_var=0.09)
    assert float(told["edge_of_chaos"][0]) == pytest.approx(edge.weight_var, rel=1e-7)
    assert "not self-normalizing" in told["self_normalizing"][0]


def test_the_verdict_is_that_of_check(page):
    found = mf.check(BLOCK, draws=16, max_draws=16)
    section = page.section("verdict")
    assert section.mark == found.outcome
    for row in found.rows:
        theory, estimate, interval, _, outcome = table(page, "verdict")[row.label]
        assert float(theory) == pytest.approx(row.theory, rel=1e-5)
        assert float(estimate) == pytest.approx(row.estimate, rel=1e-5)
        assert interval == f"[{row.low:+.3g}, {row.high:+.3g}]" and outcome == row.outcome
    assert "16 networks at each of the widths 128 and 512" in section.text[0]


def test_the_trajectories_are_those_of_plot(page):
    from meanfield.plot import trajectories

    found = trajectories(BLOCK, layers=3, width=32, draws=4)
    row = table(page, "depth")["3"]
    assert float(row[0]) == pytest.approx(found.length[3], rel=1e-5)
    assert float(row[4]) == pytest.approx(found.sampled_correlation[3], rel=1e-5)


def test_networks_of_another_block_disagree_and_are_marked():
    page = mf.report(BLOCK, networks=mf.erf >> mf.Dense(4.5, 0.09), **FEW)
    assert page.section("verdict").mark == "disagrees"
    assert '<span class="bad">disagrees</span>' in page.html
    assert '<tr class="bad">' in page.html
    assert '"erf >> Dense(weight_var=4.5, bias_var=0.09)"' in page.commands[0]


def test_the_equations_have_free_variances(page):
    html = page.html
    assert html.count("<math") == len(page.section("equations").equations) == 4
    assert "2.25" in page.section("equations").text[0]


def test_an_activation_leaves_out_what_needs_numbers():
    page = mf.report("erf", check=False)
    assert page.title == "erf"
    assert {s.name for s in page.sections if s.missing} == {"phase", "depth", "verdict"}
    assert "variances of 'erf >> Dense()' are free" in page.section("phase").missing
    assert "this block" not in table(page, "init")


def test_the_page_can_be_made_again(page):
    shell, python = page.commands
    assert shell.startswith('meanfield report "erf >> Dense(weight_var=2.25, bias_var=0.09)" --depth 3 --width 32')
    assert "mf.report(mf.erf >> mf.Dense(weight_var=2.25, bias_var=0.09)" in python
    for figure in (f for s in page.sections for f in s.figures):
        assert figure.shell.startswith("meanfield ") and "import meanfield as mf" in figure.python


@pytest.mark.parametrize(
    "text",
    [
        "tanh >> Dense(weight_var=1.5, bias_var=0.05)",
        "'x*tanh(x)' >> Dense(weight_var=1.5, bias_var=0)",
        "Identity() + 0.5 * (relu >> LayerNorm() >> Dense(weight_var=2, bias_var=0))",
    ],
)
def test_a_block_is_spelled_as_python_that_gives_it_back(text):
    block = parse_block(text)
    assert eval(spelled(block), {"mf": mf}) == block


@pytest.mark.parametrize(
    "block",
    [mf.TransformerBlock(8, "tanh", weight_var=2), mf.relu >> mf.Conv(3, weight_var=2, bias_var=0)],
    ids=["Transformer", "convolution"],
)
def test_blocks_of_tokens_and_pictures_are_spelled_in_python_and_in_text(block):
    assert eval(spelled(block), {"mf": mf}) == block
    assert parse_block(shown(block)) == block and command(block, "meanfield report ...")


class Unnamed(Layer):
    """A layer of one's own, which text has no word for."""


def test_what_the_command_line_cannot_say_has_no_command():
    assert command(Unnamed(), "meanfield report ...") == "" and command(BLOCK, "meanfield report ...")


def test_variances_are_freed_where_weights_share_them():
    assert freed(BLOCK) == mf.erf >> mf.Dense()
    assert freed(mf.Identity() + 0.5 * (mf.relu >> mf.Dense(2, 0))) == mf.Identity() + 0.5 * (mf.relu >> mf.Dense())
    assert freed(mf.relu >> mf.Dense(2, 0) >> mf.relu >> mf.Dense(1, 0)) is None


def test_blocks_that_mix_positions_say_what_they_lack():
    page = mf.report(mf.relu >> mf.Conv(3, weight_var=2, bias_var=0), check=False)
    assert all(section.missing for section in page.sections)
    assert "mf.spatial_covariance" in page.section("equations").missing
    assert '<h2 id="left-out">' in page.html


def test_a_fourier_layer_has_equations_over_lags():
    page = mf.report(mf.tanh >> mf.Spectral(3, 1.5, 0.05), check=False)
    assert "lags" in page.section("equations").text[0]
    assert not page.section("phase").missing and not page.section("init").missing


def test_a_theory_tells_its_cases_and_twins():
    theory = mf.theory("poole2016")
    few = replace(theory, cases={"chaotic erf": theory.cases["chaotic erf"]})
    page = mf.report(few, max_draws=100)
    assert page.title == "poole2016: Length and correlation maps of deep random networks"
    assert table(page, "cases")["chaotic erf"][:2] == ("agrees", "disagrees")
    assert page.section("case-0-verdict").mark == "agrees"
    assert "sigma_w^2" in page.section("claim").text[0]


def test_a_theory_whose_networks_are_wrong_is_marked():
    theory = mf.theory("poole2016")
    case = theory.cases["chaotic erf"]
    wrong = replace(theory, name="wrong", cases={"swapped": replace(case, twin=case.block)},
                    sample=lambda block, case, width, rng: 2 * theory.sample(block, case, width, rng))  # fmt: skip
    page = mf.report(wrong, max_draws=16)
    assert table(page, "cases")["swapped"][0] == "disagrees"
    assert page.section("cases").tables[0].marks == {0: "bad"}


@pytest.mark.parametrize("name", ["cowsik2024", "he2023", "depth2023", "yang2021", "sakai2025"])
def test_whatever_a_theory_derives_is_typeset(name):
    page = mf.report(name, check=False)
    assert page.section("equations").equations, page.section("equations").missing
    assert page.section("verdicts").missing


def test_text_of_users_is_escaped():
    evil = "<script>alert(1)</script>"
    table = Table(evil, (evil, evil), ((evil, evil),), folded=True)
    figure = Figure("figure", evil, svg("figure", evil, evil, lambda ax: ax.set(xlabel=evil)), evil, evil)
    sections = Section("one", evil, (evil,), (), (figure,), (table,)), Section("two", evil, missing=evil)
    html = Report(evil, evil, sections, (evil, evil)).html
    assert "<script" not in html and html.count("&lt;script&gt;") > 15


def test_a_formula_of_users_stays_text():
    from sympy import Symbol

    block = mf.activation(Symbol("<script>") ** 2) >> mf.Dense(1, 0)
    assert "<script" not in mathml(mf.derive(block, "length").latex())
    assert "<script" not in Report(shown(block), "", (), (shown(block), spelled(block))).html


def test_the_page_asks_for_nothing_outside(page):
    assert not re.search(r"https?:|<script|<link|<img|@import|url\((?!#)", page.html)
    pictures = "".join(figure.svg for section in page.sections for figure in section.figures)
    assert not re.search(r"#[0-9a-fA-F]{6}\b", pictures)  # colours are those of the style sheet
    ids = re.findall(r'\bid="([^"]*)"', page.html)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]*)"', page.html)) | set(re.findall(r"url\(#([^)]*)\)", page.html)) <= set(ids)


def test_a_file_is_written_whole_and_replaced(page, tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    path.write_text("old")
    monkeypatch.setattr("meanfield.pages.parts.rendered", lambda page: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        page.save(path)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    monkeypatch.undo()
    assert page.save(path).read_text(encoding="utf-8") == page.html


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        ("pool2016", {}, "did you mean poole2016"),
        ("poole2016", {"networks": BLOCK}, "brings its own networks"),
        (BLOCK, {"draws": 1}, "draws must be at least 2"),
        (BLOCK, {"depth": 0}, "depth"),
        ("x +", {}, "column"),
    ],
)
def test_wrong_questions_are_refused(given, options, message):
    with pytest.raises(ValueError, match=message):
        mf.report(given, **options)


def test_a_section_that_is_not_there_is_refused(page):
    with pytest.raises(ValueError, match="no section 'phases'; there are equations, phase"):
        page.section("phases")


def test_a_missing_package_is_said_with_the_command_that_brings_it(monkeypatch):
    for package in ("jinja2", "matplotlib"):
        monkeypatch.setitem(__import__("sys").modules, package, None)
    for ask in (lambda: mf.report(BLOCK), lambda: svg("name", "title", "words", print)):
        with pytest.raises(ImportError, match=r"pip install 'meanfield-calculator\[report\]'"):
            ask()


def test_a_folder_that_is_not_there_is_missed_before_the_work(tmp_path):
    with pytest.raises(ValueError, match="there is no folder"):
        mf.report(BLOCK, tmp_path / "none" / "page.html")


def test_the_command_line(tmp_path):
    out = tmp_path / "page.html"
    result = CliRunner().invoke(app, ["report", "erf", "--no-check", "--json", "-o", str(out)])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["sections"]["init"] == "shown"
    assert out.read_text().startswith("<!DOCTYPE html>")
    refused = CliRunner().invoke(app, ["report", "erf", "-o", str(tmp_path / "page.txt")])
    assert refused.exit_code == 2 and "must end in .html" in refused.output
