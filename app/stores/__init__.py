"""The only importers of redis and psycopg. Each boundary has one translator: Lua reply or driver's error in, result or refusal out."""
