"""`python -m artstore.query`: one process, one instance."""

from artstore.core.web.server import serve
from artstore.query.app import create_app
from artstore.query.settings import QuerySettings

if __name__ == "__main__":
    settings = QuerySettings()
    serve(create_app(settings), settings)
