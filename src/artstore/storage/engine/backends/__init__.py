"""Where the files of an element lie: on its own volume, or in a bucket."""
