DROP TABLE booking.purged_events;
