// One client of the load: who it is, what it asks, what is counted. Scenarios and their ends: dirty_scenarios.js.
import { check, sleep } from 'k6';
import { SharedArray } from 'k6/data';
import exec from 'k6/execution';
import http from 'k6/http';
import { Counter, Rate, Trend } from 'k6/metrics';

const read = () => JSON.parse(open('./dirty_scenarios_seed.json'));
const users = new SharedArray('users', () => read().users);
const seed = new SharedArray('seed', () => [{ ...read(), users: [] }])[0];
export const PLANS = seed.scenarios;
export const PAYMENTS = seed.payments;
export const { ADMIN_TOKEN, FAULTS_URL } = __ENV;
const PATIENCE_S = 20;
const API = `${seed.base_url}/api/v1`;

const successRate = new Rate('scenario_success_rate');
export const counted = {
  abandoned: new Counter('abandoned_reservations'),
  idempotencyHits: new Counter('idempotency_hits'),
  insufficientSeats: new Counter('insufficient_seats_errors'),
  winners: new Counter('concurrency_winners'),
  losers: new Counter('concurrency_losers'),
  unavailable: new Counter('service_unavailable_503'),
  networkTimeouts: new Counter('network_timeouts'),
  serverErrors: new Counter('server_errors'), // any 5xx that is not a 503: a bug
};
export const timed = {
  reservation: new Trend('reservation_duration', true),
  confirm: new Trend('confirm_duration', true),
  unavailable: new Trend('service_unavailable_duration', true),
};

export function me() {
  const number = exec.scenario.iterationInTest;
  const plan = PLANS[exec.scenario.name];
  const place = plan.places[number % plan.places.length];
  return { number, plan, ...place, user: users[plan.first_user + number] };
}

function identity(user) {
  return seed.auth_mode === 'gateway' ? { 'X-User-ID': user.id } : { Authorization: `Bearer ${user.token}` };
}

// As http.batch takes it. `more`: `name` for the summary, `timeout`; all others are headers.
export function request(method, path, client, body, { name = path, timeout = '10s', ...headers } = {}) {
  const whole = { ...identity(client.user), 'Content-Type': 'application/json', ...headers };
  const text = body === undefined ? null : JSON.stringify(body);
  return [method, API + path, text, { timeout, headers: whole, tags: { name } }];
}

export function heard(answer) {
  if (answer.status === 503) {
    counted.unavailable.add(1);
    timed.unavailable.add(answer.timings.duration);
  } else if (answer.status >= 500) {
    counted.serverErrors.add(1);
  }
  const isJson = (answer.headers['Content-Type'] || '').includes('json');
  const { status, headers, timings } = answer;
  return { status, headers, body: isJson ? answer.json() : {}, ms: timings.duration };
}

export function askOnce(...order) {
  return heard(http.request(...request(...order)));
}

// As the API advises: what got no answer, or 503, is asked again. It may have been carried out: each verb bears that.
export function ask(...order) {
  let got = askOnce(...order);
  const deadline = Date.now() + PATIENCE_S * 1000;
  while ((got.status === 503 || got.status === 0) && Date.now() < deadline) {
    sleep(Number(got.headers['Retry-After'] || 1));
    got = { ...askOnce(...order), isAgain: true };
  }
  return got;
}

// The same request so many times at once.
export function atOnce(times, order) {
  const answers = http.batch([...Array(times)].map(() => request(...order))).map(heard);
  return answers.map((got) => (got.status === 503 || got.status === 0 ? { ...ask(...order), isAgain: true } : got));
}

export function ordered(client, key, quantity, more) {
  const body = { event_id: client.event_id, zone_id: client.zone_id, quantity, unit_price: client.plan.unit_price };
  const headers = key ? { 'Idempotency-Key': key } : {};
  return ['POST', '/bookings/reserve', client, body, { ...headers, ...more }];
}

// With `more` (a timeout of its own) it is asked once.
export function reserve(client, key, more) {
  const got = (more ? askOnce : ask)(...ordered(client, key, client.plan.quantity, more));
  if (got.status) timed.reservation.add(got.ms);
  return got;
}

export function confirm(client, id, payment, more) {
  const order = ['POST', `/bookings/${id}/confirm`, client, { payment_id: payment }, { name: 'confirm', ...more }];
  const got = (more ? askOnce : ask)(...order);
  if (got.status) timed.confirm.add(got.ms);
  return got;
}

// Whether it is confirmed in the end: a busy provider may first leave it pending.
export function isPaid(client, id, payment) {
  return until(() => confirm(client, id, payment).status === 200, PATIENCE_S);
}

export function released(client, id) {
  return ['DELETE', `/bookings/${id}`, client, undefined, { name: 'release' }];
}

export function isReleased(client, id) {
  const got = ask(...released(client, id));
  return got.status === 200 || (got.isAgain && got.body.reason === 'released');
}

export function get(client, id) {
  return ask('GET', `/bookings/${id}`, client, undefined, { name: 'get' });
}

export function history(client, id) {
  const { body } = ask('GET', `/bookings/${id}/history`, client, undefined, { name: 'history' });
  return (body.data || []).map((line) => line.status).join();
}

export function expect(what, ok, seen) {
  check(null, { [what]: () => Boolean(ok) });
  successRate.add(Boolean(ok));
  if (!ok) console.error(`${what}: ${JSON.stringify(seen)}`);
  return ok;
}

export function expectAnswer(what, got, status, code, reason) {
  const { body } = got;
  const ok = got.status === status && (!code || body.code === code) && (!reason || body.reason === reason);
  return expect(what, ok, [got.status, body]);
}

export function until(condition, seconds) {
  const deadline = Date.now() + seconds * 1000;
  let seen = condition();
  while (!seen && Date.now() < deadline) {
    sleep(0.2);
    seen = condition();
  }
  return seen;
}

export function sleepUntil(moment) {
  sleep(Math.max(0, moment - Date.now()) / 1000);
}

// Whoever owns the servers does it, and answers when it is done.
export function sabotage(...faults) {
  for (const fault of faults) {
    sleep(1);
    const done = http.post(`${FAULTS_URL}/${fault}`, null, { timeout: '30s', tags: { name: fault } });
    expect(`the fault came: ${fault}`, done.status === 204, done.status);
  }
}

function looked(path, headers = {}) {
  return heard(http.get(API + path, { headers, tags: { name: 'end state' } })).body;
}

// Of all places of the plan together.
export function seatsOf(plan) {
  const zones = plan.places.map((place) => looked(`/events/${place.event_id}/zones/${place.zone_id}`));
  const sum = (what) => zones.reduce((total, zone) => total + zone[what], 0);
  const whole = (zone) => zone.available >= 0 && zone.available + zone.held + zone.confirmed === zone.capacity;
  return { held: sum('held'), confirmed: sum('confirmed'), conserved: zones.every(whole) };
}

// The zones in which the stores differ.
export function driftOf(plan) {
  const headers = { Authorization: `Bearer ${ADMIN_TOKEN}` };
  const events = [...new Set(plan.places.map((place) => place.event_id))];
  const zones = events.flatMap((id) => looked(`/admin/inventory?event_id=${id}`, headers).data || [{ event_id: id }]);
  return zones.filter((zone) => !zone.redis || Object.values(zone.drift).some((seats) => seats !== 0));
}
