"""Side-by-side measurements of a real system: `python -m bench`, `make bench`."""
