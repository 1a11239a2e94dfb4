"""What can be turned: a local page with knobs, served until Ctrl-C."""

from typing import Annotated

import typer

from meanfield.cli.app import app

MOST_PORT = 65535


@app.command()
def explore(
    activation: Annotated[str, typer.Option(help="A name, or a formula in x.")] = "tanh",
    weight_var: Annotated[float, typer.Option(help="Variance of a weight times its fan-in.")] = 1.5,
    bias_var: Annotated[float, typer.Option(help="Variance of the biases.")] = 0.05,
    depth: Annotated[int, typer.Option(help="Layers of the trajectory.")] = 30,
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes any free one.")] = 0,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Let --host be an address that other machines reach.")
    ] = False,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")] = True,
) -> None:
    """Turn knobs in the browser: phase point, diagram, correlation map, depth and equations of an activation.

    Prints the address of the page, which only this machine can open, and serves it until Ctrl-C; then the exit status
    is 0.

    \b
    Example:
      meanfield explore --activation gelu --weight-var 2
    """
    from urllib.parse import urlencode

    from meanfield.pages.explore import loopback, open_browser, start
    from meanfield.pages.knobs import Settings
    from symbolic.activations import activation as read

    if not 0 <= port <= MOST_PORT:
        raise ValueError(f"--port must be from 0 to {MOST_PORT}, not {port}")
    if not (loopback(host) or allow_remote):
        raise ValueError(f"--host {host} lets other machines in: add --allow-remote if that is meant")
    read(activation)
    at = Settings(activation, weight_var, bias_var, depth)
    server, url = start(host, port)
    url += "#" + urlencode(vars(at))
    if not loopback(host):
        typer.echo(f"meanfield: other machines can reach {host}; whoever has this address can compute here", err=True)
    typer.echo(f"{url}\nCtrl-C stops.")
    if browser:
        open_browser(url)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        typer.echo("stopped")
    finally:
        server.server_close()
