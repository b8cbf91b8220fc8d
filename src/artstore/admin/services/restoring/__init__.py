"""Archived files that are to be read: a copy of each on an element in mode `edit`, for a while.

The archive keeps the file; a copy is a loan, and losing one loses nothing. Every step may be done
twice: an element that has the copy says so, and a row names the copy that the element told of.
"""
