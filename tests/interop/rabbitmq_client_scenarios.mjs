// rabbitmq-client (npm): consumers, publishers and calls that mend themselves.

import {control, equal, eventually, fresh, ok, rejected, rejectedWith, require, run, url, urlWith} from './scenario.mjs';

const {Connection} = require('rabbitmq-client');

let connections = [];

function connect(options = {}) {
  const connection = new Connection({url, retryLow: 50, retryHigh: 200, ...options});
  connection.errors = [];
  connection.on('error', (error) => connection.errors.push(error));
  connections.push(connection);
  return connection;
}

/** A channel that needs no queue or exchange of before. */
async function openChannel() {
  const channel = await connect().acquire();
  channel.errors = [];
  channel.on('error', (error) => channel.errors.push(error));
  return channel;
}

async function cleanup(names) {
  for (const connection of connections) connection.unsafeDestroy();
  connections = [];
  if (names.length === 0) return;
  const connection = new Connection(url);
  for (const name of names) {
    try {
      await connection.queueDelete(name);
      await connection.exchangeDelete({exchange: name});
    } catch {
      // an exclusive queue whose connection is still closing
    }
  }
  await connection.close();
}

const scenarios = {
  async wrong_password_is_reported_with_403() {
    const connection = connect({url: urlWith({password: 'wrong'})});
    await eventually(() => connection.errors.length > 0, 'an error');
    equal(connection.errors[0].code, 'ACCESS_REFUSED', 'code');
  },

  async missing_vhost_is_reported_with_530() {
    const connection = connect({url: urlWith({pathname: '/nowhere'})});
    await eventually(() => connection.errors.length > 0, 'an error');
    equal(connection.errors[0].code, 'NOT_ALLOWED', 'code');
    ok(connection.errors[0].message.includes('vhost nowhere not found'), connection.errors[0].message);
  },

  async publisher_and_consumer_pass_json() {
    const connection = connect();
    const [queue, exchange] = [fresh(), fresh('exchange')];
    const received = [];
    const consumer = connection.createConsumer(
      {
        queue,
        queueOptions: {durable: true},
        qos: {prefetchCount: 2},
        concurrency: 2,
        exchanges: [{exchange, type: 'topic'}],
        queueBindings: [{exchange, routingKey: 'users.*'}],
      },
      async (message) => void received.push(message.body),
    );
    await new Promise((resolve) => consumer.on('ready', resolve));
    const publisher = connection.createPublisher({confirm: true, maxAttempts: 2});
    for (let id = 0; id < 20; id++) await publisher.send({exchange, routingKey: 'users.visit'}, {id});
    await publisher.send({exchange, routingKey: 'nobody'}, {id: -1});
    await eventually(() => received.length === 20, '20 deliveries');
    equal(received.map(({id}) => id), Array.from({length: 20}, (_, id) => id), 'order');
    await publisher.close();
    await consumer.close();
    equal(consumer.stats.acknowledged, 20, 'acknowledged');
  },

  async failing_handler_requeues_and_drop_status_drops() {
    const connection = connect();
    const queue = fresh();
    const seen = [];
    const consumer = connection.createConsumer({queue, queueOptions: {exclusive: true}}, async (message) => {
      seen.push([message.body, message.redelivered]);
      if (message.body === 'drop') return 2;
      if (message.body === 'throw' && !message.redelivered) throw new Error('as intended');
    });
    consumer.on('error', () => {});
    await new Promise((resolve) => consumer.on('ready', resolve));
    const publisher = connection.createPublisher({confirm: true});
    for (const body of ['throw', 'drop']) await publisher.send(queue, body);
    await eventually(() => seen.length === 3, '3 deliveries');
    equal(seen.filter(([body]) => body === 'throw'), [['throw', false], ['throw', true]], 'deliveries of the first');
    await consumer.close();
    await publisher.close();
  },

  async unroutable_message_is_returned_to_the_publisher() {
    const connection = connect();
    const returned = [];
    const publisher = connection.createPublisher({confirm: true});
    publisher.on('basic.return', (message) => returned.push(message));
    await publisher.send({routingKey: 'interop-nowhere', mandatory: true}, 'lost');
    await eventually(() => returned.length === 1, 'a return');
    equal([returned[0].replyCode, returned[0].replyText, returned[0].body], [312, 'NO_ROUTE', 'lost'], 'return');
    await publisher.close();
  },

  async calls_are_answered_over_direct_reply_to() {
    const connection = connect();
    const queue = fresh();
    const server = connection.createConsumer({queue, queueOptions: {exclusive: true}}, async (request, reply) => {
      await reply(request.body * 2);
    });
    await new Promise((resolve) => server.on('ready', resolve));
    const client = connection.createRPCClient({confirm: true, timeout: 10_000});
    const replies = await Promise.all([1, 2, 3].map((number) => client.send(queue, number)));
    equal(replies.map(({body}) => body), [2, 4, 6], 'replies');
    await client.close();
    await server.close();
  },

  async queue_and_exchange_methods_report_what_they_did() {
    const connection = connect();
    const [queue, exchange] = [fresh(), fresh('exchange')];
    await connection.exchangeDeclare({exchange, type: 'headers', autoDelete: true});
    const declared = await connection.queueDeclare({queue, durable: false, autoDelete: true});
    equal([declared.queue, declared.messageCount, declared.consumerCount], [queue, 0, 0], 'declare-ok');
    await connection.queueBind({queue, exchange, arguments: {'x-match': 'any', size: 3, colour: 'red'}});
    const channel = await connection.acquire();
    await channel.confirmSelect();
    for (const headers of [{size: 3}, {colour: 'red'}, {size: 4}]) await channel.basicPublish({exchange, headers}, 'x');
    await channel.close();
    const got = await connection.basicGet({queue, noAck: true});
    equal([got.body, got.messageCount], ['x', 1], 'get');
    equal((await connection.queuePurge(queue)).messageCount, 1, 'purged');
    equal(await connection.basicGet({queue, noAck: true}), undefined, 'get from an empty queue');
    await connection.queueUnbind({queue, exchange, arguments: {'x-match': 'any', size: 3, colour: 'red'}});
    const error = await rejected(connection.exchangeDeclare({exchange, passive: true}), 'passive declare');
    equal(error.code, 'NOT_FOUND', 'code');
  },

  async transaction_commits_and_rolls_back() {
    const channel = await openChannel();
    const {queue} = await channel.queueDeclare({exclusive: true});
    await channel.txSelect();
    await channel.basicPublish(queue, 'rolled back');
    await channel.txRollback();
    await channel.basicPublish(queue, 'committed');
    await channel.txCommit();
    equal((await channel.basicGet({queue, noAck: true})).body, 'committed', 'body');
    equal(await channel.basicGet({queue, noAck: true}), undefined, 'second body');
    await channel.close();
  },

  async channel_error_carries_name_and_text() {
    const channel = await openChannel();
    const error = await rejectedWith(
      channel.queueDeclare({queue: 'interop-nowhere', passive: true}),
      "no queue 'interop-nowhere' in vhost '/'",
    );
    equal(error.code, 'NOT_FOUND', 'code');
  },

  async consumer_comes_back_after_its_queue_was_deleted() {
    const connection = connect();
    const queue = fresh();
    const received = [];
    let ready = 0;
    const consumer = connection.createConsumer({queue, queueOptions: {durable: true}}, async (message) => {
      received.push(message.body);
    });
    consumer.on('error', () => {});
    consumer.on('ready', () => (ready += 1));
    await eventually(() => ready === 1, 'the consumer');
    await connection.queueDelete(queue);
    await eventually(() => ready === 2, 'the consumer again, after basic.cancel');
    const publisher = connection.createPublisher({confirm: true});
    await publisher.send(queue, 'again');
    await eventually(() => received.length === 1, 'a delivery');
    await publisher.close();
    await consumer.close();
  },

  async two_hundred_publishes_at_once_are_all_confirmed() {
    const connection = connect();
    const queue = fresh();
    await connection.queueDeclare({queue, durable: true});
    const publisher = connection.createPublisher({confirm: true});
    const bodies = Array.from({length: 200}, (_, number) => number);
    await Promise.all(bodies.map((number) => publisher.send({routingKey: queue, durable: number % 2 === 0}, number)));
    const found = [];
    for (;;) {
      const message = await connection.basicGet({queue, noAck: true});
      if (!message) break;
      found.push(message.body);
    }
    equal(found, bodies, 'bodies');
    await publisher.close();
  },

  async everything_comes_back_after_a_restart() {
    const connection = connect();
    const queue = fresh();
    const received = [];
    const consumer = connection.createConsumer({queue, queueOptions: {durable: true}}, async (message) => {
      received.push(message.body);
    });
    consumer.on('error', () => {});
    await new Promise((resolve) => consumer.on('ready', resolve));
    const publisher = connection.createPublisher({confirm: true, maxAttempts: 20});
    await publisher.send({routingKey: queue, durable: true}, 'before');
    await control('restart');
    await publisher.send({routingKey: queue, durable: true}, 'after');
    await eventually(() => received.includes('after'), 'a delivery after the restart');
    ok(received.includes('before'), `deliveries: ${received}`);
    await publisher.close();
    await consumer.close();
  },
};

scenarios.everything_comes_back_after_a_restart.needs = ['restart'];

await run(scenarios, cleanup);
