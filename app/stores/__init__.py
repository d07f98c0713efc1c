"""The only importers of redis and psycopg.

Each boundary has one translator: a Lua reply or a driver's error goes in, a result or a refusal comes out.
"""
