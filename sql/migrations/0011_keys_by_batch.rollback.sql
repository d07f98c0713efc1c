ALTER TABLE booking.bookings ADD FOREIGN KEY (event_id, zone_id) REFERENCES booking.zones;
ALTER TABLE booking.booking_history ADD FOREIGN KEY (booking_id) REFERENCES booking.bookings;
