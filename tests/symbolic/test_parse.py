"""Formulas from users: what is read, what is refused and why, and that nothing hangs or runs."""

import ast
import math
import pickle
import random
import sys
import time
import warnings

import mpmath
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sympy import (
    Abs,
    Expr,
    Heaviside,
    Max,
    Min,
    Rational,
    Symbol,
    atan,
    cos,
    cosh,
    erf,
    exp,
    lambdify,
    log,
    pi,
    sign,
    sin,
    sinh,
    sqrt,
    tan,
    tanh,
)

from symbolic import parse as module
from symbolic.functions import X, elementary, sigmoid, softplus
from symbolic.parse import ParseError, parse

FUZZ = settings(deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
HALF = Rational(1, 2)

READ = {
    "x": X,
    "  x ": X,
    "-x": -X,
    "+x": X,
    "2": Rational(2),
    "pi*x": pi * X,
    "0.1": Rational(1, 10),
    "1e-3*x": X / 1000,
    ".5 + 1.": Rational(3, 2),
    "0.1 + 0.2 - 0.3": Rational(0),
    "10**15": Rational(10**15),
    "2*x + tanh(x)": 2 * X + tanh(X),
    "x - 1 - 2": X - 3,
    "x/2/3": X / 6,
    "-x**2": -(X**2),
    "2**-x": 2 ** (-X),
    "x**x**x": X ** (X**X),
    "x**1.5": X ** Rational(3, 2),
    "sqrt(x)": sqrt(X),
    "exp(-x**2/2)": exp(-(X**2) / 2),
    "log(1 + exp(x))": log(1 + exp(X)),
    "sin(x) + cos(x)*tan(x)": sin(X) + cos(X) * tan(X),
    "0.5*x*(1 + erf(x/sqrt(2)))": X * (1 + erf(X / sqrt(2))) / 2,
    "x*sigmoid(1.702*x)": X * sigmoid(Rational(851, 500) * X),
    "x*tanh(softplus(x))": X * tanh(softplus(X)),
    "Abs(x) - abs(x)": Rational(0),
    "Abs(sign(x))": Abs(sign(X)),
    "Max(x, 0.01*x)": Max(X, X / 100),
    "Min(Max(x, -1), 1)": Min(Max(X, -1), 1),
    "Heaviside(x)": Heaviside(X, HALF),
    "Heaviside(0)": HALF,
    "relu(x) + atan(x)": Max(X, 0) + atan(X),
    "sinh(x)/cosh(x)": sinh(X) / cosh(X),
    "exp(3*log(x))": X**3,
    "+".join(["x"] * 250): 250 * X,
    "(" * 50 + "x" + ")" * 50: X,
}

REFUSED = {  # formula: (column, part of the sentence)
    "": (1, "the formula is empty; write one"),
    "   ": (1, "the formula is empty"),
    "x^2": (2, "write ** for powers"),
    "  x ^ 2": (5, "write ** for powers"),
    "__import__('os')": (1, "the function __import__ is not known"),
    "__import__('os').system('ls')": (1, "attributes"),
    "x.real": (1, "attributes"),
    "1 + (x).__class__": (5, "attributes"),
    "lambda x: x": (1, "lambda is not part of formulas"),
    "(lambda: x)()": (1, "lambda is not part of formulas"),
    "[x for x in x]": (1, "comprehensions are not part of formulas"),
    "tanh(x for x in x)": (5, "comprehensions"),
    "'x'": (1, "only numbers such as 0.5 can be constants, got 'x'"),
    "f'{x}'": (1, "'joined str' is not known"),
    "True": (1, "got True"),
    "2j*x": (1, "got 2j"),
    "x + y": (5, "the only variable is x and the only constant is pi, got y"),
    "e": (1, "write exp(1) for Euler's number"),
    "x + tanhh(x)": (5, "the function tanhh is not known; use one of tanh"),
    "sin + 1": (1, "write sin(x)"),
    "x(2)": (1, "x is not a function; write x*(...)"),
    "(x + 1)(2)": (1, "only named functions can be called; write *"),
    "exp(x=2)": (1, "exp takes no keyword arguments, got x"),
    "exp(**x)": (1, "exp takes no keyword arguments, got **"),
    "2*exp(x, x)": (3, "exp takes 1 argument, got 2"),
    "exp()": (1, "exp takes 1 argument, got 0"),
    "Max(x)": (1, "Max takes 2 to 8 arguments, got 1"),
    "Max(x, *x)": (8, "'starred' is not known"),
    "0 < x < 1": (1, "write Heaviside(x) for a step"),
    "x if x else 0": (1, "write Heaviside, Max or Min"),
    "x and x": (1, "'bool op' is not known"),
    "x // 2": (3, "'floor div' is not known"),
    "~x": (1, "'invert' is not known"),
    "x, 1": (1, "commas stand only between the arguments"),
    "1,5*x": (1, "write 0.5 for a half"),
    "x[0]": (1, "'subscript' is not known"),
    "(y := x)": (2, "'named expr' is not known"),
    "x +": (4, "this is not a formula (invalid syntax)"),
    "(x": (1, "this is not a formula ('(' was never closed)"),
    "x)": (2, "unmatched"),
    "2x": (1, "write one such as 2*x"),
    "x = 2": (3, "this is not a formula"),
    "import os": (1, "this is not a formula"),
    "x # y": (3, "the character '#' means nothing here"),
    "x\ny": (2, r"the character '\n' means nothing here"),
    "x\0": (2, r"the character '\x00' means nothing here"),
    "x + x²": (6, "the character '²' means nothing here"),
    "\uff58": (1, "means nothing here"),
    "0x10": (1, "numbers are written like 12, 0.5 or 1e-3, got 0x10"),
    "1_000": (1, "numbers are written like"),
    "10000000000000000": (1, "numbers go up to 1e15"),
    "1e999": (1, "numbers go up to 1e15"),
    "1e-60": (1, "at most 50 decimals"),
    "x*1e-999999999": (3, "numbers are written like"),
    "1/0": (2, "division by zero"),
    "x/(x - x)": (2, "division by zero"),
    "1/(0.1 + 0.2 - 0.3)": (2, "division by zero"),
    "0**-1": (2, "division by zero"),
    "tan(pi/2)": (1, "infinite or undefined"),
    "1/(sin(1)**2 + cos(1)**2 - 1)": (26, "cannot be told from zero"),
    "log(0)": (1, "log needs a positive argument, got 0"),
    "log(-1)": (1, "log needs a positive argument, got -1"),
    "log(-1 - x**2)": (1, "log needs a positive argument"),
    "sqrt(-1)": (1, "not real"),
    "sqrt(-x**2)": (1, "not real"),
    "(-8)**(1/3)": (5, "not real"),
    "(-2)**x": (5, "must be positive, got -2"),
    "Max(sqrt(-1 - x**2), 1)": (5, "not real"),
    "Max(sqrt(tan(tanh(0.5))*tanh(Min(-1, x, log(x)))), 1)": (1, "is not comparable"),
    "x**1000": (2, "numbers in exponents go up to 64, got 1000"),
    "x**-65": (2, "numbers in exponents go up to 64, got 65"),
    "x**pi": (2, "fractions over at most 1000, got pi"),
    "x**0.33333": (2, "fractions over at most 1000, got 33333/100000"),
    "9**9**9**9": (2, "towers of constant powers"),
    "2**2**2": (2, "towers of constant powers"),
    "x**(2*3**2)": (2, "towers of constant powers"),
    "(((2**60)**60)**60)**60": (10, "numbers"),
    "((1 + 1/10**15)**64)**64": (16, "numbers beyond 2^1000"),
    "(x**64)**64": (8, "numbers in exponents go up to 64, got 4096"),
    "x**64*x": (6, "powers multiply up beyond 64"),
    "((x + 1/x)**8 + sin(x))**8": (24, "expands to more than 3000 terms"),
    "(((x**8 + 1)**8 + 1)**8 + 1)**8": (21, "expands to more than 3000 terms"),
    "(x + sin(x) + cos(x) + 1 + tan(x))**20": (35, "expands to more than 3000 terms"),
    "exp(1000)": (1, "exp of a constant needs an argument within +-690"),
    "exp(exp(exp(100)))": (5, "exp of a constant needs an argument within +-690"),
    "Max(exp(exp(exp(x - x + 100))), x)": (9, "exp of a constant"),
    "exp(10**15*log(2*x))": (1, "numbers in exponents go up to 64, got 1000000000000000"),
    "softplus(10**15*log(2))": (1, "softplus of a constant"),
    "2**(x + 10**15)/2**x": (2, "numbers in exponents go up to 64"),
    "(2*x)**(x + 10**15)/(2*x)**x": (6, "numbers in exponents go up to 64"),
    "2**(10**15*log(2*x)/log(2))": (2, "numbers in exponents go up to 64"),
    "exp(600)*exp(600)": (9, "this constant is beyond 2^1000"),
    "-" * 60 + "x": (51, "nests at most 50 deep"),
    "x" + "**x" * 60: (152, "nests at most 50 deep"),
    "(" * 51 + "x" + ")" * 51: (51, "parentheses nest at most 50 deep"),
    "(" * 10000 + "x" + ")" * 10000: (2001, "at most 2000 characters, got 20001"),
    "+".join(["x"] * 251): (1, "at most 500 parts"),
    "Abs(" * 14 + "x" + ")" * 14: (53, "switches nest at most 12 deep"),
}


@pytest.mark.parametrize("text", READ)
def test_formulas_are_read(text: str) -> None:
    assert parse(text) == READ[text]


@pytest.mark.parametrize("text", REFUSED)
def test_refusals_name_the_reason_and_the_column(text: str) -> None:
    column, reason = REFUSED[text]
    with pytest.raises(ParseError) as caught:
        parse(text)
    error = caught.value
    assert reason in error.message
    assert error.column == column
    first, _, caret = str(error).split("\n")
    assert first == f"column {error.column}: {error.message}"
    assert caret.strip() == "^"


@pytest.mark.parametrize("text", [None, 3, b"x", X, ["x"]])
def test_only_text_is_parsed(text: object) -> None:
    with pytest.raises(TypeError, match="the formula must be a str, got"):
        parse(text)  # type: ignore[arg-type]


def test_the_variable_has_a_name_of_its_own() -> None:
    assert parse("tanh(u)*pi", variable="u") == pi * tanh(X)
    with pytest.raises(ParseError, match="the only variable is u and the only constant is pi, got x"):
        parse("x", variable="u")
    for name in ("", "2u", "exp", "pi", "lambda", "a b", "u" * 40, "é"):
        with pytest.raises(ValueError, match="the variable must be a plain unused name"):
            parse("1", variable=name)
    with pytest.raises(TypeError, match="the variable must be a str, got int"):
        parse("1", variable=1)  # type: ignore[arg-type]


def test_the_variable_is_the_real_symbol_x() -> None:
    assert parse("x").free_symbols == {Symbol("x", real=True)}


def test_the_caret_stands_below_the_character() -> None:
    with pytest.raises(ParseError) as caught:
        parse("1 + " * 30 + "y" + " + 1" * 30)
    formula, caret = caught.value.pointer.split("\n")
    assert formula[caret.index("^")] == "y"
    assert len(formula) <= 80


def test_parse_errors_survive_pickling() -> None:
    with pytest.raises(ParseError) as caught:
        parse("x + y")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_nothing_is_built_before_everything_is_admitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "build", lambda *args: pytest.fail("built too early"))
    with pytest.raises(ParseError, match="got y"):
        parse("2**64 + y")


def test_python_warnings_about_text_stay_silent() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for text in ("1(x)", "1or x", "0x1for x", "(x)(1)[2]"):
            with pytest.raises(ParseError):
                parse(text)


def test_a_deadline_ends_what_no_cap_foresees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.2)
    monkeypatch.setattr(module, "check_value", lambda value: check_slowly())
    start = time.process_time()
    with pytest.raises(ParseError, match=r"SymPy needs more than 0\.2 s"):
        parse("x")
    assert time.process_time() - start < 2
    assert sys.getprofile() is None


def check_slowly() -> Expr:
    while True:
        abs(1)


# Random formulas

LITERALS = ("x", "x", "x", "pi", "2", "3", "0.5", "1.702", "0.044715", "1", "0", "7e-1")
UNARY = (
    "exp",
    "log",
    "sin",
    "cos",
    "tan",
    "tanh",
    "erf",
    "sigmoid",
    "softplus",
    "Abs",
    "abs",
    "sign",
    "atan",
)
UNARY += ("Heaviside", "sqrt", "sinh", "cosh", "relu")
EXPONENTS = ("2", "3", "(1/2)", "-1", "0.25", "(x/2)", "0")


def formulas() -> st.SearchStrategy[str]:
    def grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.one_of(
            st.builds("{} {} {}".format, inner, st.sampled_from("+-*/"), inner),
            st.builds("({}) {} ({})".format, inner, st.sampled_from("+-*/"), inner),
            st.builds("-{}".format, inner),
            st.builds("({})**{}".format, inner, st.sampled_from(EXPONENTS)),
            st.builds("{}({})".format, st.sampled_from(UNARY), inner),
            st.builds("{}({}, {})".format, st.sampled_from(("Max", "Min")), inner, inner),
        )

    return st.recursive(st.sampled_from(LITERALS), grow, max_leaves=12)


class Undefined(Exception):
    """The reference has no value here, or one that rounding decides."""


def clear(value: mpmath.mpf) -> mpmath.mpf:
    if isinstance(value, mpmath.mpc) or not mpmath.isfinite(value) or abs(value) > 1e8:
        raise Undefined
    return value


def away_from_zero(value: mpmath.mpf) -> mpmath.mpf:
    if abs(value) < 1e-8:
        raise Undefined
    return value


def step(value: mpmath.mpf) -> mpmath.mpf:
    return (mpmath.sign(away_from_zero(value)) + 1) / 2 if value else mpmath.mpf(1) / 2


REFERENCE = {
    **{name: getattr(mpmath, name) for name in ("exp", "sin", "cos", "tan", "tanh", "erf", "atan", "sinh", "cosh")},
    **{"Max": max, "Min": min, "abs": abs, "Abs": abs, "Heaviside": step},
    "log": lambda v: mpmath.log(away_from_zero(v)),
    "sqrt": mpmath.sqrt,
    "sign": lambda v: mpmath.sign(away_from_zero(v)) if v else v,
    "relu": lambda v: max(v, mpmath.mpf(0)),
    "sigmoid": lambda v: 1 / (1 + mpmath.exp(-v)),
    "softplus": lambda v: mpmath.log(1 + mpmath.exp(v)),
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / away_from_zero(b),
    ast.Pow: lambda a, b: (away_from_zero(a) if b else a) ** b,
}


def evaluate(node: ast.AST, text: str, x: mpmath.mpf) -> mpmath.mpf:
    """The value of formula text by Python's own precedence, in 40 digits."""

    def value(part: ast.AST) -> mpmath.mpf:
        return evaluate(part, text, x)

    match node:
        case ast.Constant():
            return mpmath.mpf(ast.get_source_segment(text, node))
        case ast.Name(id=name):
            return x if name == "x" else +mpmath.pi
        case ast.UnaryOp(operand=operand):
            return -value(operand)
        case ast.BinOp(left=left, op=op, right=right):
            return clear(REFERENCE[type(op)](value(left), value(right)))
        case ast.Call(func=ast.Name(id=name), args=args):
            return clear(REFERENCE[name](*map(value, args)))
    raise TypeError(type(node).__name__)


def reference(text: str, x: mpmath.mpf) -> float | None:
    try:
        return float(evaluate(ast.parse(text, mode="eval").body, text, x))
    except Undefined:
        return None


@settings(FUZZ, max_examples=250)
@given(formulas())
def test_random_formulas_have_the_value_of_python(text: str) -> None:
    start = time.process_time()
    try:
        expression = parse(text)
    except ParseError as error:
        assert "is not known" not in error.message and "not a formula" not in error.message
        expression = None
    assert time.process_time() - start < 1
    with mpmath.workdps(40):
        for x in (mpmath.mpf("0.7310585"), mpmath.mpf("-1.3579")):
            wanted = reference(text, x)
            if wanted is not None and expression is None:
                assert math.isfinite(wanted)  # refused for another point, for its degree or for its constants
            elif wanted is not None:
                given = lambdify(X, elementary(expression), "mpmath")(x)
                assert float(mpmath.re(given)) == pytest.approx(wanted, rel=1e-13, abs=1e-20), expression


def test_most_random_formulas_parse() -> None:
    generator = random.Random(0)

    def grow(depth: int) -> str:
        if depth == 0:
            return generator.choice(LITERALS)
        kind = generator.random()
        if kind < 0.5:
            return f"({grow(depth - 1)}) {generator.choice('+-*')} ({grow(depth - 1)})"
        return f"{generator.choice(UNARY)}({grow(depth - 1)})"

    read = 0
    for _ in range(200):
        try:
            parse(grow(generator.randint(1, 5)))
            read += 1
        except ParseError as error:
            assert not any(word in error.message for word in ("known", "not a formula", "SymPy"))
    assert read > 160


SIGNS = "( ) ( ) + - * / ** // ^ % @ < = == := : , . [ ] { } ' \" # ; ! ? $ ` ~ | & -> x² é y E f' b'"
WORDS = "lambda for in if else and is await yield import print None True eval 1e999 0x1 1_0 2j __class__"
TOKENS = [*LITERALS, *UNARY, *EXPONENTS, *SIGNS.split(), *WORDS.split()]
TOKENS += ["\\", "\n", "\t", " ", "\0", "not ", "\uff58", "9" * 20]


@settings(FUZZ, max_examples=1500)
@given(st.lists(st.sampled_from(TOKENS), max_size=25).map("".join))
def test_token_soup_raises_nothing_but_parse_errors(text: str) -> None:
    try:
        assert isinstance(parse(text), Expr)
    except ParseError as error:
        assert 1 <= error.column <= len(text) + 1
        assert "^" in error.pointer


@settings(FUZZ, max_examples=500)
@given(st.text(max_size=40))
def test_any_text_raises_nothing_but_parse_errors(text: str) -> None:
    try:
        assert isinstance(parse(text), Expr)
    except ParseError as error:
        assert 1 <= error.column <= len(text) + 1


@pytest.mark.parametrize("part", ["-", "~", "not ", "x**", "x<", "lambda:", "x if x else ", "x or ", "*", "1if "])
def test_long_chains_without_parentheses_are_refused(part: str) -> None:
    with pytest.raises(ParseError):
        parse((part * 2000)[:1990] + "x")
