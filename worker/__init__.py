"""The worker: carries both outboxes to Kafka, records and settles what comes back, ends what is due, and rebuilds what
Redis forgot.

It is trusted with nothing: it can die at any line, and two can run at once. It never imports Flask.
"""
