"""Formulas from users, safely: text -> Python's syntax tree -> whitelist -> SymPy constructors.

    formula = number | x | pi | formula (+ - * / **) formula | -formula | name(formula, ...) | (formula)

Decimals are exact (0.1 is 1/10), Heaviside(0) = 1/2, relu(x) = Max(x, 0). Nothing is executed, and evaluating
is guarded too, as SymPy computes 2**(10**9) or exp(10**9*log(2)) eagerly: constants stay real, finite and
below 2^1000, exponents within 64, expansions within 3000 terms, and a deadline catches the rest.
"""

import ast
import difflib
import re
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from keyword import iskeyword

import sympy as sp
from sympy import Expr

from symbolic.functions import X
from symbolic.words import FUNCTIONS, OPERATORS, Refusal, check_value, number

MAX_LENGTH, MAX_NODES, MAX_DEPTH, MAX_SWITCHES = 2000, 500, 50, 12
SECONDS = 3
# SymPy compares the arguments of these, at a price that grows with nesting
SWITCHES = {"Abs", "abs", "sign", "Max", "Min", "Heaviside", "relu"}


class ParseError(ValueError):
    """A refused formula: a sentence with its column, then (`pointer`) the formula with a caret below."""

    def __init__(self, message: str, text: str = "", column: int = 1) -> None:
        super().__init__(message, text, column)
        self.message, self.text, self.column = message, text, column

    @property
    def pointer(self) -> str:
        start = max(0, self.column - 40)
        shown = "".join(c if c.isprintable() else " " for c in self.text[start : start + 80])
        return f"{shown}\n{' ' * (self.column - 1 - start)}^"

    def __str__(self) -> str:
        return f"column {self.column}: {self.message}\n{self.pointer}"


class Overtime(BaseException):
    """Not an Exception, since SymPy catches those."""


def parse(text: str, variable: str = "x") -> Expr:
    """The formula `text` in `variable`, as an expression in the real symbol X.

    >>> parse("x*sigmoid(1.702*x)")
    x*sigmoid(851*x/500)
    >>> parse("relu(t) + 2**-1", variable="t")
    Max(0, x) + 1/2
    >>> parse("x^2")
    Traceback (most recent call last):
    ...
    symbolic.parse.ParseError: column 2: '^' is not a power here; write ** for powers
    x^2
     ^
    """
    check_arguments(text, variable)
    check_characters(text)
    nodes = list(walk(read(text), text, variable))
    try:
        with deadline():
            return construct(nodes, text)
    except Overtime:
        raise ParseError(f"SymPy needs more than {SECONDS} s for this; simplify the formula", text) from None


def construct(nodes: list[ast.expr], text: str) -> Expr:
    built: dict[ast.AST, Expr] = {}
    for node in reversed(nodes):  # children first, and no recursion to overflow
        try:
            built[node] = check_value(build(node, [built[child] for child in children(node)], text))
        except Refusal as refusal:
            raise ParseError(str(refusal), text, place(node, text)) from None
        except (
            ValueError,
            TypeError,
            ArithmeticError,
        ) as error:  # SymPy's own, as for Max of complex numbers
            message = f"SymPy refuses this ({error!s:.200}); change it"
            raise ParseError(message, text, place(node, text)) from None
        except RecursionError:
            raise ParseError("this is nested too deeply; simplify it", text, place(node, text)) from None
    return built[nodes[0]]


@contextmanager
def deadline() -> Iterator[None]:
    """Stop SymPy where it expands or factors for hours to learn a sign, which no cap on formulas excludes.

    Counted in processor time of this thread, and left out under a profiler, whose place it would take.
    """
    end, free = time.thread_time() + SECONDS, sys.getprofile() is None

    def look(*event: object) -> None:
        if time.thread_time() > end:
            raise Overtime

    if free:
        sys.setprofile(look)
    try:
        yield
    finally:
        if free:
            sys.setprofile(None)


def check_arguments(text: str, variable: str) -> None:
    for name, value in (("formula", text), ("variable", variable)):
        if not isinstance(value, str):
            raise TypeError(f"the {name} must be a str, got {type(value).__name__}; write it as text")
    plain = re.fullmatch(r"[A-Za-z_]\w{0,30}", variable, re.ASCII) and not iskeyword(variable)
    if not plain or variable in FUNCTIONS or variable == "pi":
        raise ValueError(f"the variable must be a plain unused name, got {variable[:40]!r}; rename it")


def check_characters(text: str) -> None:
    if not text.strip(" "):
        raise ParseError("the formula is empty; write one such as tanh(x)", text)
    if len(text) > MAX_LENGTH:
        message = f"a formula has at most {MAX_LENGTH} characters, got {len(text)}; shorten it"
        raise ParseError(message, text, MAX_LENGTH + 1)
    depth = 0
    for column, character in enumerate(text, 1):
        if not (character.isascii() and character.isprintable()) or character in "#\\;`$?!":
            raise ParseError(f"the character {character!r} means nothing here; remove it", text, column)
        depth += (character in "([{") - (character in ")]}")
        if depth > MAX_DEPTH:
            raise ParseError(f"parentheses nest at most {MAX_DEPTH} deep; simplify the formula", text, column)


def read(text: str) -> ast.expr:
    indent = len(text) - len(text.lstrip(" "))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text[indent:], mode="eval").body
    except SyntaxError as error:
        column = indent + error.offset if error.offset else len(text) + 1  # offset 0: the text ends too early
        reason = error.msg.removesuffix(". Perhaps you forgot a comma?")
        message = f"this is not a formula ({reason}); write one such as 2*x + tanh(x)"
        raise ParseError(message, text, min(column, len(text) + 1)) from None
    except (RecursionError, MemoryError, ValueError):
        raise ParseError("this is nested too deeply to be read; simplify the formula", text) from None
    for node in ast.walk(tree):
        if isinstance(node, ast.expr):
            node.col_offset += indent
            node.end_col_offset = (node.end_col_offset or 0) + indent
    return tree


def place(node: ast.AST, text: str) -> int:
    """The column of a node, or of its operator if that stands between two sides."""
    if isinstance(node, ast.BinOp):
        between = range(node.left.end_col_offset or 0, node.right.col_offset)
        return next(i for i in between if text[i] not in " ()") + 1
    return getattr(node, "col_offset", 0) + 1


def children(node: ast.AST) -> list[ast.expr]:
    parts = node.args if isinstance(node, ast.Call) else ast.iter_child_nodes(node)
    return [part for part in parts if isinstance(part, ast.expr)]


def walk(tree: ast.expr, text: str, variable: str) -> Iterator[ast.expr]:
    """Every node, parents first, each admitted."""
    stack, count = [(tree, 1, 0)], 0
    while stack:
        node, depth, switches = stack.pop()
        count += 1
        reason = refuse(node, variable)
        if count > MAX_NODES:
            reason = f"a formula has at most {MAX_NODES} parts; shorten it"
        elif depth > MAX_DEPTH:
            reason = f"a formula nests at most {MAX_DEPTH} deep; simplify it"
        elif switches > MAX_SWITCHES:
            reason = f"Abs, Max and other switches nest at most {MAX_SWITCHES} deep; simplify the formula"
        if reason:
            raise ParseError(reason, text, place(node, text))
        yield node
        switches += isinstance(node, ast.Call) and getattr(node.func, "id", "") in SWITCHES
        flat = isinstance(node, ast.BinOp) and not isinstance(node.op, ast.Pow)  # a long sum is not deep
        stack += [(part, depth + (i > 0 or not flat), switches) for i, part in enumerate(children(node))]


def refuse(node: ast.expr, variable: str) -> str | None:
    """Why a node is no part of a formula; None if it is one."""
    kind: type[ast.AST] = type(node)
    match node:
        case ast.BinOp(op=ast.Pow(), right=exponent) if is_tower(exponent):
            return "towers of constant powers are refused; write the exponent as a number"
        case ast.BinOp(op=op) | ast.UnaryOp(op=op):
            kind = type(op)
            if kind in OPERATORS:
                return None
        case ast.Constant(value=value):
            known = type(value) in (int, float)
            return None if known else f"only numbers such as 0.5 can be constants, got {value!r:.40}"
        case ast.Name(id=name):
            return None if name in (variable, "pi") else refuse_name(name, variable)
        case ast.Call(func=ast.Name(id=name)):
            return refuse_call(node, name, variable)
        case ast.Call(func=function):
            kind = type(function) if type(function) in HINTS else kind
    name = re.sub(r"\B([A-Z])", r" \1", kind.__name__).lower()
    return HINTS.get(kind, f"{name!r} is not known; use numbers, {variable}, + - * / ** and functions")


def is_tower(exponent: ast.expr) -> bool:
    inside = list(ast.walk(exponent))
    names = any(isinstance(n, ast.Name) and n.id not in FUNCTIONS and n.id != "pi" for n in inside)
    return not names and any(isinstance(n, ast.Pow) for n in inside)


def refuse_name(name: str, variable: str) -> str:
    if name in FUNCTIONS:
        return f"{name} is a function and wants parentheses; write {name}({variable})"
    if name in ("e", "E"):
        return f"the name {name} is not known; write exp(1) for Euler's number"
    return f"the only variable is {variable} and the only constant is pi, got {name[:40]}; rename it"


def refuse_call(node: ast.Call, name: str, variable: str) -> str | None:
    if name in (variable, "pi"):
        return f"{name} is not a function; write {name}*(...) for a product"
    if name not in FUNCTIONS:
        close = difflib.get_close_matches(name[:40], FUNCTIONS, cutoff=0.5) or FUNCTIONS
        return f"the function {name[:40]} is not known; use one of {', '.join(close)}"
    if node.keywords:
        return f"{name} takes no keyword arguments, got {node.keywords[0].arg or '**'}; write {name}(...)"
    least, most = (2, 8) if name in ("Max", "Min") else (1, 1)
    if least <= len(node.args) <= most:
        return None
    wanted = "1 argument" if most == 1 else f"{least} to {most} arguments"
    return f"{name} takes {wanted}, got {len(node.args)}; separate arguments by commas"


def build(node: ast.AST, parts: list[Expr], text: str) -> Expr:
    match node:
        case ast.Constant(col_offset=start, end_col_offset=stop):
            return number(text[start:stop])
        case ast.Name(id=name):
            return sp.pi if name == "pi" else X
        case ast.Call(func=ast.Name(id=name)):
            return FUNCTIONS[name](*parts)
        case ast.BinOp(op=op) | ast.UnaryOp(op=op):
            return OPERATORS[type(op)](*parts)
    raise TypeError(f"{type(node).__name__} passed the whitelist without a rule")


HINTS: dict[type[ast.AST], str] = {
    ast.BitXor: "'^' is not a power here; write ** for powers",
    ast.Attribute: "attributes (a dot after a name) are not part of formulas; write tanh(x) or the like",
    ast.Compare: "comparisons are not part of formulas; write Heaviside(x) for a step",
    ast.Lambda: "lambda is not part of formulas; write the formula alone, such as tanh(x)",
    ast.IfExp: "if ... else is not part of formulas; write Heaviside, Max or Min",
    ast.ListComp: "comprehensions are not part of formulas; write the formula alone, such as tanh(x)",
    ast.GeneratorExp: "comprehensions are not part of formulas; write the formula alone, such as tanh(x)",
    ast.Tuple: "commas stand only between the arguments of a function; write 0.5 for a half",
    ast.Call: "only named functions can be called; write * for a product",
}
