"""The public face: light to import, complete, and named the same whatever was imported before."""

import inspect
import itertools
import subprocess
import sys

import pytest

import meanfield as mf

HEAVY = ("sympy", "numba", "numpy", "scipy", "matplotlib", "sklearn", "torch", "gpytorch", "rich", "typer")


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_loads_nothing_heavy():
    assert python(f"import sys, meanfield; print([m for m in {HEAVY} if m in sys.modules])") == "[]"


@pytest.mark.parametrize("name", mf.__all__)
def test_every_public_name_resolves(name):
    assert getattr(mf, name) is not None
    assert name in dir(mf)


def test_a_face_for_another_package_is_loaded_when_it_is_named():
    code = "import sys, meanfield as mf; print('sklearn' in dir(mf), mf.sklearn.InfiniteWidthKernel().depth)"
    assert python(code) == "True 3"


@pytest.mark.parametrize(
    ("package", "name", "extra"),
    [
        ("sklearn", "sklearn", "sklearn"),
        ("gpytorch", "torch.InfiniteWidthKernel", "gpytorch"),
        ("torch", "torch.InfiniteWidthKernel", "gpytorch"),
        ("torch", "torch.FNO", "torch"),
        ("torch", "torch.scale_", "torch"),
        ("torch", "torch.base_shapes", "torch"),
        ("torch", "torch.coordinate_check", "torch"),
    ],
)
def test_without_its_package_a_face_names_its_extra(package, name, extra):
    code = f"import sys; sys.modules[{package!r}] = None; import meanfield as mf; mf.{name}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert f"pip install 'meanfield-calculator[{extra}]'" in done.stderr.splitlines()[-1]


def test_the_face_for_pytorch_is_light_and_says_what_it_has():
    code = "import sys, meanfield as mf; print('FNO' in dir(mf.torch), 'torch' in sys.modules); mf.torch.fno"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "True False"
    assert "module 'meanfield.torch' has no attribute 'fno'" in done.stderr.splitlines()[-1]


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'phases'"):
        _ = mf.phases


@pytest.mark.parametrize("order", [*itertools.permutations(["phase", "dual", "check"])], ids=" ".join)
def test_a_verb_keeps_its_name_beside_its_file(order):
    imports = "; ".join(f"import meanfield.{name}" for name in order)
    types = "[type(getattr(meanfield, n)).__name__ for n in ('phase', 'dual', 'check', 'theory', 'plot')]"
    assert python(f"{imports}; print({types})") == str(["function"] * 5)


def test_a_verb_keeps_its_name_after_a_from_import():
    code = "from meanfield.phase import Phase; import meanfield as mf; print(mf.phase.__name__, mf.Phase is Phase)"
    assert python(code) == "phase True"


def test_the_list_of_activations_is_that_of_the_formulas():
    from symbolic.activations import ACTIVATIONS

    assert tuple(sorted(ACTIVATIONS)) == mf.ACTIVATIONS


@pytest.mark.parametrize(
    "name", [n for n in mf.__all__ if inspect.isroutine(getattr(mf, n)) or inspect.isclass(getattr(mf, n))]
)
def test_every_public_function_and_class_says_what_it_does(name):
    assert inspect.getdoc(getattr(mf, name))
