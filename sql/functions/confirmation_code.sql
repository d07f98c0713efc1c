-- confirmation_code: twelve letters and digits (60 random bits, Crockford's base 32: nothing to misread) for the door.
-- Locks: none. Idempotent: a new one each time. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.confirmation_code() RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = booking, pg_temp AS $$
BEGIN
    RETURN (
        SELECT string_agg(substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', 1 + get_byte(r.bytes, i) % 32, 1), '')
        -- bytes 6 and 8 of a version 4 UUID are not random throughout: left out
        FROM
            (SELECT uuid_send(gen_random_uuid()) AS bytes) AS r,
            unnest('{0,1,2,3,4,5,9,10,11,12,13,14}'::integer[]) AS i
    );
END
$$;
