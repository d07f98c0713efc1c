-- idempotency_digest: names a key within its scope as Redis does (app/domain/idempotency.py): the length of each part in
-- bytes keeps ("a", "bc") apart from ("ab", "c").
-- Locks: none. Idempotent: pure. Raises: nothing.
CREATE OR REPLACE FUNCTION booking.idempotency_digest(p_event_id text, p_user_id text, p_verb text, p_key text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT left(
        encode(
            sha256(
                convert_to(
                    octet_length(p_event_id) || ':' || p_event_id || octet_length(p_user_id) || ':' || p_user_id
                    || octet_length(p_verb) || ':' || p_verb || octet_length(p_key) || ':' || p_key,
                    'UTF8'
                )
            ),
            'hex'
        ),
        32
    )
$$;
