// The same as scenario.py, for the Node.js suites: runs named scenarios against the broker at AMQP_URL and prints one
// line for each. Packages come from the folder in INTEROP_NODE_PACKAGES, not from beside the scripts.

import {createRequire} from 'node:module';
import {randomBytes} from 'node:crypto';
import {isDeepStrictEqual, inspect} from 'node:util';
import {createInterface} from 'node:readline';
import path from 'node:path';

const SECONDS_PER_SCENARIO = 60;
const SECONDS_TO_EVENTUALLY = 15;

export const require = createRequire(path.join(process.env.INTEROP_NODE_PACKAGES ?? process.cwd(), 'package.json'));
export const url = process.env.AMQP_URL ?? 'amqp://guest:guest@127.0.0.1:5672';

const runId = randomBytes(3).toString('hex');
let named = 0;
let names = [];

/** The broker did something else than the scenario expects. */
export class Failure extends Error {}

/** AMQP_URL with another password, user or vhost. */
export function urlWith(parts) {
  const changed = new URL(url);
  for (const [part, value] of Object.entries(parts)) changed[part] = value;
  return changed.href;
}

/** A name that nothing else uses. Queues and exchanges with such names are deleted after the scenario. */
export function fresh(kind = 'queue') {
  return remember(`interop-${runId}-${++named}-${kind}`);
}

/** Has a queue or exchange with a name of the scenario's own choice deleted after the scenario. */
export function remember(name) {
  names.push(name);
  return name;
}

export function equal(actual, expected, what = 'value') {
  if (!isDeepStrictEqual(actual, expected)) {
    throw new Failure(`${what}: expected ${short(expected)}, got ${short(actual)}`);
  }
}

export function ok(condition, what) {
  if (!condition) throw new Failure(what);
}

/** The promise must be rejected; returns the error. */
export async function rejected(promise, what) {
  let value;
  try {
    value = await promise;
  } catch (error) {
    return error;
  }
  throw new Failure(`${what}: succeeded with ${short(value)}`);
}

/** The broker's text must be part of the error's message: clients wrap it in words of their own. */
export async function rejectedWith(promise, text) {
  const error = await rejected(promise, text);
  ok(error.message.includes(text), `expected an error with ${short(text)}, got ${short(error.message)}`);
  return error;
}

export const soon = () => new Promise((resolve) => setTimeout(resolve, 20));

/** Calls `probe` until it returns something true, and returns that. */
export async function eventually(probe, what, seconds = SECONDS_TO_EVENTUALLY) {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    const result = await probe();
    if (result) return result;
    if (Date.now() > deadline) throw new Failure(`not within ${seconds} s: ${what} (last: ${short(result)})`);
    await soon();
  }
}

let answers;

/** Has the owner of the broker do something, e.g. `restart`. */
export async function control(request) {
  answers ??= createInterface({input: process.stdin})[Symbol.asyncIterator]();
  console.log(`control ${request}`);
  const {value} = await answers.next();
  if (!value?.startsWith('done')) throw new Failure(`control ${request}: ${value ?? 'no answer'}`);
}

/**
 * Runs `scenarios`, an object of async functions, and exits. A function's `needs` are the controls it asks for;
 * `cleanup(names)` closes connections and deletes queues and exchanges so named.
 */
export async function run(scenarios, cleanup) {
  const controls = new Set((process.env.INTEROP_CONTROL ?? '').split(' '));
  const wanted = process.argv.slice(2);
  const counts = {ok: 0, FAIL: 0, skip: 0};
  for (const [name, scenario] of Object.entries(scenarios)) {
    if (wanted.length > 0 && !wanted.some((part) => name.includes(part))) continue;
    const missing = (scenario.needs ?? []).filter((need) => !controls.has(need));
    const [verdict, detail] =
      missing.length > 0 ? ['skip', `: needs ${missing.join(' ')}`] : await runOne(scenario, cleanup);
    counts[verdict] += 1;
    console.log(`${verdict} ${name}${detail}`);
  }
  const skipped = counts.skip > 0 ? `, ${counts.skip} skipped` : '';
  console.log(`${counts.ok} passed, ${counts.FAIL} failed${skipped}`);
  process.exit(counts.FAIL > 0 || counts.ok === 0 ? 1 : 0);
}

async function runOne(scenario, cleanup) {
  let result = ['ok', ''];
  try {
    await withDeadline(scenario());
  } catch (error) {
    result = ['FAIL', `: ${describe(error)}`];
  }
  try {
    await withDeadline(cleanup(names));
  } catch (error) {
    if (result[0] === 'ok') result = ['FAIL', `: cleaning up: ${describe(error)}`];
  }
  names = [];
  return result;
}

async function withDeadline(promise) {
  let timer;
  const late = new Promise((_resolve, reject) => {
    const message = `not finished after ${SECONDS_PER_SCENARIO} s`;
    timer = setTimeout(() => reject(new Failure(message)), SECONDS_PER_SCENARIO * 1000);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

function describe(error) {
  const line = /(\w+_scenarios\.mjs:\d+)/.exec(error?.stack ?? '')?.[1];
  const kind = error instanceof Failure ? '' : `${error?.name}: `;
  return `${kind}${error?.message ?? error}${line ? ` (${line})` : ''}`.replace(/\s+/g, ' ');
}

function short(value) {
  const text = inspect(value, {breakLength: Infinity, depth: 6});
  return text.length <= 300 ? text : `${text.slice(0, 280)}... (${text.length} characters)`;
}
