"""`artstore ls`, `search`, `info` and `rm`."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from artstore.cli.options import JsonOption, YesOption

if TYPE_CHECKING:
    from collections.abc import Iterable

    from artstore.core.model.file import FileRecord

CollectionOption = Annotated[str | None, typer.Option(help="Only of this collection.")]
LimitOption = Annotated[int | None, typer.Option(min=1, help="At most so many; default: all.")]
FileIds = Annotated[list[str], typer.Argument(help="As put, ls or search print them.")]


def register(app: typer.Typer) -> None:
    app.command()(ls)
    app.command()(search)
    app.command()(info)
    app.command()(rm)


def ls(
    collection: CollectionOption = None, limit: LimitOption = None, as_json: JsonOption = False
) -> None:
    """List files, newest first."""
    from artstore.client.store import ArtStore

    with ArtStore.from_home() as store:
        _print_records(store.files(collection, limit=limit), as_json=as_json)


def search(
    query: Annotated[str | None, typer.Argument(help="Words of name, tags or metadata.")] = None,
    *,
    tag: Annotated[list[str] | None, typer.Option(help="Has all of these.")] = None,
    collection: CollectionOption = None,
    meta: Annotated[list[str] | None, typer.Option(help="KEY=VALUE; has all of these.")] = None,
    content_type: Annotated[str | None, typer.Option(help="Such as application/pdf.")] = None,
    uploaded_after: Annotated[datetime | None, typer.Option(help="UTC.")] = None,
    uploaded_before: Annotated[datetime | None, typer.Option(help="UTC.")] = None,
    sha256: Annotated[str | None, typer.Option(help="Of the content.")] = None,
    limit: LimitOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find files that fulfil every condition given."""
    from artstore.cli.values import key_values, utc
    from artstore.client.store import ArtStore

    with ArtStore.from_home() as store:
        found = store.search(
            query,
            tags=tag or (),
            collection=collection,
            metadata=key_values(meta or []),
            content_type=content_type,
            uploaded_after=utc(uploaded_after),
            uploaded_before=utc(uploaded_before),
            sha256=sha256,
            limit=limit,
        )
        _print_records(found, as_json=as_json)


def info(
    file_id: Annotated[str, typer.Argument(help="As put, ls or search print it.")],
    as_json: JsonOption = False,
) -> None:
    """Print all that is known of a file, and on which elements it lies."""
    from artstore.cli.output import print_fields, print_json, size_text
    from artstore.client.store import ArtStore

    with ArtStore.from_home() as store:
        record = store.info(file_id).model_dump(mode="json")
        if as_json:
            print_json(record)
            return
        copies = store.items(f"/api/v1/files/{record['file_id']}/copies")
        lies_on = [f"{copy['element_id']} ({copy['state']})" for copy in copies]
        size = f"{record['size']} bytes, {size_text(record['size'])}"
        print_fields({**record, "size": size, "copies": lies_on})


def rm(file_ids: FileIds, yes: YesOption = False, as_json: JsonOption = False) -> None:
    """Delete files. What must still be kept is refused; a tombstone stays of the others."""
    from artstore.cli.output import error_fields, error_text, print_json, print_line, say
    from artstore.cli.values import confirm
    from artstore.client.store import ArtStore
    from artstore.core.errors import ArtStoreError

    confirm(f"delete {len(file_ids)} files" if len(file_ids) > 1 else f"delete {file_ids[0]}", yes)
    failed = False
    with ArtStore.from_home() as store:
        for file_id in file_ids:
            try:
                tombstone = store.delete(file_id).model_dump(mode="json")
            except ArtStoreError as failure:
                failed = True
                if as_json:
                    print_json({"file_id": file_id, "error": error_fields(failure)})
                else:
                    say(f"failed: {file_id}: {error_text(failure)}")
                continue
            if as_json:
                print_json({"file_id": file_id, "deleted": tombstone["deleted"]})
            else:
                print_line(file_id)
    if failed:
        raise typer.Exit(1)


def _print_records(records: "Iterable[FileRecord]", *, as_json: bool) -> None:
    from artstore.cli.output import print_json, print_line, size_text

    for record in records:
        if as_json:
            print_json({**record.model_dump(mode="json"), "sha256": record.sha256})
        else:
            when = f"{record.uploaded_at:%Y-%m-%d %H:%M}"
            size = size_text(record.size)
            print_line(f"{record.file_id}  {when}  {size:>10}  {record.original_filename}")
