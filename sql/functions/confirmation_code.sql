-- confirmation_code: twelve letters and digits (60 random bits, Crockford's base 32: nothing to misread) for the door.
-- Locks: none. Idempotent: a new one each time. Raises: nothing.
-- No path is set, and no query asked: either would cost more than the rest, and each confirm takes one.
CREATE OR REPLACE FUNCTION booking.confirmation_code() RETURNS text
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_digits CONSTANT text := '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
    v_random CONSTANT bytea := uuid_send(gen_random_uuid());
    v_code text := '';
BEGIN
    FOR v_byte IN 0..14 LOOP
        CONTINUE WHEN v_byte BETWEEN 6 AND 8; -- of a version 4 UUID, 6 and 8 are not random throughout
        v_code := v_code || substr(v_digits, 1 + get_byte(v_random, v_byte) % 32, 1);
    END LOOP;
    RETURN v_code;
END
$$;
