DROP TYPE booking.entry CASCADE; -- with the functions that take it: a deploy loads those of its own version
