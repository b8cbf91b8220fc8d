"""`python -m artstore.ingester`: one process, one instance."""

import sys

from pydantic import ValidationError

from artstore.core.settings import ConfigurationError
from artstore.core.web.server import serve
from artstore.ingester.app import create_app
from artstore.ingester.settings import IngesterSettings


def main() -> None:
    try:
        settings = IngesterSettings()
        app = create_app(settings)
    except (ConfigurationError, ValidationError) as error:
        sys.exit(f"artstore ingester: {error}")
    serve(app, settings)


if __name__ == "__main__":
    main()
