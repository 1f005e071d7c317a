//! Publishes messages with confirms, one by one and pipelined, and shows what an unroutable one looks like.
//!
//!     cargo run -p leveret-client --example publish -- [URI]

use leveret_client::{Connection, Error, Message, Publisher, Queue, Topology};
use std::time::Instant;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let uri = std::env::args().nth(1).unwrap_or_else(|| "amqp://guest:guest@127.0.0.1:5672/%2f".to_owned());
    let connection = Connection::builder(&uri).name("example publish").open().await?;
    connection.declare(&Topology::new().queue(Queue::new("example.publish").durable())).await?;
    let publisher = Publisher::new(&connection);

    // One by one: the broker has each message on disk before the next is sent.
    let began = Instant::now();
    for n in 0..100 {
        let message = Message::to_queue("example.publish", format!("single {n}"));
        publisher.publish(message.persistent().mandatory()).await?;
    }
    println!("100 messages one by one: {:?}", began.elapsed());

    // Pipelined: up to a window of messages are under way at a time.
    let began = Instant::now();
    let mut confirms = Vec::new();
    for n in 0..10_000 {
        let message = Message::to_queue("example.publish", format!("pipelined {n}"));
        confirms.push(publisher.send(message.persistent().mandatory()).await?);
    }
    for confirm in confirms {
        confirm.await?;
    }
    println!("10000 messages pipelined: {:?}", began.elapsed());

    match publisher.publish(Message::to_queue("example.no-such-queue", "lost?").mandatory()).await {
        Err(Error::Unroutable(returned)) => {
            println!("came back: {:?} ({})", returned.message.body, returned.reply_text);
        }
        other => println!("unexpected: {other:?}"),
    }
    connection.close().await;
    Ok(())
}
