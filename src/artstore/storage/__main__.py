"""`python -m artstore.storage`: one storage element."""

import sys

from artstore.core.clock import SystemClock
from artstore.core.secrets.starting import end_with, start
from artstore.core.settings import ConfigurationError
from artstore.core.web.server import allow_many_files, serve
from artstore.storage.app import backend_of, create_app, engine_options
from artstore.storage.engine.engine import Engine
from artstore.storage.engine.refusals import ElementRefused
from artstore.storage.settings import StorageSettings


def main() -> None:
    try:
        settings, secrets = start(StorageSettings, "storage")
    except ConfigurationError as error:
        end_with("storage", error)
    # The engine holds files of its own, from before the server begins.
    allow_many_files()
    try:
        backend = backend_of(settings, secrets, SystemClock())
        engine = Engine.open(engine_options(settings), backend=backend)
    except (ElementRefused, ConfigurationError) as refusal:
        sys.exit(f"The storage element {settings.element_id} does not start. {refusal}")
    app = create_app(settings, engine)
    serve(app, settings)


if __name__ == "__main__":
    main()
