"""`python -m artstore.query`: one process, one instance."""

import sys

from pydantic import ValidationError

from artstore.core.settings import ConfigurationError
from artstore.core.web.server import serve
from artstore.query.app import create_app
from artstore.query.settings import QuerySettings


def main() -> None:
    try:
        settings = QuerySettings()
        app = create_app(settings)
    except (ConfigurationError, ValidationError) as error:
        sys.exit(f"artstore query: {error}")
    serve(app, settings)


if __name__ == "__main__":
    main()
