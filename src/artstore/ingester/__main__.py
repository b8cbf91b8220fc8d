"""`python -m artstore.ingester`: one process, one instance."""

from artstore.core.web.server import serve
from artstore.ingester.app import create_app
from artstore.ingester.settings import IngesterSettings

if __name__ == "__main__":
    settings = IngesterSettings()
    serve(create_app(settings), settings)
