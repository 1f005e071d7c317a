//! Consumes a queue until Ctrl-C, through any number of reconnects. Stop and start the broker meanwhile.
//!
//!     cargo run -p leveret-client --example consume -- [URI] [QUEUE]

use leveret_client::{Connection, Consumer, Queue, Topology};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let uri = arguments.next().unwrap_or_else(|| "amqp://guest:guest@127.0.0.1:5672/%2f".to_owned());
    let queue = arguments.next().unwrap_or_else(|| "example.publish".to_owned());
    let connection = Connection::builder(&uri).name("example consume").wait_for_broker().open().await?;
    connection.declare(&Topology::new().queue(Queue::new(&queue).durable())).await?;

    let mut status = connection.watch();
    tokio::spawn(async move {
        while let Some(status) = status.changed().await {
            eprintln!("{status:?}");
        }
    });

    let mut consumer = Consumer::builder(&connection, &queue).prefetch(50).start().await?;
    let mut count = 0_u64;
    loop {
        tokio::select! {
            delivery = consumer.next() => {
                let Some(delivery) = delivery.transpose()? else { break };
                let again = if delivery.redelivered { " (again)" } else { "" };
                println!("{}{again}", String::from_utf8_lossy(&delivery.body));
                // Done with it. Had the connection been lost meanwhile, this would do nothing and it would come again.
                delivery.ack();
                count += 1;
            }
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    consumer.close().await;
    connection.close().await;
    eprintln!("{count} messages");
    Ok(())
}
