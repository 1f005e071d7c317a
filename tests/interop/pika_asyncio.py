"""The asyncio adapter, where the order of events matters."""

import asyncio

import pika
from pika.adapters.asyncio_connection import AsyncioConnection

from pika_support import parameters
from scenario import Failure, closed_with, equal, fresh, scenario, true


async def asyncio_channel():
    loop = asyncio.get_running_loop()
    opened, closed = loop.create_future(), loop.create_future()
    AsyncioConnection(
        parameters(),
        on_open_callback=opened.set_result,
        on_open_error_callback=lambda _connection, error: opened.set_exception(error),
        on_close_callback=lambda _connection, reason: closed.done() or closed.set_result(reason),
    )
    connection = await opened
    channel_opened = loop.create_future()
    connection.channel(on_open_callback=channel_opened.set_result)
    return connection, await channel_opened, closed


async def called(start, *arguments, **options):
    """Waits for the callback of a method of the asyncio adapter."""
    done = asyncio.get_running_loop().create_future()
    start(*arguments, callback=lambda frame: done.done() or done.set_result(frame), **options)
    return await done


@scenario
def asyncio_returns_come_before_their_confirms():
    async def go():
        connection, ch, closed = await asyncio_channel()
        events, finished = [], asyncio.get_running_loop().create_future()

        def on_confirm(frame):
            equal(frame.method.NAME, "Basic.Ack", "confirm")
            events.append(("ack", frame.method.delivery_tag, frame.method.multiple))
            if frame.method.delivery_tag == 20:
                finished.set_result(None)

        done = asyncio.get_running_loop().create_future()
        ch.confirm_delivery(on_confirm, callback=done.set_result)
        await done
        ch.add_on_return_callback(
            lambda _ch, _method, properties, _body: events.append(("return", properties.message_id))
        )
        for number in range(1, 21):
            ch.basic_publish(
                "", "interop-nowhere", b"x", pika.BasicProperties(message_id=str(number)), mandatory=True
            )
        await asyncio.wait_for(finished, 10)
        connection.close()
        await closed
        return events

    returned = 0
    for event in asyncio.run(go()):
        if event[0] == "return":
            returned += 1
            equal(event[1], str(returned), "order of returns")
        else:
            true(event[1] <= returned, f"confirm {event[1]} came before its return")
    equal(returned, 20, "returns")


@scenario
def asyncio_every_publish_is_confirmed_once():
    async def go():
        connection, ch, closed = await asyncio_channel()
        total, open_tags, finished = 2000, set(), asyncio.get_running_loop().create_future()

        def on_confirm(frame):
            equal(frame.method.NAME, "Basic.Ack", "confirm")
            tag = frame.method.delivery_tag
            acked = {t for t in open_tags if t <= tag} if frame.method.multiple else {tag} & open_tags
            if not acked and not finished.done():
                finished.set_exception(Failure(f"confirm {tag} covers nothing that is open"))
            open_tags.difference_update(acked)
            if not open_tags and not finished.done():
                finished.set_result(None)

        queue = (await called(ch.queue_declare, fresh(), durable=True)).method.queue
        done = asyncio.get_running_loop().create_future()
        ch.confirm_delivery(on_confirm, callback=done.set_result)
        await done
        open_tags.update(range(1, total + 1))
        for number in range(total):
            ch.basic_publish("", queue, b"x" * 100, pika.BasicProperties(delivery_mode=1 + number % 2))
        await asyncio.wait_for(finished, 20)
        count = (await called(ch.queue_declare, queue, passive=True)).method.message_count
        equal(count, total, "messages")
        connection.close()
        await closed

    asyncio.run(go())


@scenario
def asyncio_pipelined_declares_are_answered_in_order():
    async def go():
        connection, ch, closed = await asyncio_channel()
        names = [fresh() for _ in range(100)]
        waiting = [
            asyncio.ensure_future(called(ch.queue_declare, name, durable=number % 2 == 0))
            for number, name in enumerate(names)
        ]
        answers = [frame.method.queue for frame in await asyncio.wait_for(asyncio.gather(*waiting), 20)]
        equal(answers, names, "queues in declare-ok")
        connection.close()
        await closed

    asyncio.run(go())


@scenario
def asyncio_connection_error_reaches_the_close_callback():
    async def go():
        connection, ch, closed = await asyncio_channel()
        ch.basic_qos(prefetch_size=1)
        reason = await asyncio.wait_for(closed, 10)
        closed_with(reason.reply_code, reason.reply_text, {540: "NOT_IMPLEMENTED - prefetch_size!=0 (1)"})

    asyncio.run(go())
