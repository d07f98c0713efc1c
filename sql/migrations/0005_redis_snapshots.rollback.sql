DROP TABLE booking.redis_snapshots;
