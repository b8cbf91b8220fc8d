"""What this module asks for, in its own words. No HTTP, no SQL."""
