"""`artstore login`, `logout` and `token`: as whom the command line acts."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from artstore.cli.options import JsonOption

if TYPE_CHECKING:
    from artstore.client.people import SignIn
    from artstore.client.settings import Profile

NO_TERMINAL = (
    "there is no terminal to ask at. Programs act as a service account: "
    "artstore login --client-id NAME --secret-file FILE"
)


def register(app: typer.Typer) -> None:
    app.command()(login)
    app.command()(logout)
    app.command()(token)


def login(
    *,
    edge: Annotated[
        str | None,
        typer.Option(
            help="Address, such as https://archive.example:8443; default: that of this place."
        ),
    ] = None,
    username: Annotated[str | None, typer.Option(help="Name of a person.")] = None,
    client_id: Annotated[str | None, typer.Option(help="Name of a service account.")] = None,
    ca_file: Annotated[
        Path | None,
        typer.Option(help="Certificate of the authority to trust; default: the system's."),
    ] = None,
    secret_file: Annotated[
        Path | None,
        typer.Option(help="File with the secret of the account; default: ask for it."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Sign in as a person or a service account, and stay signed in.

    A person is asked for the password and the code of an app, and the first time led through
    setting both up. What is kept can be read by its owner only; `artstore logout` ends it.
    """
    from artstore.cli.output import print_json, say
    from artstore.client.login import save_person, save_profile

    if (username is None) == (client_id is None):
        raise typer.BadParameter("name a person (--username) or an account (--client-id)")
    if secret_file is None and not sys.stdin.isatty():
        raise typer.BadParameter(NO_TERMINAL)
    profile = _wanted(edge, ca_file, username or client_id or "")
    if username is not None:
        path = save_person(profile, _sign_in(profile))
    else:
        path = save_profile(_checked_account(profile, secret_file))
    if as_json:
        print_json({"edge": profile.edge_url, "as": profile.client_id, "profile": str(path)})
    else:
        say(f"signed in as {profile.client_id}; kept in {path}")


def logout(as_json: JsonOption = False) -> None:
    """End what `artstore login` began; a person's session ends on the server too."""
    from artstore.cli.output import print_json, say
    from artstore.client.login import forget_login
    from artstore.client.people import auth_request
    from artstore.client.settings import load_profile
    from artstore.client.store import ArtStore
    from artstore.core.errors import ArtStoreError

    ended = False
    profile = load_profile()
    if profile.session_file is not None:
        try:
            with ArtStore.from_profile(profile) as store:
                store.send(auth_request("logout", None, with_token=True))
            ended = True
        except ArtStoreError as failure:
            say(f"the session could not be ended on the server: {failure.detail}")
    forgotten = forget_login()
    if as_json:
        print_json({"session_ended": ended, "forgotten": forgotten})
    else:
        say("signed out" if forgotten else "nobody was signed in here")


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


class _Prompts:
    """At the terminal; remarks go to stderr, so that stdout stays for data."""

    def secret(self, prompt: str) -> str:
        return str(typer.prompt(prompt, hide_input=True, err=True))

    def text(self, prompt: str) -> str:
        return str(typer.prompt(prompt, err=True)).strip()

    def tell(self, text: str) -> None:
        from artstore.cli.output import say

        say(text)


def _wanted(edge: str | None, ca_file: Path | None, name: str) -> "Profile":
    """Without an address, that of the installation whose profile is found here."""
    from artstore.client.settings import Profile, load_profile

    if edge is not None:
        return Profile(edge.rstrip("/"), ca_file, name, "")
    found = load_profile()
    return Profile(found.edge_url, ca_file or found.ca_file, name, "")


def _sign_in(profile: "Profile") -> "SignIn":
    from artstore.client.people import Terminal
    from artstore.client.store import ArtStore

    with ArtStore.from_profile(profile) as store:
        return Terminal(store.send, _Prompts(), profile.client_id).sign_in()


def _checked_account(profile: "Profile", secret_file: Path | None) -> "Profile":
    from dataclasses import replace

    from artstore.client.settings import read_secret_file
    from artstore.client.store import ArtStore

    secret = read_secret_file(secret_file) if secret_file else _Prompts().secret("secret")
    account = replace(profile, client_secret=secret)
    with ArtStore.from_profile(account) as store:
        store.token()
    return account
