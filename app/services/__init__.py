"""One verb per module. A service knows the rules of the seam, and nothing of Flask, Redis or Postgres: it has ports."""
