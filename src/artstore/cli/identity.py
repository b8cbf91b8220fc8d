"""`artstore login` and `artstore token`: as whom the command line acts."""

from pathlib import Path
from typing import Annotated

import typer

from artstore.cli.options import JsonOption


def register(app: typer.Typer) -> None:
    app.command()(login)
    app.command()(token)


def login(
    edge: Annotated[str, typer.Option(help="Address, such as https://archive.example:8443.")],
    client_id: Annotated[str, typer.Option(help="Name of the service account.")],
    ca_file: Annotated[
        Path | None,
        typer.Option(help="Certificate of the authority to trust; default: the system's."),
    ] = None,
    secret_file: Annotated[
        Path | None, typer.Option(help="File with the secret; default: ask for it.")
    ] = None,
) -> None:
    """Check an account's credentials and remember them."""
    from artstore.cli.output import say
    from artstore.client.login import save_profile
    from artstore.client.settings import Profile, read_secret_file
    from artstore.client.store import ArtStore

    if secret_file is not None:
        secret = read_secret_file(secret_file)
    else:
        secret = typer.prompt("secret", hide_input=True, err=True)
    profile = Profile(edge.rstrip("/"), ca_file, client_id, secret)
    with ArtStore.from_profile(profile) as store:
        store.token()
    path = save_profile(profile)
    say(f"signed in as {client_id}; kept in {path}")


def token(as_json: JsonOption = False) -> None:
    """Print an access token for other programs, such as curl."""
    from artstore.cli.output import print_json, print_line
    from artstore.client.store import ArtStore

    with ArtStore.from_home() as store:
        access_token = store.token()
    if as_json:
        print_json({"access_token": access_token, "token_type": "Bearer"})
    else:
        print_line(access_token)
