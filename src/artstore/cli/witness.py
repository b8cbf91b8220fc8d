"""`artstore witness`: the same program as `python -m artstore.witness`, by its usual name.

Its options are those of the witness itself, which stands alone and reads them without this
command line.
"""

import typer


def register(app: typer.Typer) -> None:
    app.command(
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )(witness)


def witness(context: typer.Context) -> None:
    """Confirm the states of audit logs, on a machine of its own: init, serve."""
    from artstore.witness.__main__ import main

    raise typer.Exit(main(context.args, "artstore witness"))
