"""`python -m artstore.query`: one process, one instance."""

from artstore.core.secrets.starting import end_with, start
from artstore.core.settings import ConfigurationError
from artstore.core.web.server import serve
from artstore.query.app import create_app
from artstore.query.settings import QuerySettings


def main() -> None:
    try:
        settings, secrets = start(QuerySettings, "query")
        app = create_app(settings, secrets)
    except ConfigurationError as error:
        end_with("query", error)
    serve(app, settings)


if __name__ == "__main__":
    main()
