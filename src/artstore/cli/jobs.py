"""`artstore jobs`: work that goes on in the background."""

from typing import Annotated, Any

import typer

from artstore.cli.options import JsonOption, YesOption

JOBS = "/api/v1/jobs"

JobArgument = Annotated[int, typer.Argument(min=1, help="Number of the job.")]

commands = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    app.add_typer(commands, name="jobs", help="Work in the background.")


@commands.command("list")
def list_jobs(
    state: Annotated[str | None, typer.Option(help="queued, running, waiting, failed...")] = None,
    as_json: JsonOption = False,
) -> None:
    """List jobs, the newest first; those that ended are kept for 30 days."""
    from artstore.cli.output import print_json, print_table
    from artstore.client.store import ArtStore

    with ArtStore.from_home() as store:
        jobs = store.items(JOBS, {"state": state} if state else None)
        if as_json:
            for job in jobs:
                print_json(job)
        else:
            columns = ("job_id", "kind", "key", "state", "progress", "last_error")
            print_table([_line(job) for job in jobs], columns)


@commands.command()
def show(job_id: JobArgument, as_json: JsonOption = False) -> None:
    """One job: how far it is, and why it waits."""
    _print("GET", f"{JOBS}/{job_id}", as_json=as_json)


@commands.command()
def cancel(job_id: JobArgument, yes: YesOption = False, as_json: JsonOption = False) -> None:
    """Stop a job. What it did so far stays done."""
    from artstore.cli.values import confirm

    confirm(f"cancel job {job_id}", yes)
    _print("POST", f"{JOBS}/{job_id}/cancel", as_json=as_json)


def _line(job: dict[str, Any]) -> dict[str, Any]:
    shown = (f"{name}={value}" for name, value in job["progress"].items() if value is not None)
    return {**job, "progress": " ".join(shown)}


def _print(method: str, path: str, *, as_json: bool) -> None:
    from artstore.cli.output import print_fields, print_json
    from artstore.client.store import ArtStore

    with ArtStore.from_home() as store:
        job = store.call(method, path)
    if as_json:
        print_json(job)
    else:
        print_fields(job)
