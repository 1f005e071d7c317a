//! A server that squares numbers and a client that calls it, each on a connection of its own.
//!
//!     cargo run -p leveret-client --example rpc -- [URI]

use leveret_client::{Connection, Error, Message, Queue, RpcClient, RpcServer, Topology};
use std::time::Duration;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let uri = std::env::args().nth(1).unwrap_or_else(|| "amqp://guest:guest@127.0.0.1:5672/%2f".to_owned());

    let serving = Connection::builder(&uri).name("example rpc server").open().await?;
    serving.declare(&Topology::new().queue(Queue::new("example.square").auto_delete())).await?;
    let server = RpcServer::start(&serving, "example.square", 16, |request| async move {
        let text = String::from_utf8_lossy(&request.body).into_owned();
        let n: i64 = text.parse().map_err(|_| format!("'{text}' is not a number"))?;
        n.checked_mul(n).map(|square| square.to_string()).ok_or_else(|| format!("{n} is too large"))
    })
    .await?;

    let calling = Connection::builder(&uri).name("example rpc client").open().await?;
    let client = RpcClient::start(&calling).await?;
    for question in ["12", "1024", "twelve"] {
        let request = Message::to_queue("example.square", question);
        match client.call(request, Duration::from_secs(5)).await {
            Ok(reply) => println!("{question} squared is {}", String::from_utf8_lossy(&reply.body)),
            Err(Error::Remote(text)) => println!("the server says: {text}"),
            Err(error) => return Err(error.into()),
        }
    }
    server.close().await;
    calling.close().await;
    serving.close().await;
    Ok(())
}
