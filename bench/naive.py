"""The naive variant that Holdfast is measured against: flask-smorest, redis-py, one INSERT for each reserve.

It is written as one would at first: a blueprint with schemas, a script that checks and decrements, and the row in the
same request. It keeps less than Holdfast does: no payload check, no expiry, no outbox, no rebuild, no log line.
"""

import os
import time
import uuid
from typing import Any

import redis
from flask import Flask, request
from flask.views import MethodView
from flask_smorest import Api, Blueprint, abort
from marshmallow import Schema, fields, validate
from psycopg_pool import ConnectionPool

TABLE = """
CREATE TABLE IF NOT EXISTS naive_bookings (
  booking_id uuid PRIMARY KEY, event_id text NOT NULL, zone_id text NOT NULL, user_id text NOT NULL,
  quantity integer NOT NULL, unit_price numeric(12,2) NOT NULL, status text NOT NULL,
  idempotency_key text UNIQUE, reserved_at timestamptz NOT NULL DEFAULT now(), expires_at timestamptz NOT NULL
)"""
_INSERT = """
INSERT INTO naive_bookings
  (booking_id, event_id, zone_id, user_id, quantity, unit_price, status, idempotency_key, expires_at)
VALUES (%s, %s, %s, %s, %s, %s, 'reserved', %s, now() + interval '10 minutes')"""
_SCRIPT = """
local known = redis.call("GET", KEYS[4])
if known then return {2, known} end
local available = tonumber(redis.call("GET", KEYS[1]) or 0)
local quantity = tonumber(ARGV[1])
if available < quantity then return {0, "INSUFFICIENT_SEATS"} end
local taken = tonumber(redis.call("GET", KEYS[2]) or 0)
if taken + quantity > tonumber(ARGV[2]) then return {0, "MAX_TICKETS_EXCEEDED"} end
redis.call("DECRBY", KEYS[1], quantity)
redis.call("INCRBY", KEYS[2], quantity)
redis.call("EXPIRE", KEYS[2], 660)
redis.call("HSET", KEYS[3], "user_id", ARGV[4], "zone_id", ARGV[5], "event_id", ARGV[6], "quantity", quantity,
  "status", "reserved", "created_at", ARGV[7])
redis.call("EXPIRE", KEYS[3], 600)
redis.call("SET", KEYS[4], ARGV[3], "EX", 600)
return {1, ARGV[3]}
"""


class Order(Schema):
    event_id = fields.String(required=True)
    zone_id = fields.String(required=True)
    quantity = fields.Integer(required=True, validate=validate.Range(1, 10))
    idempotency_key = fields.String()


class Reserved(Schema):
    booking_id = fields.String()
    status = fields.String()
    event_id = fields.String()
    zone_id = fields.String()
    quantity = fields.Integer()
    unit_price = fields.String()
    expires_in = fields.Integer()


blueprint = Blueprint("bookings", __name__, url_prefix="/api/v1")


def create_app() -> Flask:
    app = Flask("naive")
    app.config.update(API_TITLE="naive", API_VERSION="1", OPENAPI_VERSION="3.1.0")
    # redis-py opens a hundred and refuses more: it would answer a crowd with 500.
    stores = redis.Redis.from_url(os.environ["NAIVE_REDIS_URL"], decode_responses=True, max_connections=1_000)
    pool = ConnectionPool(os.environ["DATABASE_URL"], min_size=4, max_size=8, open=True)
    with pool.connection() as connection:
        connection.execute(TABLE)
    app.extensions["naive"] = stores.register_script(_SCRIPT), pool, stores
    Api(app).register_blueprint(blueprint)

    @app.get("/livez")
    def live() -> dict[str, str]:
        return {"status": "ok"}

    return app


@blueprint.route("/bookings/reserve")
class Reserve(MethodView):
    @blueprint.arguments(Order)  # type: ignore[untyped-decorator]
    @blueprint.response(201, Reserved)  # type: ignore[untyped-decorator]
    def post(self, order: dict[str, Any]) -> dict[str, Any]:
        from flask import current_app

        script, pool, _ = current_app.extensions["naive"]
        user = request.headers["X-User-ID"]
        key = request.headers.get("Idempotency-Key") or order.get("idempotency_key") or str(uuid.uuid4())
        booking = str(uuid.uuid4())
        event, zone, quantity = order["event_id"], order["zone_id"], order["quantity"]
        keys = [f"zone:{event}:{zone}", f"user:{event}:{user}", f"booking:{booking}", f"idempotency:{user}:{key}"]
        code, told = script(keys=keys, args=[quantity, 10, booking, user, zone, event, time.time()])
        if code == 0:
            abort(409, message=told)
        if code == 1:
            with pool.connection() as connection:
                connection.execute(_INSERT, (booking, event, zone, user, quantity, "150.00", key))
        return {**order, "booking_id": told, "status": "reserved", "unit_price": "150.00", "expires_in": 600}
