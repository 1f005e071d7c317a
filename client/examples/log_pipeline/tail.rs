//! Reads a file line by line, waiting for more when it is followed, like `tail -F`.

use std::{
    fs::File,
    io::{BufRead, BufReader, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::PathBuf,
    time::Duration,
};
use tokio::sync::mpsc;

/// A line and where the next one begins.
#[derive(Debug, PartialEq)]
pub struct TailedLine {
    pub offset: u64,
    pub next_offset: u64,
    /// Without the newline.
    pub bytes: Vec<u8>,
}

/// How often a followed file is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Starts a thread that reads lines from `offset` on. It ends when the receiver is dropped, or at the end of the file
/// unless it follows.
pub fn tail(path: PathBuf, offset: u64, follow: bool) -> mpsc::Receiver<std::io::Result<TailedLine>> {
    let (lines, receiver) = mpsc::channel(256);
    std::thread::spawn(move || {
        let mut tail = match Tail::open(path, offset) {
            Ok(tail) => tail,
            Err(error) => return drop(lines.blocking_send(Err(error))),
        };
        while !lines.is_closed() {
            match tail.next(follow) {
                Ok(Some(line)) => {
                    if lines.blocking_send(Ok(line)).is_err() {
                        return;
                    }
                }
                Ok(None) if follow => std::thread::sleep(LOOK_EVERY),
                Ok(None) => return,
                Err(error) => return drop(lines.blocking_send(Err(error))),
            }
        }
    });
    receiver
}

struct Tail {
    path: PathBuf,
    reader: BufReader<File>,
    offset: u64,
    /// A line whose newline is not written yet.
    partial: Vec<u8>,
}

impl Tail {
    fn open(path: PathBuf, offset: u64) -> std::io::Result<Tail> {
        let file = File::open(&path)?;
        // A file shorter than where we were has been replaced.
        let offset = if file.metadata()?.len() < offset { 0 } else { offset };
        let mut reader = BufReader::new(file);
        reader.seek(SeekFrom::Start(offset))?;
        Ok(Tail { path, reader, offset, partial: Vec::new() })
    }

    /// The next line, or nothing at the end of the file.
    fn next(&mut self, follow: bool) -> std::io::Result<Option<TailedLine>> {
        loop {
            self.reader.read_until(b'\n', &mut self.partial)?;
            let whole = self.partial.last() == Some(&b'\n');
            if !whole && (follow || self.partial.is_empty()) {
                if follow && self.was_replaced() {
                    let path = std::mem::take(&mut self.path);
                    *self = Tail::open(path, 0)?;
                    continue;
                }
                return Ok(None);
            }
            let mut bytes = std::mem::take(&mut self.partial);
            let offset = self.offset;
            self.offset += bytes.len() as u64;
            if whole {
                bytes.pop();
            }
            return Ok(Some(TailedLine { offset, next_offset: self.offset, bytes }));
        }
    }

    /// Whether the file was rotated away or cut off since it was opened.
    fn was_replaced(&self) -> bool {
        let (Ok(ours), Ok(now)) = (self.reader.get_ref().metadata(), std::fs::metadata(&self.path)) else {
            return false; // Between moving it away and making a new one.
        };
        (ours.dev(), ours.ino()) != (now.dev(), now.ino()) || now.len() < self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn texts(tail: &mut Tail, follow: bool) -> Vec<String> {
        std::iter::from_fn(|| tail.next(follow).expect("readable"))
            .map(|line| String::from_utf8(line.bytes).expect("text"))
            .collect()
    }

    #[test]
    fn lines_know_their_place() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        std::fs::write(&path, "one\n\nthree").expect("written");
        let mut tail = Tail::open(path.clone(), 0).expect("opened");
        let one = tail.next(false).expect("readable").expect("a line");
        assert_eq!(one, TailedLine { offset: 0, next_offset: 4, bytes: b"one".to_vec() });
        assert_eq!(texts(&mut tail, false), ["", "three"]);
        let mut from_the_middle = Tail::open(path, 5).expect("opened");
        assert_eq!(texts(&mut from_the_middle, false), ["three"]);
    }

    #[test]
    fn a_followed_file_may_grow_be_cut_off_and_be_rotated() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        std::fs::write(&path, "one\ntw").expect("written");
        let mut tail = Tail::open(path.clone(), 0).expect("opened");
        assert_eq!(texts(&mut tail, true), ["one"]);
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).expect("opened");
        file.write_all(b"o\nthree\n").expect("written");
        assert_eq!(texts(&mut tail, true), ["two", "three"]);
        std::fs::write(&path, "cut\n").expect("written");
        assert_eq!(texts(&mut tail, true), ["cut"]);
        std::fs::rename(&path, directory.path().join("log.1")).expect("renamed");
        assert_eq!(texts(&mut tail, true), Vec::<String>::new());
        std::fs::write(&path, "rotated\n").expect("written");
        assert_eq!(texts(&mut tail, true), ["rotated"]);
    }
}
