"""From expressions to Python source: the whole interface between what is derived and what is computed.

`emit({name: (arguments, results)})` writes one plain function per name, from arithmetic and a fixed vocabulary (WORDS).
Closed means are spelled out with common subexpressions shared; an open mean becomes a call of a quadrature word on a
helper function f0, f1, ... and its landmarks. The reader of the text decides how to compile it and what the words are.
An expression without a word is an error here, never a silent fallback.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from keyword import iskeyword

import sympy as sp
from sympy import Expr, Function, Symbol

from symbolic.atoms import Arcsine, Area, Gain, Orthant, Ramp, Tail
from symbolic.closing import close
from symbolic.functions import sigmoid, softplus
from symbolic.gaussian import Mean, PairMean, k, p, q
from symbolic.integrals import Helpers, Unprintable, closing_text, oriented

WORDS: dict[type, str] = {
    sp.exp: "exp", sp.log: "log", sp.sin: "sin", sp.cos: "cos", sp.tan: "tan", sp.sinh: "sinh", sp.cosh: "cosh",
    sp.tanh: "tanh", sp.atan: "atan", sp.asin: "asin", sp.acos: "acos", sp.atan2: "atan2",
    sp.erf: "erf", sp.erfc: "erfc", sp.Heaviside: "heaviside", sp.sign: "sign", sp.Abs: "absolute",
    sigmoid: "sigmoid", softplus: "softplus",
    Orthant: "orthant", Ramp: "ramp", Area: "area", Arcsine: "arcsine", Tail: "tail", Gain: "gain",
}  # fmt: skip
_expm1, _exp_sinh, _exp_cosh, _positive = (Function(n) for n in ("expm1", "exp_sinh", "exp_cosh", "positive"))
VOCABULARY = (
    *WORDS.values(),
    "sqrt",
    "maximum",
    "minimum",
    "clip1",
    "expm1",
    "exp_sinh",
    "exp_cosh",
    *(f"{word}_{kind}mean" for word in ("checked", "bounded") for kind in ("", "pair_", "smoothed_")),
)
STATES = (p, q, k)
_EXTREME: dict[type, str] = {sp.Max: "maximum", sp.Min: "minimum"}
Call = tuple[str, list[Expr], str]  # the opening of a quadrature call, its variances, its end
Functions = Mapping[str, tuple[Sequence[Symbol], Sequence[Expr]]]


def emit(functions: Functions, title: str = "") -> str:
    """Source text of the functions, each returning a tuple of floats.

    Raises Unprintable (a ValueError) for a node without a word or a mean whose function has a free parameter.

    >>> from symbolic.gaussian import p, q, k
    >>> print(emit({"step": ([q], [q**2 / (1 + q)])}))
    def step(q):
        return (q*q/(1.0 + q),)
    """
    helpers = Helpers(_helper, _number)
    bodies = [_function(name, args, [close(e) for e in exprs], helpers) for name, (args, exprs) in functions.items()]
    head = [f'"""{title}"""'] if title else []
    return "\n\n\n".join((*head, *helpers.texts, *bodies))


def emit_bounded(mean: Expr, arguments: Sequence[Symbol], title: str = "", *, smooth: bool = True) -> str:
    """Source text of `bounded`, the value and the error bound of one mean as an integral; smooth=False integrates both
    functions of a pair, though one could be smoothed by its formula."""
    helpers = Helpers(_helper, _number, smooth=smooth)
    mean = oriented(mean)
    call = helpers.call(mean, "bounded")
    law = mean.args[1:] if isinstance(mean, Mean) else mean.args[2:]
    names = ", ".join(_argument(s) for s in arguments)
    body = f"def bounded({names}):\n    v0 = {call}, {', '.join(str(a) for a in law)}{closing_text(mean)}\n"
    head = [f'"""{title}"""'] if title else []
    return "\n\n\n".join((*head, *helpers.texts, body + "    return (v0[0], v0[1])"))


def function(name: str, args: Sequence[Symbol], formula: Expr) -> str:
    """Source text of one function that returns one number, of a formula without open means."""
    return _function(name, args, [formula], Helpers(_helper, _number), single=True)


def _helper(name: str, args: list[Symbol], exprs: list[Expr], single: bool) -> str:
    return _function(name, args, exprs, Helpers(_helper, _number), single=single)


def _function(
    name: str, args: Sequence[Symbol], exprs: Sequence[Expr], helpers: Helpers, *, single: bool = False
) -> str:
    names: dict[Symbol, str] = {s: _argument(s) for s in args}
    if len(set(names.values())) < len(args):
        raise Unprintable(f"two of the arguments {', '.join(names.values())} share a name: rename one")
    calls, results = _name_means(exprs, helpers)
    results = [_stable(e) for e in results]
    calls = {s: (call, [_stable(e) for e in law], end) for s, (call, law, end) in calls.items()}
    inner = [a for _, parts, _ in calls.values() for a in parts]
    shared, reduced = sp.cse([*inner, *results], symbols=(Symbol(f"_x{i}") for i in range(10**6)))
    definitions: dict[Symbol, Expr | Call] = dict(shared)
    cursor = 0
    for symbol, (call, parts, end) in calls.items():
        definitions[symbol] = call, reduced[cursor : cursor + len(parts)], end
        cursor += len(parts)
    lines: list[str] = []

    def define(symbol: Symbol) -> None:
        if symbol in names:
            return
        if symbol not in definitions:
            raise Unprintable(f"the symbol {symbol} is neither an argument nor defined")
        value = definitions[symbol]
        text = _call(value) if isinstance(value, tuple) else say(value)
        names[symbol] = f"v{len(lines)}"
        lines.append(f"    {names[symbol]} = {text}")

    def say(expr: Expr) -> str:
        for symbol in sorted(expr.free_symbols, key=lambda s: s.name):
            define(symbol)
        return _say(expr, names)

    def _call(value: Call) -> str:
        call, parts, end = value
        return f"{call}, {', '.join(say(part) for part in parts)}{end}"

    texts = [say(e) for e in reduced[cursor:]]
    returned = texts[0] if single else f"({', '.join(texts)},)"
    head = f"def {name}({', '.join(s.name for s in args)}):"
    return "\n".join((head, *lines, f"    return {returned}"))


def _argument(symbol: Symbol) -> str:
    name = symbol.name
    if (
        not name.isidentifier()
        or iskeyword(name)
        or name in VOCABULARY
        or re.fullmatch(r"array|[fhv]\d+(_marks)?", name)
    ):
        raise Unprintable(f"the symbol {name} cannot be the name of an argument in Python here: rename it")
    return name


def _name_means(exprs: Sequence[Expr], helpers: Helpers) -> tuple[dict[Symbol, Call], list[Expr]]:
    """Replace means by symbols, innermost first, so that nothing reaches into an integrand."""
    calls: dict[Symbol, Call] = {}
    exprs = list(exprs)
    while any(e.has(Mean, PairMean) for e in exprs):
        found = set().union(*(e.atoms(Mean, PairMean) for e in exprs))
        innermost = [m for m in found if not any(a.has(Mean, PairMean) for a in m.args)]
        for mean in sorted(innermost, key=sp.default_sort_key):
            symbol, turned = Symbol(f"_m{len(calls)}"), oriented(mean)
            law = list(turned.args[1:] if isinstance(turned, Mean) else turned.args[2:])
            calls[symbol] = helpers.call(turned), law, closing_text(turned)
            exprs = [e.xreplace({mean: symbol}) for e in exprs]
            calls = {s: (c, [a.xreplace({mean: symbol}) for a in parts], end) for s, (c, parts, end) in calls.items()}
    return calls, exprs


# -- shapes that keep their digits ---------------------------------------------------------------------------------


def _stable(expr: Expr) -> Expr:
    """log(1 + e^x) as softplus, e^x - 1 as expm1, e^a sinh b and e^a cosh b without overflow."""
    expr = expr.replace(lambda e: isinstance(e, sp.log) and e.args[0].is_Add, _softplus)
    expr = expr.replace(lambda e: e.is_Add and e.has(sp.exp), _balanced)
    expr = expr.replace(lambda e: e.is_Add and e.has(sp.exp), _minus_one)
    expr = expr.replace(_is_root_of_difference, _root)
    return expr.replace(lambda e: e.is_Mul, _product)


def _is_root_of_difference(e: Expr) -> bool:
    if not (e.is_Pow and e.exp.is_Rational and e.exp.q == 2 and e.base.is_Add):
        return False
    return any(a.could_extract_minus_sign() for a in e.base.args)


def _softplus(log: Expr) -> Expr:
    one, power = log.args[0].as_independent(sp.exp)
    return softplus(power.args[0]) if one == 1 and isinstance(power, sp.exp) else log


def _balanced(add: Expr) -> Expr:
    """c - sum c_i e^(a_i) with c = sum c_i, from which all leading digits cancel at small a_i, in e^(a_i) - 1."""
    spread = sp.expand(add.replace(lambda e: isinstance(e, sp.sinh | sp.cosh), lambda e: e.rewrite(sp.exp)))
    pairs = [a.as_independent(sp.exp, as_Add=False) for a in sp.Add.make_args(sp.powsimp(spread))]
    powers = [(c, e) for c, e in pairs if isinstance(e, sp.exp) and not c.has(*STATES)]
    constants = [c for c, e in pairs if e == 1 and not c.has(*STATES)]
    if len(powers) < 2 or not constants or sp.simplify(sp.Add(*constants, *(c for c, _ in powers))) != 0:
        return add
    rest = [c * e for c, e in pairs if (c, e) not in powers and not (e == 1 and c in constants)]
    return sp.Add(*rest, *(c * _expm1(e.args[0]) for c, e in powers))


def _minus_one(add: Expr) -> Expr:
    for power in add.args:
        weight, rest = power.as_independent(sp.exp, as_Add=False)
        if isinstance(rest, sp.exp) and -weight in add.args:
            return add - power + weight + weight * _expm1(rest.args[0])
    return add


def _root(power: Expr) -> Expr:
    """Half powers of a difference: rounding must not carry it below zero."""
    return sp.Pow(_positive(power.base), power.exp, evaluate=False)


def _product(mul: Expr) -> Expr:
    powers = [a for a in mul.args if isinstance(a, sp.exp)]
    others = [a for a in mul.args if isinstance(a, sp.sinh | sp.cosh)]
    if len(powers) != 1 or len(others) != 1:
        return mul
    word = _exp_sinh if isinstance(others[0], sp.sinh) else _exp_cosh
    return sp.Mul(*(a for a in mul.args if a not in (powers[0], others[0]))) * word(
        powers[0].args[0], others[0].args[0]
    )


# -- one expression ------------------------------------------------------------------------------------------------


def _number(expr: Expr) -> str:
    value = float(expr.evalf(20))
    return f"({value!r})" if value < 0 else repr(value)


def _say(expr: Expr, names: Mapping[Symbol, str]) -> str:
    def say(e: Expr) -> str:
        return _say(e, names)

    if isinstance(expr, Symbol):
        return names[expr]
    if expr.is_number and expr.is_real:
        return _number(expr)
    if expr.is_Add:
        return "(" + " + ".join(say(a) for a in expr.args) + ")"
    if expr.is_Mul:
        return _quotient(expr, say)
    if expr.is_Pow:
        return _power(expr.base, expr.exp, say)
    if isinstance(expr, sp.Max | sp.Min):
        *rest, last = [say(a) for a in expr.args]
        return "".join(f"{_EXTREME[type(expr)]}({a}, " for a in rest) + last + ")" * len(rest)
    if isinstance(expr, sp.Piecewise):
        return _branches(expr, say)
    if isinstance(expr, sp.logic.boolalg.Boolean):
        return _condition(expr, say)
    if isinstance(expr, sp.asin | sp.acos):
        return f"{WORDS[type(expr)]}(clip1({say(expr.args[0])}))"
    if isinstance(expr, _positive):
        return f"maximum({say(expr.args[0])}, 0.0)"
    if isinstance(expr, sp.Heaviside):
        return f"heaviside({say(expr.args[0])})"
    word: str | None = WORDS.get(type(expr)) or (
        expr.func.__name__ if expr.func in (_expm1, _exp_sinh, _exp_cosh) else None
    )
    if word is None:
        raise Unprintable(f"no word for {type(expr).__name__} in {expr}; known are {', '.join(sorted(VOCABULARY))}")
    return f"{word}({', '.join(say(a) for a in expr.args)})"


def _quotient(expr: Expr, say: Callable[[Expr], str]) -> str:
    above = [a for a in expr.args if not (a.is_Pow and a.exp.is_negative)]
    below = [1 / a for a in expr.args if a.is_Pow and a.exp.is_negative]
    text = "*".join(say(a) for a in above) or "1.0"
    if not below:
        return text
    under = "*".join(say(b) for b in below)
    one = below[0]
    bare = len(below) == 1 and (one.is_Atom or one.is_Add or one.is_Function or (one.is_Pow and one.exp == sp.S.Half))
    return f"{text}/{under}" if bare else f"{text}/({under})"


def _power(base: Expr, exponent: Expr, say: Callable[[Expr], str]) -> str:
    if exponent.is_negative:
        return f"1.0/({_power(base, -exponent, say)})"
    text = say(base) if base.is_Atom or base.is_Add else f"({say(base)})"
    if exponent.is_Integer and exponent <= 4:
        return "*".join([text] * int(exponent))
    if exponent.is_Rational and exponent.q == 2:
        whole = [text] * int(exponent.p // 2) if exponent.p <= 9 else [f"{text}**{exponent.p // 2}"]
        return "*".join([*whole, f"sqrt({say(base)})"])
    return f"{text}**{say(exponent)}" if not exponent.is_Integer else f"{text}**{exponent}"


def _condition(expr: Expr, say: Callable[[Expr], str]) -> str:
    if not expr.is_Relational or expr.rel_op not in {"<", "<=", ">", ">="}:
        raise Unprintable(f"no word for the condition {expr}")
    return f"{say(expr.lhs)} {expr.rel_op} {say(expr.rhs)}"


def _branches(expr: Expr, say: Callable[[Expr], str]) -> str:
    text = ""
    for depth, (value, condition) in enumerate(expr.args):
        if condition == True:  # noqa: E712 (SymPy's own true)
            return f"({text}{say(value)}{')' * depth})"
        text += f"{say(value)} if {say(condition)} else ("
    raise Unprintable(f"the pieces of {expr} leave a gap")
