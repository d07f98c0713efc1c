"""Starts, stops and disturbs real PostgreSQL, Redis, Kafka, gunicorn and worker processes on loopback.

`make run` uses it, and so do the tests and benchmarks: there is one way to start each server.
Nothing in `app` or `worker` imports it.
"""
