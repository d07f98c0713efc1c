-- One entry of the shard's outbox per transition, with all that Postgres needs to record it, whatever came before.
-- The stream's ids are "<epoch>-<n>": they are the shard's `seq`, and only grow.
-- Expects: call, epoch, outbox.
-- `...`: further fields and values, for what only this kind of transition has.
local function tell(kind, booking, r, at, ...)
  call(
    "XADD", outbox, epoch .. "-*", "kind", kind, "booking_id", booking, "event_id", r.event, "zone_id", r.zone,
    "user_id", r.user, "quantity", r.quantity, "unit_price_minor", r.price, "currency", r.currency,
    "reserved_at_ms", r.reserved_at, "deadline_ms", r.deadline, "version", r.version, "at_ms", at,
    "idempotency_key", r.key, "fingerprint", r.fingerprint, ...
  )
end
