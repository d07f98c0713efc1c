DROP TABLE booking.payments;
