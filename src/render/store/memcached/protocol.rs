//! The four questions that we ask, in memcached's meta protocol: get, set, add, delete.

use crate::render::store::pool::Failure;

use super::connection::Connection;

/// Questions that are sent before the first answer is read: few enough that they fit in what the system buffers, so that
/// both sides never wait for the other to read.
const WINDOW: usize = 64;

/// An item: its flags, which only we give a meaning, and its bytes.
pub(super) type Item = (u32, Vec<u8>);

impl Connection {
    /// The items under `keys`, in their order. None is longer than `max` bytes.
    pub(super) fn get(&mut self, keys: &[String], max: u64) -> Result<Vec<Option<Item>>, Failure> {
        let mut items = Vec::with_capacity(keys.len());
        for window in keys.chunks(WINDOW) {
            let questions: String = window.iter().map(|key| format!("mg {key} f v\r\n")).collect();
            self.send(questions.as_bytes())?;
            for _ in window {
                items.push(self.item(max)?);
            }
        }
        Ok(items)
    }

    fn item(&mut self, max: u64) -> Result<Option<Item>, Failure> {
        let line = self.line()?;
        let mut words = line.split(' ');
        match words.next() {
            Some("EN") => Ok(None),
            Some("VA") => {
                let len = words.next().and_then(|len| len.parse().ok()).filter(|len: &u64| *len <= max);
                let flags = words.find_map(|word| word.strip_prefix('f')?.parse().ok());
                let (Some(len), Some(flags)) = (len, flags) else { return Err(self.nonsense(&line)) };
                Ok(Some((flags, self.bytes(len as usize)?)))
            }
            // A server that does not know the question; or is out of memory.
            _ => Err(self.nonsense(&line)),
        }
    }

    /// Sends an item, in place of one that is there; [`stored`](Self::stored) is the answer.
    pub(super) fn send_item(&mut self, key: &str, flags: u32, ttl: u32, bytes: &[u8]) -> Result<(), Failure> {
        self.send(format!("ms {key} {} F{flags} T{ttl}\r\n", bytes.len()).as_bytes())?;
        self.send(bytes)?;
        self.send(b"\r\n")
    }

    pub(super) fn stored(&mut self) -> Result<(), Failure> {
        let line = self.line()?;
        match line.split(' ').next() {
            Some("HD") => Ok(()),
            Some("SERVER_ERROR") => Err(self.refusal(&line)),
            _ => Err(self.nonsense(&line)),
        }
    }

    /// Keeps an item for ever, unless there is one under its key.
    pub(super) fn add(&mut self, key: &str, bytes: &[u8]) -> Result<(), Failure> {
        self.send(format!("ms {key} {} ME\r\n", bytes.len()).as_bytes())?;
        self.send(&[bytes, b"\r\n"].concat())?;
        let line = self.line()?;
        match line.split(' ').next() {
            Some("HD" | "NS") => Ok(()),
            Some("SERVER_ERROR") => Err(self.refusal(&line)),
            _ => Err(self.nonsense(&line)),
        }
    }

    pub(super) fn delete(&mut self, key: &str) -> Result<(), Failure> {
        self.send(format!("md {key}\r\n").as_bytes())?;
        let line = self.line()?;
        match line.split(' ').next() {
            Some("HD" | "NF") => Ok(()),
            _ => Err(self.nonsense(&line)),
        }
    }
}
