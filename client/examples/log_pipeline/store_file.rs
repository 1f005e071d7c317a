//! The store's file: one message per line, `<message id> TAB <line of the log>`.
//!
//! The file itself is the memory of what is stored: it is read when the store starts. A write that was cut short by a
//! crash leaves a last line without a newline; that line was not acknowledged, so it is cut off and comes again.

use crate::seen::Seen;
use anyhow::Context;
use std::{
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Seek, SeekFrom, Write},
    path::Path,
};

#[derive(Debug)]
pub struct StoreFile {
    file: File,
    seen: Seen,
    /// Lines of the batch that is not written yet.
    batch: Vec<u8>,
    lines: u64,
}

/// Ids remembered; a message comes again much sooner.
const REMEMBERED: usize = 1_000_000;

impl StoreFile {
    pub fn open(path: &Path) -> anyhow::Result<StoreFile> {
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(path)
            .with_context(|| path.display().to_string())?;
        let mut seen = Seen::with_capacity(REMEMBERED);
        let (mut whole_bytes, mut lines) = (0, 0);
        let mut reader = BufReader::new(&mut file);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            if line.last() == Some(&b'\n') {
                whole_bytes += line.len() as u64;
                lines += 1;
                let id = line.split(|byte| *byte == b'\t').next().unwrap_or_default();
                seen.insert(&String::from_utf8_lossy(id));
            }
            line.clear();
        }
        file.set_len(whole_bytes)?;
        file.seek(SeekFrom::End(0))?;
        Ok(StoreFile { file, seen, batch: Vec::new(), lines })
    }

    /// Adds a line to the batch unless it is stored already. Answers whether it was new.
    pub fn add(&mut self, id: &str, line: &[u8]) -> bool {
        if !self.seen.insert(id) {
            return false;
        }
        self.batch.extend_from_slice(id.as_bytes());
        self.batch.push(b'\t');
        self.batch.extend_from_slice(line);
        self.batch.push(b'\n');
        self.lines += 1;
        true
    }

    /// Writes the batch and waits until it is on disk.
    pub fn sync(&mut self) -> std::io::Result<()> {
        if !self.batch.is_empty() {
            self.file.write_all(&self.batch)?;
            self.file.sync_data()?;
            self.batch.clear();
        }
        Ok(())
    }

    /// Lines in the file and in the batch.
    pub fn lines(&self) -> u64 {
        self.lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).expect("it was just written")
    }

    #[test]
    fn a_line_is_stored_once_also_across_restarts() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("store.log");
        let mut store = StoreFile::open(&path).expect("opened");
        assert!(store.add("a:0", b"first") && store.add("a:6", b"second"));
        assert!(!store.add("a:0", b"first"));
        store.sync().expect("written");
        assert_eq!(read(&path), "a:0\tfirst\na:6\tsecond\n");

        let mut store = StoreFile::open(&path).expect("opened again");
        assert_eq!(store.lines(), 2);
        assert!(!store.add("a:6", b"second") && store.add("a:13", b"third"));
        store.sync().expect("written");
        assert_eq!(read(&path), "a:0\tfirst\na:6\tsecond\na:13\tthird\n");
    }

    #[test]
    fn a_line_cut_short_by_a_crash_is_stored_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("store.log");
        std::fs::write(&path, "a:0\tfirst\na:6\tsec").expect("written");
        let mut store = StoreFile::open(&path).expect("opened");
        assert_eq!(read(&path), "a:0\tfirst\n");
        assert!(store.add("a:6", b"second"));
        store.sync().expect("written");
        assert_eq!(read(&path), "a:0\tfirst\na:6\tsecond\n");
    }
}
