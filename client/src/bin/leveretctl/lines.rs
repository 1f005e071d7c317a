//! Input, read by a thread of its own: reading a terminal or a pipe blocks for as long as it likes.

use anyhow::Context;
use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
};
use tokio::sync::mpsc;

/// Lines of a file, or of stdin when there is none or it is `-`.
pub fn lines(file: Option<&PathBuf>) -> anyhow::Result<mpsc::Receiver<std::io::Result<Vec<u8>>>> {
    let reader = open(file)?;
    let (sender, receiver) = mpsc::channel(1024);
    std::thread::spawn(move || {
        for line in Lines(reader) {
            if sender.blocking_send(line).is_err() {
                return; // Nobody wants the rest.
            }
        }
    });
    Ok(receiver)
}

/// All of a file, or of stdin.
pub async fn everything(file: Option<&PathBuf>) -> anyhow::Result<Vec<u8>> {
    let mut reader = open(file)?;
    let read = move || {
        let mut content = Vec::new();
        reader.read_to_end(&mut content).map(|_| content)
    };
    Ok(tokio::task::spawn_blocking(read).await??)
}

fn open(file: Option<&PathBuf>) -> anyhow::Result<Box<dyn BufRead + Send>> {
    Ok(match file {
        Some(path) if path != Path::new("-") => {
            Box::new(BufReader::new(File::open(path).with_context(|| path.display().to_string())?))
        }
        _ => Box::new(BufReader::new(std::io::stdin())),
    })
}

/// Lines without their newline; unlike std's, of any bytes.
struct Lines<R>(R);

impl<R: BufRead> Iterator for Lines<R> {
    type Item = std::io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut line = Vec::new();
        match self.0.read_until(b'\n', &mut line) {
            Ok(0) => None,
            Ok(_) => {
                if line.last() == Some(&b'\n') {
                    line.pop();
                }
                Some(Ok(line))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bytes_between_newlines() {
        let check = |input: &[u8], expected: &[&[u8]]| {
            let lines: Vec<Vec<u8>> = Lines(input).map(|line| line.expect("memory can be read")).collect();
            assert_eq!(lines, expected);
        };
        check(b"", &[]);
        check(b"a", &[b"a"]);
        check(b"a\n", &[b"a"]);
        check(b"a\n\nb", &[b"a", b"", b"b"]);
        check(b"\xff\r\n", &[b"\xff\r"]);
    }
}
