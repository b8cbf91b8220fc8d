"""Work that no request began."""
