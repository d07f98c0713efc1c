// The nine dirty scenarios as load. It sees what clients see: answers, and then the end state, through the API alone.
//
//   k6 run dirty_scenarios.js                             all of them
//   k6 run dirty_scenarios.js --env SCENARIO=last_seat    one of them
//
// `setup_dirty_scenarios.py` has put their events on sale and written dirty_scenarios_seed.json: where, which events,
// how many clients, as whom. Servers die at the hands of whoever owns them (FAULTS_URL, which `make load` serves);
// without it the scenarios 5 and 6 are load alone. With ADMIN_TOKEN the two stores are compared as well.
import { sleep } from 'k6';
import exec from 'k6/execution';
import {
  ADMIN_TOKEN, ask, atOnce, confirm, counted, driftOf, expect, expectAnswer, FAULTS_URL, get, history, isPaid,
  isReleased, me, ordered, PAYMENTS, PLANS, released, reserve, sabotage, seatsOf, sleepUntil, timed, until,
} from './client.js';

const FIRST_AT_ONCE = 50;
const RETRIES = 3;
const RELEASES_AT_ONCE = 20;
const SWEPT_WITHIN_S = 5; // two seconds, and what a busy machine needs
const P95_MS = Number(__ENV.P95_MS || 1500);
const OUTAGES_ARE_OVER_S = 15;

// --- which scenarios, and what each must come to ---

const ALIASES = { last_seat: 'last_seat_race', idempotency: 'idempotency_retry', degradation: 'graceful_degradation' };
// Where all are asked for: one crowd after the other, and those that kill servers last. Seconds.
const STARTS = {
  idempotency_retry: 4, double_release: 10, network_timeout: 16, payment_timeout: 20, client_disconnect: 22,
  confirm_after_expiration: 24, consumer_crash: 45, graceful_degradation: 65,
};
const KILL_SERVERS = ['consumer_crash', 'graceful_degradation'];
const numbers = (count) => [...Array(count).keys()];
const all = (plan) => plan.clients * plan.rounds * plan.quantity;
const EXPECTED = {
  client_disconnect: (plan) => ({
    thresholds: { abandoned_reservations: [`count==${plan.clients * plan.rounds}`] },
  }),
  idempotency_retry: (plan) => ({
    held: all(plan),
    thresholds: { idempotency_hits: [`count==${plan.clients * plan.rounds * (FIRST_AT_ONCE - 1 + RETRIES)}`] },
  }),
  last_seat_race: (plan) => ({
    held: 1,
    thresholds: {
      concurrency_winners: ['count==1'],
      concurrency_losers: [`count==${plan.clients - 1}`],
      insufficient_seats_errors: [`count==${plan.clients - 1}`],
    },
  }),
  payment_timeout: (plan) => ({
    confirmed: plan.quantity * numbers(plan.clients).filter((n) => paymentOf(n).becomes === 'confirmed').length,
    thresholds: { confirm_duration: ['p(95)<4000'] },
  }),
  consumer_crash: (plan) => ({ confirmed: all(plan) / 2 }),
  graceful_degradation: (plan) => ({
    held: all(plan),
    thresholds: FAULTS_URL && {
      service_unavailable_503: ['count>0'],
      service_unavailable_duration: [`p(95)<${P95_MS}`],
    },
  }),
  network_timeout: (plan) => ({ held: all(plan), thresholds: { network_timeouts: ['count>0'] } }),
  double_release: (plan) => ({ held: all(plan) }),
  confirm_after_expiration: (plan) => ({ confirmed: all(plan) }),
};

const asked = __ENV.SCENARIO ? ALIASES[__ENV.SCENARIO] || __ENV.SCENARIO : null;
if (asked && !EXPECTED[asked]) {
  throw new Error(`SCENARIO is one of ${[...Object.keys(EXPECTED), ...Object.keys(ALIASES)].join(', ')}`);
}
const CHOSEN = asked ? [asked] : Object.keys(EXPECTED);

function scenario(name) {
  const saboteurs = FAULTS_URL && KILL_SERVERS.includes(name) ? 1 : 0;
  return {
    exec: name,
    executor: 'per-vu-iterations', // an iteration is a client with all that it does
    vus: PLANS[name].clients + saboteurs,
    iterations: 1,
    startTime: asked ? '0s' : `${STARTS[name] || 0}s`,
    maxDuration: '90s',
  };
}

export const options = {
  scenarios: Object.fromEntries(CHOSEN.map((name) => [name, scenario(name)])),
  thresholds: Object.assign(
    {
      scenario_success_rate: ['rate==1'],
      server_errors: ['count==0'],
      reservation_duration: [`p(95)<${P95_MS}`],
    },
    ...CHOSEN.map((name) => EXPECTED[name](PLANS[name]).thresholds),
  ),
  summaryTrendStats: ['min', 'p(50)', 'p(95)', 'p(99)', 'max'],
  batch: FIRST_AT_ONCE,
  batchPerHost: FIRST_AT_ONCE,
  teardownTimeout: '180s',
};

export function setup() {
  Object.values(counted).forEach((counter) => counter.add(0)); // so that all are in the summary
}

// --- 1 ---

export function client_disconnect() {
  const client = me();
  for (let round = 0; round < client.plan.rounds; round += 1) {
    // The second round needs the very seats of the first: there are no others.
    const got = reserve(client, `gone-${client.number}-${round}`);
    if (!expectAnswer('1: the seats of those who left are sold again', got, 201)) return;
    counted.abandoned.add(1);
    expect('1: it stands until its deadline', get(client, got.body.booking_id).body.status === 'reserved');
    sleepUntil(Date.parse(got.body.expires_at));
    const isOver = () => get(client, got.body.booking_id).body.status === 'expired';
    expect('1: it expires by itself', until(isOver, SWEPT_WITHIN_S), got.body);
  }
}

// --- 2 ---

export function idempotency_retry() {
  const client = me();
  for (let round = 0; round < client.plan.rounds; round += 1) {
    const key = `order-${client.number}-${round}`;
    const first = atOnce(FIRST_AT_ONCE, ordered(client, key, client.plan.quantity));
    first.forEach((got) => timed.reservation.add(got.ms));
    const answers = [...first, ...numbers(RETRIES).map(() => reserve(client, key))];
    const ids = new Set(answers.map((got) => got.body.booking_id));
    const isOne = ids.size === 1 && answers.every((got) => got.status === 201);
    counted.idempotencyHits.add(isOne ? answers.length - 1 : 0);
    expect('2: one key is one booking', isOne, [answers.map((got) => got.status), ...ids]);
    const fresh = answers.filter((got) => !got.headers['Idempotency-Replayed']);
    expect('2: all but the first are replays', fresh.length <= 1, fresh.length);
    const other = ask(...ordered(client, key, client.plan.quantity + 1));
    expectAnswer('2: the key for something else is refused', other, 422, 'IDEMPOTENCY_KEY_REUSED');
  }
}

// --- 3 ---

export function last_seat_race() {
  const client = me();
  sleepUntil(exec.scenario.startTime + 1000); // everybody is there
  const got = reserve(client, `last-${client.number}`);
  if (got.status === 201) {
    counted.winners.add(1);
  } else if (expectAnswer('3: the losers are told so', got, 409, 'INSUFFICIENT_SEATS')) {
    counted.losers.add(1);
    counted.insufficientSeats.add(1);
  }
}

// --- 4 ---

// The demo provider does what the payment's name asks for (dev/provider_server.py). Without a provider it is our answer
// that comes too late for the client.
function paymentOf(number) {
  const kinds = PAYMENTS === 'demo' ? [
    { prefix: 'timeout-then-succeed-', becomes: 'confirmed' },
    { prefix: 'timeout-then-fail-', becomes: 'expired' },
    { prefix: 'hang-', becomes: 'expired' },
    { prefix: 'lose-answer-', becomes: 'confirmed' },
  ] : [{ prefix: 'card-', becomes: 'confirmed', impatient: true }];
  return kinds[number % kinds.length];
}

export function payment_timeout() {
  const client = me();
  const { prefix, becomes, impatient } = paymentOf(client.number);
  const got = reserve(client, `pay-${client.number}`);
  if (!expectAnswer('4: reserved', got, 201)) return;
  const id = got.body.booking_id;
  const first = confirm(client, id, prefix + id, impatient && { timeout: '1ms' });
  if (first.status === 0) counted.networkTimeouts.add(1);
  expect('4: confirmed, or pending, or no answer', [0, 200, 202].includes(first.status), [first.status, first.body]);
  if (impatient) confirm(client, id, prefix + id);
  const ended = until(() => get(client, id).body.status === becomes, 60);
  expect('4: a ticket, or the seats are back: nothing is stuck', ended, [prefix, becomes]);
  const again = confirm(client, id, prefix + id);
  expectAnswer('4: asked again, it is as it was', again, becomes === 'confirmed' ? 200 : 404);
}

// --- 5 ---

export function consumer_crash() {
  const client = me();
  if (client.number >= client.plan.clients) return sabotage('worker/kill', 'worker/kill', 'worker/kill');
  const done = [];
  for (let round = 0; round < client.plan.rounds; round += 1) {
    const got = reserve(client, `crash-${client.number}-${round}`);
    if (!expectAnswer('5: reserved', got, 201)) return;
    const id = got.body.booking_id;
    sleep(0.3);
    const ending = round % 2 ? 'released' : 'confirmed';
    const isDone = round % 2 ? isReleased(client, id) : isPaid(client, id, `card-${id}`);
    expect('5: confirmed or released, worker or not', isDone, [id, ending]);
    done.push([id, `reserved,${ending}`]);
    sleep(0.3);
  }
  for (const [id, story] of done) {
    const told = until(() => history(client, id) === story, 30);
    expect('5: each transition is there, once', told, [id, story, history(client, id)]);
  }
}

// --- 6 ---

export function graceful_degradation() {
  const client = me();
  if (client.number >= client.plan.clients) return sabotage('redis/pause', 'redis/kill', 'redis/empty');
  const isServed = (key) => until(() => {
    const got = reserve(client, key, {});
    const isSound = got.status === 201 || (got.status === 503 && got.headers['Retry-After']);
    expect('6: served, or 503 with Retry-After', isSound, [got.status, got.body]);
    return got.status === 201;
  }, 20);
  const keys = numbers(client.plan.rounds).map((round) => `outage-${client.number}-${round}`);
  for (const key of keys) {
    expect('6: it sells again by itself', isServed(key), key);
    sleep(0.2);
  }
  // What an emptied Redis had told nobody is void; whoever asks again under its key has one reservation, not two.
  if (FAULTS_URL) sleepUntil(exec.scenario.startTime + OUTAGES_ARE_OVER_S * 1000);
  keys.forEach((key) => expect('6: asked again after it, one reservation', isServed(key), key));
}

// --- 7 ---

export function network_timeout() {
  const client = me();
  for (let round = 0; round < client.plan.rounds; round += 1) {
    const key = `lost-${client.number}-${round}`;
    const lost = reserve(client, key, { timeout: `${1 + round}ms` });
    if (lost.status === 0) counted.networkTimeouts.add(1);
    const retries = [reserve(client, key), reserve(client, key)];
    const ids = new Set([lost, ...retries].map((got) => got.body.booking_id).filter(Boolean));
    expect('7: a retry is served', retries.every((got) => got.status === 201), retries);
    expect('7: however often it was sent, it is one booking', ids.size === 1, [...ids]);
  }
}

// --- 8 ---

export function double_release() {
  const client = me();
  for (let round = 0; round < client.plan.rounds; round += 1) {
    expectAnswer('8: reserved', reserve(client, `kept-${client.number}-${round}`), 201);
    const order = released(client, reserve(client, `back-${client.number}-${round}`).body.booking_id);
    const answers = atOnce(RELEASES_AT_ONCE, order);
    const first = answers.filter((got) => got.status === 200);
    const isOne = first.length === 1 || (first.length === 0 && answers.some((got) => got.isAgain));
    expect('8: one of many releases is carried out', isOne, answers.map((got) => got.status));
    const others = [...answers.filter((got) => got.status !== 200), ask(...order)];
    others.forEach((got) => expectAnswer('8: the others find nothing', got, 404, 'RESERVATION_NOT_FOUND', 'released'));
  }
}

// --- 9 ---

export function confirm_after_expiration() {
  const client = me();
  const got = reserve(client, `late-${client.number}`);
  if (!expectAnswer('9: reserved', got, 201)) return;
  sleepUntil(Date.parse(got.body.expires_at) + 300);
  const late = confirm(client, got.body.booking_id, 'card-late');
  expectAnswer('9: too late', late, 404, 'RESERVATION_NOT_FOUND', 'expired');
  const anew = reserve(client, `anew-${client.number}`);
  expect('9: a new reservation works', isPaid(client, anew.body.booking_id, 'card-anew'), anew.body);
}

// --- the end state ---

export function teardown() {
  for (const name of CHOSEN) {
    const plan = PLANS[name];
    const { held = 0, confirmed = 0 } = EXPECTED[name](plan);
    const isRight = () => JSON.stringify(seatsOf(plan)) === JSON.stringify({ held, confirmed, conserved: true });
    expect(`${name}: in the end these seats are held and confirmed, and no others`, until(isRight, 20), seatsOf(plan));
    if (ADMIN_TOKEN) {
      expect(`${name}: in the end the stores agree`, until(() => driftOf(plan).length === 0, 30), driftOf(plan));
    }
  }
}
