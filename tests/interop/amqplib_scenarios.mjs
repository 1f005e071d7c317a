// amqplib (npm): the promise API for most, the callback API for what it does differently.

import {
  control,
  equal,
  eventually,
  fresh,
  ok,
  rejectedWith,
  rejected,
  remember,
  require,
  run,
  url,
  urlWith,
} from './scenario.mjs';

const amqplib = require('amqplib');
const callbackApi = require('amqplib/callback_api');

let connections = [];

async function connect(query = '', options = {}) {
  const connection = await amqplib.connect(url + query, options);
  connection.on('error', () => {}); // scenarios look at the errors of channels and promises
  connections.push(connection);
  return connection;
}

async function channelOf(connection, kind = 'createChannel') {
  const channel = await connection[kind]();
  channel.errors = [];
  channel.on('error', (error) => channel.errors.push(error));
  return channel;
}

async function openChannel(query) {
  return channelOf(await connect(query));
}

async function openConfirmChannel() {
  return channelOf(await connect(), 'createConfirmChannel');
}

async function cleanup(names) {
  for (const connection of connections) {
    try {
      await connection.close();
    } catch {
      // already closed by the scenario or by the broker
    }
  }
  connections = [];
  if (names.length === 0) return;
  const connection = await amqplib.connect(url);
  for (const name of names) {
    for (const kind of ['deleteQueue', 'deleteExchange']) {
      const channel = await channelOf(connection);
      try {
        await channel[kind](name);
        await channel.close();
      } catch {
        // an exclusive queue whose connection is still closing
      }
    }
  }
  await connection.close();
}

const text = (message) => message.content.toString();

async function exclusiveQueue(channel, ...bodies) {
  const {queue} = await channel.assertQueue('', {exclusive: true});
  for (const body of bodies) channel.sendToQueue(queue, Buffer.from(body));
  return queue;
}

async function drain(channel, queue) {
  const found = [];
  for (;;) {
    const message = await channel.get(queue, {noAck: true});
    if (message === false) return found;
    found.push(text(message));
  }
}

/** Consumes into an array; null stands for a cancel by the broker. */
async function subscribe(channel, queue, options) {
  const received = [];
  const {consumerTag} = await channel.consume(queue, (message) => received.push(message), options);
  received.tag = consumerTag;
  return received;
}

const hasReady = (channel, queue, count) =>
  eventually(async () => (await channel.checkQueue(queue)).messageCount === count, `${count} ready messages`);

const arrived = (received, count) =>
  eventually(() => received.length >= count, `${count} deliveries`).then(() =>
    equal(received.length, count, 'deliveries'),
  );

const scenarios = {
  async server_properties_are_readable() {
    const connection = await connect();
    const {serverProperties} = connection.connection;
    ok(serverProperties.product && serverProperties.version, 'product and version');
    equal(serverProperties.capabilities.consumer_cancel_notify, true, 'capability');
  },

  async wrong_password_is_refused_with_403() {
    await rejectedWith(
      amqplib.connect(urlWith({password: 'wrong'})),
      'ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.',
    );
  },

  async missing_vhost_is_refused_with_530() {
    // The library names the method it got, not its text.
    const refused = amqplib.connect(urlWith({pathname: '/nowhere'}));
    await rejectedWith(refused, 'Expected ConnectionOpenOk; got <ConnectionClose channel:0>');
  },

  async amqplain_login_works() {
    const {username, password} = new URL(url);
    const connection = await connect('', {credentials: amqplib.credentials.amqplain(username, password)});
    const channel = await channelOf(connection);
    await exclusiveQueue(channel);
  },

  async update_secret_is_answered() {
    const connection = await connect();
    await connection.updateSecret(Buffer.from(new URL(url).password), 'rotation');
    await exclusiveQueue(await channelOf(connection));
  },

  async heartbeats_keep_an_idle_connection() {
    const connection = await connect('?heartbeat=1');
    let beats = 0;
    const raw = connection.connection;
    const accept = raw.heartbeater;
    ok(accept, 'heartbeats were negotiated');
    raw.stream.on('data', () => (beats += 1));
    await eventually(() => beats >= 3, 'three heartbeats from the broker');
    await exclusiveQueue(await channelOf(connection));
  },

  async small_frames_carry_large_bodies() {
    const channel = await openChannel('?frameMax=4096');
    const limit = 4096 - 8;
    for (const size of [0, 1, limit - 1, limit, limit + 1, 2 * limit, 100_000]) {
      const queue = await exclusiveQueue(channel);
      const body = Buffer.alloc(size, (size % 26) + 97);
      channel.sendToQueue(queue, body);
      const message = await channel.get(queue, {noAck: true});
      ok(message && message.content.equals(body), `body of ${size} bytes`);
    }
  },

  async body_of_5_mb_comes_back() {
    const channel = await openConfirmChannel();
    const queue = await exclusiveQueue(channel);
    const body = Buffer.alloc(5_000_000, 'leveret');
    channel.sendToQueue(queue, body);
    await channel.waitForConfirms();
    const received = await subscribe(channel, queue, {noAck: true});
    await arrived(received, 1);
    ok(received[0].content.equals(body), 'body comes back unchanged');
  },

  async channel_max_is_negotiated() {
    const connection = await connect('?channelMax=3');
    for (let i = 0; i < 3; i++) await channelOf(connection);
    await rejected(connection.createChannel(), 'a fourth channel');
  },

  async hundred_channels_work_side_by_side() {
    const connection = await connect();
    const channels = await Promise.all(Array.from({length: 100}, () => channelOf(connection)));
    const queue = await exclusiveQueue(channels[0]);
    for (const channel of channels) channel.sendToQueue(queue, Buffer.from('x'));
    await hasReady(channels[50], queue, 100);
    await Promise.all(channels.map((channel) => channel.close()));
  },

  async channel_number_is_free_again_at_once() {
    const connection = await connect();
    for (let i = 0; i < 30; i++) {
      const channel = await channelOf(connection);
      equal(channel.ch, 1, 'channel number');
      if (i % 2 === 0) await channel.close();
      else await rejectedWith(channel.checkQueue('interop-nowhere'), "NOT_FOUND - no queue 'interop-nowhere' in vhost '/'");
    }
  },

  async check_of_missing_things_is_404() {
    const connection = await connect();
    const queue = await channelOf(connection);
    await rejectedWith(queue.checkQueue('interop-nowhere'), "NOT_FOUND - no queue 'interop-nowhere' in vhost '/'");
    const exchange = await channelOf(connection);
    await rejectedWith(
      exchange.checkExchange('interop-nowhere'),
      "NOT_FOUND - no exchange 'interop-nowhere' in vhost '/'",
    );
  },

  async assert_with_other_properties_is_406() {
    const connection = await connect();
    const name = fresh();
    const first = await channelOf(connection);
    await first.assertQueue(name, {durable: true});
    await first.assertExchange(name, 'direct', {durable: true});
    await rejectedWith(
      first.assertQueue(name, {durable: false}),
      `PRECONDITION_FAILED - inequivalent arg 'durable' for queue '${name}' in vhost '/': received 'false' but current is 'true'`,
    );
    const second = await channelOf(connection);
    await rejectedWith(
      second.assertExchange(name, 'fanout', {durable: true}),
      `PRECONDITION_FAILED - inequivalent arg 'type' for exchange '${name}' in vhost '/': received 'fanout' but current is 'direct'`,
    );
  },

  async integer_arguments_of_any_width_are_equal() {
    const channel = await openChannel();
    const queue = fresh();
    for (const type of ['short', 'unsignedshort', 'int', 'unsignedint', 'long']) {
      await channel.assertQueue(queue, {durable: false, arguments: {'x-message-ttl': {'!': type, value: 30000}}});
    }
    await rejectedWith(
      channel.assertQueue(queue, {durable: false, arguments: {'x-message-ttl': {'!': 'long', value: 30001}}}),
      `PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue '${queue}' in vhost '/': received '30001' but current is '30000'`,
    );
  },

  async line_ends_are_stripped_from_names() {
    const channel = await openChannel();
    const queue = fresh();
    equal((await channel.assertQueue(`${queue}\r\n`, {exclusive: true})).queue, queue, 'name in declare-ok');
    await channel.checkQueue(queue);
  },

  async server_named_queue_and_consumer_tag() {
    const channel = await openChannel();
    const queue = await exclusiveQueue(channel);
    ok(queue.startsWith('amq.gen-'), `queue name ${queue}`);
    const received = await subscribe(channel, queue);
    ok(received.tag.startsWith('amq.ctag-'), `consumer tag ${received.tag}`);
    channel.sendToQueue(queue, Buffer.from('x'));
    await arrived(received, 1);
    equal(received[0].fields.consumerTag, received.tag, 'consumer tag of the delivery');
  },

  async names_with_unicode_come_back() {
    const channel = await openChannel();
    const name = remember('interop Ω/ñ 🐇 q');
    await channel.assertQueue(name, {durable: false});
    await channel.assertExchange(name, 'direct', {durable: false});
    await channel.bindQueue(name, name, '🐇');
    channel.publish(name, '🐇', Buffer.from('x'));
    const message = await channel.get(name, {noAck: true});
    equal([message.fields.exchange, message.fields.routingKey], [name, '🐇'], 'exchange and key');
  },

  async every_field_type_comes_back() {
    const channel = await openChannel();
    const queue = await exclusiveQueue(channel);
    const sent = {
      byte: {'!': 'byte', value: -128},
      ubyte: {'!': 'unsignedbyte', value: 255},
      short: {'!': 'short', value: -32768},
      ushort: {'!': 'unsignedshort', value: 65535},
      int: {'!': 'int', value: -2147483648},
      uint: {'!': 'unsignedint', value: 4294967295},
      long: {'!': 'long', value: Number.MIN_SAFE_INTEGER},
      float: {'!': 'float', value: 0.5},
      double: {'!': 'double', value: Math.PI},
      timestamp: {'!': 'timestamp', value: 1_700_000_000},
      decimal: {'!': 'decimal', value: {places: 3, digits: 123456}},
      bytes: Buffer.from([0, 255, 10]),
      yes: true,
      no: false,
      nothing: null,
      text: 'grün 🐇',
      empty: '',
      table: {inner: {innermost: {'!': 'unsignedbyte', value: 200}}, list: []},
      array: [1, [2, [3]], {four: 4}, null, 'five'],
    };
    const expected = {
      ...sent,
      byte: -128,
      ubyte: 255,
      short: -32768,
      ushort: 65535,
      int: -2147483648,
      uint: 4294967295,
      long: Number.MIN_SAFE_INTEGER,
      float: 0.5,
      double: Math.PI,
      table: {inner: {innermost: 200}, list: []},
    };
    channel.sendToQueue(queue, Buffer.from('x'), {headers: sent});
    const {properties} = await channel.get(queue, {noAck: true});
    equal(properties.headers, expected, 'headers');
  },

  async all_properties_come_back() {
    const channel = await openChannel();
    const queue = await exclusiveQueue(channel);
    const properties = {
      contentType: 'a/b',
      contentEncoding: 'none',
      headers: {},
      deliveryMode: 2,
      priority: 9,
      correlationId: 'c',
      replyTo: 'r',
      expiration: '100000',
      messageId: 'm',
      timestamp: 1_234_567,
      type: 't',
      userId: new URL(url).username,
      appId: 'a',
    };
    channel.sendToQueue(queue, Buffer.from('x'), properties);
    const message = await channel.get(queue, {noAck: true});
    equal({...message.properties}, {...properties, clusterId: undefined}, 'properties');
  },

  async topic_and_exchange_bindings_route() {
    const channel = await openChannel();
    const [source, middle] = [fresh('exchange'), fresh('exchange')];
    await channel.assertExchange(source, 'topic', {autoDelete: true});
    await channel.assertExchange(middle, 'fanout', {autoDelete: true});
    const queue = await exclusiveQueue(channel);
    await channel.bindQueue(queue, middle, '');
    await channel.bindExchange(middle, source, 'a.*.c');
    for (const key of ['a.b.c', 'a.c', 'a.b.d']) channel.publish(source, key, Buffer.from(key));
    equal(await drain(channel, queue), ['a.b.c'], 'bodies');
    await channel.unbindExchange(middle, source, 'a.*.c');
    await channel.unbindQueue(queue, middle, '');
    await rejectedWith(channel.checkExchange(source), `NOT_FOUND - no exchange '${source}' in vhost '/'`);
  },

  async alternate_exchange_option_works() {
    const channel = await openChannel();
    const [main, rest] = [fresh('exchange'), fresh('exchange')];
    await channel.assertExchange(rest, 'fanout', {durable: false});
    await channel.assertExchange(main, 'direct', {durable: false, alternateExchange: rest});
    const queue = await exclusiveQueue(channel);
    await channel.bindQueue(queue, rest, '');
    channel.publish(main, 'nobody', Buffer.from('caught'));
    equal(await drain(channel, queue), ['caught'], 'bodies');
  },

  async internal_exchange_refuses_publishes() {
    const channel = await openChannel();
    const exchange = fresh('exchange');
    await channel.assertExchange(exchange, 'fanout', {internal: true, durable: false});
    channel.publish(exchange, '', Buffer.from('x'));
    await eventually(() => channel.errors.length > 0, 'the channel closed');
    ok(
      channel.errors[0].message.includes(
        `ACCESS_REFUSED - cannot publish to internal exchange '${exchange}' in vhost '/'`,
      ),
      channel.errors[0].message,
    );
    equal(channel.errors[0].code, 403, 'code');
  },

  async exclusive_queue_is_locked_for_others() {
    const owner = await openChannel();
    const queue = await exclusiveQueue(owner);
    await rejectedWith(
      (await openChannel()).checkQueue(queue),
      `RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '${queue}' in vhost '/'.`,
    );
  },

  async purge_and_delete_report_counts() {
    const channel = await openChannel();
    const queue = await exclusiveQueue(channel, 'a', 'b', 'c');
    await hasReady(channel, queue, 3);
    equal((await channel.purgeQueue(queue)).messageCount, 3, 'purged');
    channel.sendToQueue(queue, Buffer.from('d'));
    equal((await channel.deleteQueue(queue)).messageCount, 1, 'deleted');
    equal((await channel.deleteQueue(queue)).messageCount, 0, 'deleted again');
  },

  async delete_conditions_are_406() {
    const connection = await connect();
    const channel = await channelOf(connection);
    const queue = await exclusiveQueue(channel, 'x');
    await rejectedWith(
      (await channelOf(connection)).deleteQueue(queue, {ifEmpty: true}),
      `PRECONDITION_FAILED - queue '${queue}' in vhost '/' not empty`,
    );
    await subscribe(channel, queue);
    await rejectedWith(
      (await channelOf(connection)).deleteQueue(queue, {ifUnused: true}),
      `PRECONDITION_FAILED - queue '${queue}' in vhost '/' in use`,
    );
  },

  async get_returns_false_on_an_empty_queue() {
    const channel = await openChannel();
    const queue = await exclusiveQueue(channel, 'a', 'b');
    const first = await channel.get(queue);
    equal([text(first), first.fields.messageCount, first.fields.redelivered], ['a', 1, false], 'first get');
    channel.nack(first);
    const again = await channel.get(queue);
    equal([text(again), again.fields.messageCount, again.fields.redelivered], ['a', 1, true], 'second get');
    channel.ack(again);
    equal(await drain(channel, queue), ['b'], 'bodies');
    equal(await channel.get(queue), false, 'empty get');
  },

  async cancel_by_the_broker_delivers_null() {
    const channel = await openChannel();
    const queue = await exclusiveQueue(channel);
    const received = await subscribe(channel, queue);
    await channel.deleteQueue(queue);
    await arrived(received, 1);
    equal(received[0], null, 'message');
  },

  async cancelled_consumer_gets_nothing_more() {
    const channel = await openChannel();
    const queue = await exclusiveQueue(channel);
    const received = await subscribe(channel, queue);
    await channel.cancel(received.tag);
    channel.sendToQueue(queue, Buffer.from('x'));
    await hasReady(channel, queue, 1);
    equal([...received], [], 'deliveries');
    await channel.cancel('never existed');
  },

  async consumer_tag_in_use_closes_the_connection_with_530() {
    const connection = await connect();
    const errors = [];
    connection.on('error', (error) => errors.push(error));
    const channel = await channelOf(connection);
    const queue = await exclusiveQueue(channel);
    await channel.consume(queue, () => {}, {consumerTag: 'same'});
    channel.consume(queue, () => {}, {consumerTag: 'same'}).catch(() => {});
    await eventually(() => errors.length > 0, 'the connection closed');
    equal(errors[0].code, 530, 'code');
    ok(errors[0].message.includes("NOT_ALLOWED - attempt to reuse consumer tag 'same'"), errors[0].message);
  },

  async exclusive_consumer_is_403() {
    const connection = await connect();
    const channel = await channelOf(connection);
    const queue = await exclusiveQueue(channel);
    await subscribe(channel, queue, {exclusive: true});
    await rejectedWith(
      subscribe(await channelOf(connection), queue),
      `ACCESS_REFUSED - queue '${queue}' in vhost '/' in exclusive use`,
    );
  },

  async nack_all_requeues_in_order() {
    const channel = await openChannel();
    const queue = await exclusiveQueue(channel, '1', '2', '3', '4');
    for (let i = 0; i < 3; i++) await channel.get(queue);
    channel.nackAll(true);
    equal(await drain(channel, queue), ['1', '2', '3', '4'], 'order');
  },

  async ack_all_settles_everything() {
    const connection = await connect();
    const channel = await channelOf(connection);
    const queue = await exclusiveQueue(channel, '1', '2', '3');
    const received = await subscribe(channel, queue);
    await arrived(received, 3);
    channel.ackAll();
    await channel.close();
    equal(await drain(await channelOf(connection), queue), [], 'messages');
  },

  async reject_requeues_or_drops() {
    const channel = await openChannel();
    const queue = await exclusiveQueue(channel, 'x');
    channel.reject(await channel.get(queue), true);
    const again = await channel.get(queue);
    equal(again.fields.redelivered, true, 'redelivered');
    channel.reject(again, false);
    equal(await drain(channel, queue), [], 'messages');
  },

  async double_ack_closes_the_channel_with_406() {
    const channel = await openChannel();
    const queue = await exclusiveQueue(channel, 'x');
    const message = await channel.get(queue);
    channel.ack(message);
    channel.ack(message);
    await eventually(() => channel.errors.length > 0, 'the channel closed');
    ok(
      channel.errors[0].message.includes('PRECONDITION_FAILED - unknown delivery tag 1'),
      channel.errors[0].message,
    );
  },

  async recover_redelivers() {
    const channel = await openChannel();
    const queue = await exclusiveQueue(channel, '1', '2');
    const received = await subscribe(channel, queue);
    await arrived(received, 2);
    await channel.recover();
    await arrived(received, 4);
    equal(received.map((m) => [text(m), m.fields.redelivered]).slice(2), [['1', true], ['2', true]], 'again');
  },

  async prefetch_per_consumer_and_global() {
    const channel = await openChannel();
    const queue = await exclusiveQueue(channel, ...Array.from({length: 20}, () => 'x'));
    await channel.prefetch(2);
    const first = await subscribe(channel, queue);
    const second = await subscribe(channel, queue);
    await arrived(first, 2);
    await arrived(second, 2);
    await hasReady(channel, queue, 16);
    await channel.prefetch(6, true);
    channel.ack(first[1], true);
    // Each consumer may hold 2, the channel 6: the first window opens again, the channel's does not yet close it.
    await eventually(() => first.length + second.length === 6, '6 deliveries');
  },

  async confirms_call_back_once_for_each_publish() {
    const channel = await openConfirmChannel();
    const queue = fresh();
    await channel.assertQueue(queue, {durable: true});
    const confirmed = [];
    for (let i = 0; i < 500; i++) {
      channel.sendToQueue(queue, Buffer.from(`${i}`), {persistent: i % 2 === 0}, (error) => confirmed.push([i, error]));
    }
    await channel.waitForConfirms();
    equal(confirmed.length, 500, 'confirms');
    ok(confirmed.every(([, error]) => error === null), 'a publish was nacked');
    await hasReady(channel, queue, 500);
  },

  async return_comes_before_its_confirm() {
    const channel = await openConfirmChannel();
    const events = [];
    channel.on('return', (message) => events.push(`return ${text(message)} ${message.fields.replyCode} ${message.fields.replyText}`));
    for (let i = 0; i < 5; i++) {
      channel.publish('', 'interop-nowhere', Buffer.from(`${i}`), {mandatory: true}, () => events.push(`confirm ${i}`));
    }
    await channel.waitForConfirms();
    for (let i = 0; i < 5; i++) {
      const returned = events.indexOf(`return ${i} 312 NO_ROUTE`);
      ok(returned >= 0 && returned < events.indexOf(`confirm ${i}`), `order of events: ${events}`);
    }
  },

  async publish_to_a_missing_exchange_rejects_open_confirms() {
    const channel = await openConfirmChannel();
    channel.publish('interop-nowhere', 'k', Buffer.from('x'));
    await rejected(channel.waitForConfirms(), 'confirms on a channel that was closed');
    equal(channel.errors[0].code, 404, 'code');
  },

  async cc_and_bcc_options_route_and_hide() {
    const channel = await openChannel();
    const [to, cc, bcc] = [await exclusiveQueue(channel), await exclusiveQueue(channel), await exclusiveQueue(channel)];
    channel.sendToQueue(to, Buffer.from('x'), {CC: cc, BCC: [bcc]});
    for (const queue of [to, cc, bcc]) {
      const message = await channel.get(queue, {noAck: true});
      equal(message.properties.headers, {CC: [cc]}, `headers in ${queue}`);
    }
  },

  async many_messages_are_acked_one_by_one() {
    const channel = await openChannel();
    const queue = await exclusiveQueue(channel);
    await channel.prefetch(50);
    const bodies = [];
    await channel.consume(queue, (message) => {
      bodies.push(Number(text(message)));
      channel.ack(message);
    });
    for (let i = 0; i < 3000; i++) channel.sendToQueue(queue, Buffer.from(`${i}`));
    await eventually(() => bodies.length === 3000, '3000 deliveries');
    equal(bodies, Array.from({length: 3000}, (_, i) => i), 'order');
  },

  async rpc_over_direct_reply_to() {
    const [server, client] = [await openChannel(), await openChannel()];
    const requests = await exclusiveQueue(server);
    await server.consume(
      requests,
      ({content, properties}) => {
        ok(/^amq\.rabbitmq\.reply-to\../.test(properties.replyTo), `reply-to ${properties.replyTo}`);
        server.sendToQueue(properties.replyTo, Buffer.from(content.toString().toUpperCase()), {
          correlationId: properties.correlationId,
        });
      },
      {noAck: true},
    );
    const replies = await subscribe(client, 'amq.rabbitmq.reply-to', {noAck: true});
    for (const id of ['1', '2', '3']) {
      client.sendToQueue(requests, Buffer.from('ping'), {replyTo: 'amq.rabbitmq.reply-to', correlationId: id});
    }
    await arrived(replies, 3);
    equal(replies.map((m) => [m.properties.correlationId, text(m)]), [['1', 'PING'], ['2', 'PING'], ['3', 'PING']], 'replies');
  },

  async direct_reply_to_without_a_consumer_is_406() {
    const channel = await openChannel();
    const queue = await exclusiveQueue(channel);
    channel.sendToQueue(queue, Buffer.from('x'), {replyTo: 'amq.rabbitmq.reply-to'});
    await eventually(() => channel.errors.length > 0, 'the channel closed');
    ok(
      channel.errors[0].message.includes('PRECONDITION_FAILED - fast reply consumer does not exist'),
      channel.errors[0].message,
    );
  },

  async direct_reply_to_with_acks_is_406() {
    const channel = await openChannel();
    await rejectedWith(
      channel.consume('amq.rabbitmq.reply-to', () => {}, {noAck: false}),
      'PRECONDITION_FAILED - reply consumer cannot acknowledge',
    );
  },

  async second_direct_reply_to_consumer_is_406() {
    const channel = await openChannel();
    await subscribe(channel, 'amq.rabbitmq.reply-to', {noAck: true});
    await rejectedWith(
      channel.consume('amq.rabbitmq.reply-to', () => {}, {noAck: true}),
      'PRECONDITION_FAILED - reply consumer already set',
    );
  },

  async closing_a_channel_loses_nothing_that_was_published() {
    const connection = await connect();
    const channel = await channelOf(connection);
    const queue = fresh();
    await channel.assertQueue(queue, {durable: false});
    for (let i = 0; i < 1000; i++) channel.sendToQueue(queue, Buffer.from(`${i}`));
    await channel.close(); // its close-ok comes after everything that was sent before
    await connection.close();
    await hasReady(await openChannel(), queue, 1000);
  },

  async callback_api_publishes_and_consumes() {
    const received = await new Promise((resolve, reject) => {
      callbackApi.connect(url, (error, connection) => {
        if (error) return reject(error);
        connection.createConfirmChannel((error, channel) => {
          if (error) return reject(error);
          channel.assertQueue('', {exclusive: true}, (error, {queue}) => {
            if (error) return reject(error);
            channel.consume(queue, (message) => {
              channel.ack(message);
              connection.close(() => resolve(text(message)));
            });
            channel.sendToQueue(queue, Buffer.from('called back'), {}, (error) => error && reject(error));
          });
        });
      });
    });
    equal(received, 'called back', 'body');
  },

  async callback_api_reports_channel_errors() {
    const error = await new Promise((resolve, reject) => {
      callbackApi.connect(url, (error, connection) => {
        if (error) return reject(error);
        connection.createChannel((error, channel) => {
          if (error) return reject(error);
          channel.on('error', (error) => connection.close(() => resolve(error)));
          channel.checkExchange('interop-nowhere');
        });
      });
    });
    equal(error.code, 404, 'code');
  },

  async recovery_reconnects_after_a_restart() {
    const queue = fresh();
    const received = [];
    let channel;
    const connection = await amqplib.connect(url, {
      recovery: {
        initialDelay: 100,
        maxDelay: 300,
        async setup(model) {
          channel = await model.createConfirmChannel();
          channel.on('error', () => {});
          await channel.assertQueue(queue, {durable: true});
          await channel.consume(queue, (message) => {
            if (message === null) return;
            received.push(text(message));
            channel.ack(message);
          });
        },
      },
    });
    connections.push(connection);
    connection.on('error', () => {});
    const reconnected = new Promise((resolve) => connection.on('disconnect', () => connection.on('connect', resolve)));
    channel.sendToQueue(queue, Buffer.from('before'), {persistent: true});
    await channel.waitForConfirms();
    await control('restart');
    await reconnected;
    channel.sendToQueue(queue, Buffer.from('after'), {persistent: true});
    await eventually(() => received.includes('after'), 'a delivery after the restart');
    ok(received.includes('before'), `deliveries: ${received}`);
  },
};

scenarios.recovery_reconnects_after_a_restart.needs = ['restart'];

await run(scenarios, cleanup);
