"""`python -m artstore.ingester`: one process, one instance."""

from artstore.core.secrets.starting import end_with, start
from artstore.core.settings import ConfigurationError
from artstore.core.web.server import serve
from artstore.ingester.app import create_app
from artstore.ingester.settings import IngesterSettings


def main() -> None:
    try:
        settings, secrets = start(IngesterSettings, "ingester")
        app = create_app(settings, secrets)
    except ConfigurationError as error:
        end_with("ingester", error)
    serve(app, settings)


if __name__ == "__main__":
    main()
