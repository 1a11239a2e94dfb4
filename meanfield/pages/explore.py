"""A local page with knobs: a small server that shows `meanfield.pages.knobs` to the one who holds its address.

It listens on the loopback interface unless told otherwise. Every request must carry the random token of the address
in its path and name a host that the server goes by, since a page elsewhere can point a name of its own at 127.0.0.1.
Pages may load what comes from here and nothing else; answers are never stored. A wrong question is status 400 with
the sentence as JSON.
"""

import ipaddress
import json
import secrets
import socket
import sys
from collections.abc import Callable
from functools import partial
from importlib.resources import files
from socketserver import ThreadingMixIn
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from meanfield.pages import knobs

FILES = {
    "": ("explore.html", "text/html"),
    "explore.js": ("explore.js", "text/javascript"),
    "chart.js": ("chart.js", "text/javascript"),
    "style.css": ("style.css", "text/css"),
    "explore.css": ("explore.css", "text/css"),
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
WRONG = (ValueError, TypeError, ArithmeticError)
PATIENCE = 60  # seconds that a connection may stay silent


class Server(ThreadingMixIn, WSGIServer):
    """One thread for each request, none of which keeps the process alive."""

    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that hangs up is no error; anything else is one line."""
        error = sys.exception()
        if not isinstance(error, OSError):
            print(f"meanfield: {type(error).__name__}: {error}", file=sys.stderr)


class Server6(Server):
    address_family = socket.AF_INET6


class Quiet(WSGIRequestHandler):
    timeout = PATIENCE

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal says where the page is, and no more."""


def application(token: str, known: Callable[[str], bool]) -> Any:
    """The page as a WSGI application; `known` says whether a Host header names this server."""
    bottle = _bottle()
    app = bottle.Bottle()

    @app.hook("before_request")
    def admit() -> None:
        request = bottle.request
        if not known(request.get_header("Host", "")):
            raise bottle.HTTPResponse("403: this server does not go by that name", 403)
        given = request.path.split("/")[1]
        if not secrets.compare_digest(given.encode(), token.encode()):
            raise bottle.HTTPResponse("403: open the address that meanfield explore printed", 403)

    @app.hook("after_request")
    def protect() -> None:
        for name, value in HEADERS.items():
            bottle.response.set_header(name, value)

    for name in FILES:
        app.get(f"/{token}/{name}", callback=partial(_file, bottle, name))
    for name, answer in ANSWERS.items():
        app.get(f"/{token}/{name}", callback=partial(_answer, bottle, answer))
    app.error(404)(lambda error: "404: nothing is here")
    return app


def _diagram(given: Any) -> dict[str, Any]:
    most = (knobs.number(given, name, float, value) for name, value in (("weight_most", 5.0), ("bias_most", 1.0)))
    return knobs.diagram(knobs.Settings.read(given), *most)


ANSWERS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "point": lambda given: knobs.point(knobs.Settings.read(given)),
    "edge": lambda given: knobs.edge(knobs.Settings.read(given)),
    "diagram": _diagram,
    "equations": lambda given: knobs.equations(knobs.Settings.read(given)),
    "names": lambda given: {"names": knobs.names()},
}


def _file(bottle: Any, name: str) -> bytes:
    file, kind = FILES[name]
    bottle.response.content_type = f"{kind}; charset=utf-8"
    return files("meanfield.pages").joinpath(file).read_bytes()


def _answer(bottle: Any, answer: Callable[[Any], dict[str, Any]]) -> str:
    bottle.response.content_type = "application/json"
    try:
        return json.dumps(answer(bottle.request.query.decode()), allow_nan=False)
    except WRONG as error:
        bottle.response.status = 400
        return json.dumps(sentence(error))


def sentence(error: BaseException) -> dict[str, Any]:
    """What went wrong in one line; of a formula with the column at which to look."""
    if hasattr(error, "column"):
        return {"error": error.message, "column": error.column}  # type: ignore[attr-defined]
    return {"error": " ".join(str(error).split()) or type(error).__name__}


def goes_by(host: str, port: int) -> Callable[[str], bool]:
    """Does a Host header name the server? On the loopback interface its own names alone; on another also any address in
    figures, which nobody can point elsewhere."""

    def known(header: str) -> bool:
        name, _, given = header.rpartition(":")
        name = name.strip("[]").lower()
        if given != str(port):
            return False
        return name == host.lower() or (name in LOCAL if loopback(host) else name in LOCAL or _in_figures(name))

    return known


def loopback(host: str) -> bool:
    """Can only this machine reach the host?"""
    return host == "localhost" or (_in_figures(host) and ipaddress.ip_address(host).is_loopback)


def _in_figures(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def start(host: str = "127.0.0.1", port: int = 0) -> tuple[Server, str]:
    """A server that listens but does not serve yet, and the address to open, token included.

    OSError with the next step where the port is in use or the host is not this machine's; ImportError with the command
    to run without bottle.
    """
    _bottle()
    kind = Server6 if ":" in host else Server
    try:
        server = make_server(host, port, lambda environ, respond: [], kind, Quiet)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(f"port {port} of {host} cannot be had ({reason}): name another, or --port 0 for any") from None
    token = secrets.token_urlsafe(16)
    server.set_app(application(token, goes_by(host, server.server_port)))
    shown = f"[{host}]" if ":" in host else host
    return server, f"http://{shown}:{server.server_port}/{token}/"


def open_browser(url: str) -> None:
    """Ask the desktop to open the address, without waiting for it."""
    import webbrowser

    Thread(target=webbrowser.open, args=(url,), daemon=True).start()


def _bottle() -> Any:
    try:
        import bottle
    except ImportError as error:
        raise ImportError("the page needs bottle: pip install 'meanfield-calculator[explore]'") from error
    return bottle
