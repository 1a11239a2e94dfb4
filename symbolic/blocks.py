"""Networks from users, safely: text in the layer algebra -> Python's syntax tree -> whitelist -> layers.

    block = activation | 'formula in x' | Layer(argument, name=argument, ...) | (block)
          | block >> block | block + block | number * block | block ** times

An activation is a name such as tanh, a Layer one of those of `symbolic.written`, which says how arguments that are no
numbers are written. As in Python ** binds before *, * before +, + before >>. Nothing is executed, and a network has at
most 10,000 layers.
"""

import ast
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, TypeAlias

from symbolic.activations import ACTIVATIONS, activation
from symbolic.networks import Chain, Layer, Repeat, Scale, Sum
from symbolic.parse import MAX_DEPTH, MAX_NODES, ParseError, check_characters, place, read
from symbolic.signals import NoRule
from symbolic.words import Refusal, number
from symbolic.written import LAYERS, PHI, is_literal, literal, named, nearest, unfit

MAX_LAYERS = 10_000
EXAMPLE = "tanh >> Dense(1.5, 0.05)"
Value: TypeAlias = Any  # a Layer, or a number as a SymPy expression


def parse_block(text: str) -> Layer:
    """The layer that `text` describes; ParseError with the column, NoRule where the theory does not cover the network.

    >>> parse_block("Dense(1.5, 0.05) >> (relu >> Dense(weight_var=2, bias_var=0)) ** 3")
    Dense(weight_var=1.5, bias_var=0.05) >> (relu >> Dense(weight_var=2, bias_var=0)) ** 3
    >>> parse_block("tanh >> Dense / 2")
    Traceback (most recent call last):
    ...
    symbolic.parse.ParseError: column 9: Dense is a layer and wants parentheses; write Dense()
    tanh >> Dense / 2
            ^
    """
    if not isinstance(text, str):
        raise TypeError(f"a block is read from text such as {EXAMPLE!r}, not from {type(text).__name__}")
    nodes = _walk(_read(text), text)
    built: dict[ast.AST, Value] = {}
    for node in reversed(nodes):  # children first, and no recursion to overflow
        try:
            built[node] = _build(node, [built[part] for part in _parts(node)], text)
        except NoRule:
            raise
        except ParseError as error:  # a quoted formula, whose columns count from behind the quote
            shift = node.col_offset + 1 if isinstance(node, ast.Constant) else 0
            raise ParseError(error.message, text, error.column + shift) from None
        except (Refusal, ValueError, TypeError) as error:
            raise ParseError(str(error), text, place(node, text)) from None
    found = built[nodes[0]]
    if not isinstance(found, Layer):
        raise ParseError(f"a number alone is no block; write one such as {EXAMPLE}", text)
    return found


def _read(text: str) -> ast.expr:
    """The syntax tree, within the caps on formulas; their complaints speak of blocks here."""
    try:
        check_characters(text)
        return read(text)
    except ParseError as error:
        said = error.message.replace("2*x + tanh(x)", EXAMPLE).replace("tanh(x)", EXAMPLE).replace("formula", "block")
        raise ParseError(said, error.text, error.column) from None


def _parts(node: ast.expr) -> list[ast.expr]:
    match node:
        case ast.Call(func=ast.Name(id=name)):
            return [part for key, part in named(node, name) if not is_literal(key, part)]
        case ast.BinOp(left=left, right=right):
            return [left, right]
        case ast.UnaryOp(operand=operand):
            return [operand]
    return []


def _walk(tree: ast.expr, text: str) -> list[ast.expr]:
    """Every node, parents first; a long chain is not deep."""
    stack, nodes = [(tree, 1)], []
    while stack:
        node, depth = stack.pop()
        nodes.append(node)
        if len(nodes) > MAX_NODES:
            raise ParseError(f"a block has at most {MAX_NODES} parts; shorten it", text, place(node, text))
        if depth > MAX_DEPTH:
            raise ParseError(f"a block nests at most {MAX_DEPTH} deep; simplify it", text, place(node, text))
        if isinstance(node, ast.Call) and (reason := _refuse_call(node)):
            raise ParseError(reason, text, place(node, text))
        flat = isinstance(node, ast.BinOp)
        stack += [(part, depth + (i > 0 or not flat)) for i, part in enumerate(_parts(node))]
    return nodes


def _build(node: ast.expr, parts: list[Value], text: str) -> Value:
    match node:
        case ast.Constant(value=str(value)):
            if text[node.col_offset + 1 : (node.end_col_offset or 0) - 1] != value:
                raise Refusal("a formula stands between one pair of quotes, without prefix; write 'x*tanh(x)'")
            return activation(value)
        case ast.Constant(value=value) if type(value) in (int, float):
            return number(text[node.col_offset : node.end_col_offset])
        case ast.Name(id=name):
            return _named(name)
        case ast.Call(func=ast.Name(id=name)):
            return _layer(node, name, parts, text)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign):
            if isinstance(parts[0], Layer):
                raise Refusal("a sign stands before numbers only; write -1 * layer")
            return -parts[0] if isinstance(sign, ast.USub) else parts[0]
        case ast.BinOp(op=op) if type(op) in JOINS:
            return JOINS[type(op)](*parts)
    hint = HINTS.get(type(node.op) if isinstance(node, ast.BinOp) else type(node), "")
    raise Refusal(hint or f"only layers, numbers, >> + * ** and parentheses make a block, such as {EXAMPLE}")


def _named(name: str) -> Layer:
    if name in ACTIVATIONS:
        return ACTIVATIONS[name]
    if name in LAYERS:
        raise Refusal(f"{name} is a layer and wants parentheses; write {name}()")
    near = get_close_matches(name[:40], [*ACTIVATIONS, *LAYERS], 3, 0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    known = f"{', '.join(ACTIVATIONS)}, or a quoted formula in x such as 'x*tanh(x)'"
    raise Refusal(f"unknown activation {name[:40]!r}: {hint}Known are {known}")


def _refuse_call(node: ast.Call) -> str | None:
    """Why this is no call of a layer, before its arguments are looked at; None if it is one."""
    if not isinstance(node.func, ast.Name):
        return "only layers are called, by their name; write Dense(1.5, 0.05) or the like"
    name = node.func.id
    if name in ACTIVATIONS:
        return f"{name} is an activation: write {name} alone, or quote a formula such as '{name}(2*x)'"
    if name not in LAYERS:
        near = nearest(name)
        hint = f", did you mean {near}?" if near else "."
        return f"{name[:40]} is not a layer{hint} Known are {', '.join(LAYERS)}"
    return unfit(node, name)


def _layer(node: ast.Call, name: str, parts: list[Value], text: str) -> Layer:
    """A layer from its arguments: those that are read as written, and those that were built."""
    built, given = iter(parts), {}
    for key, part in named(node, name):
        given[key] = _argument(key, part, text) if is_literal(key, part) else next(built)
        if isinstance(given[key], Layer) and key != PHI:
            raise Refusal(f"{name} takes numbers, not layers; join layers with >>")
    return LAYERS[name](**given)


def _argument(key: str, part: ast.expr, text: str) -> Any:
    try:
        return literal(key, part, text)
    except Refusal as error:
        raise ParseError(str(error), text, place(part, text)) from None


def _times(block: Value, times: Value) -> Layer:
    if not isinstance(block, Layer) or isinstance(times, Layer) or not times.is_Integer:
        raise Refusal("** repeats a block a whole number of times; write (relu >> Dense(2, 0)) ** 3")
    if times > 0 and depth(block) * times > MAX_LAYERS:
        raise Refusal(f"a network has at most {MAX_LAYERS} layers; repeat this less often")
    return Repeat(block, int(times))


def _scaled(a: Value, b: Value) -> Layer:
    if isinstance(a, Layer) == isinstance(b, Layer):
        raise Refusal("* scales a layer by a number; write 0.5 * (relu >> Dense(2, 0)), and >> to join layers")
    return Scale(b, a) if isinstance(a, Layer) else Scale(a, b)


def _joined(join: Callable[[Layer, Layer], Layer], sign: str) -> Callable[[Value, Value], Layer]:
    def rule(a: Value, b: Value) -> Layer:
        if not (isinstance(a, Layer) and isinstance(b, Layer)):
            raise Refusal(f"{sign} joins two layers, not numbers; write {EXAMPLE}")
        return join(a, b)

    return rule


def depth(layer: Layer) -> int:
    """How many elementary layers a signal meets, all branches counted."""
    if isinstance(layer, Chain | Sum):
        return sum(map(depth, layer.layers if isinstance(layer, Chain) else layer.branches))
    if isinstance(layer, Repeat):
        return layer.times * depth(layer.block)
    return depth(layer.layer) if isinstance(layer, Scale) else 1


JOINS: dict[type[ast.AST], Callable[[Any, Any], Layer]] = {
    ast.RShift: _joined(Layer.__rshift__, ">>"),
    ast.Add: _joined(Layer.__add__, "+"),
    ast.Mult: _scaled,
    ast.Pow: _times,
}
HINTS: dict[type[ast.AST], str] = {
    ast.Div: "numbers are not divided here; write 0.5 for a half",
    ast.Sub: "layers are not subtracted; write a + -1 * b",
    ast.Compare: "'>' is not a join; write >>",
    ast.Attribute: "attributes (a dot after a name) are not part of blocks; write Dense(1.5, 0.05) or the like",
    ast.Lambda: "lambda is not part of blocks; quote a formula in x such as 'x*tanh(x)'",
    ast.Tuple: "commas stand only between the numbers of a layer; join layers with >>",
}
