"""ArtStore keeps documents for decades, proves them unchanged and finds them again."""

__version__ = "0.1.0"
