//! Stores by name.

use crate::error::{Error, Result};

use super::TileStore;

/// Opens the tile store that `uri` names; `None` for `memory:`, which is none.
///
/// | URI | where tiles are kept |
/// | --- | --- |
/// | `memory:` | in this process only |
/// | `disk:DIR?max=SIZE` | in files under a folder, which processes may share; 4 GiB of them where `max` does not say otherwise. `?` and `%` in the folder's name are written `%3F` and `%25`. Feature `disk` |
/// | `memcached://HOST:PORT,…/PREFIX?timeout_ms=500&ttl=0&item_max=1M&connections=8` | in one or more memcached servers of version 1.6 or later. Feature `memcached` |
/// | `memcached:unix:PATH?prefix=tilekeep&timeout_ms=500&ttl=0&item_max=1M&connections=8` | in a memcached server of this machine by its socket (its option `-s`). On Unix |
/// | `redis://USER:PASSWORD@HOST:PORT/DB?prefix=tilekeep&timeout_ms=500&ttl=0&connections=8` | in a Redis or Valkey server. Feature `redis` |
/// | `redis:unix:PATH?username=USER&password=PASSWORD&database=DB&prefix=tilekeep&timeout_ms=500&ttl=0&connections=8` | in a server of this machine by its socket (its option `unixsocket`). On Unix |
///
/// The values above are the ones for what is left out (ports: 11211 and 6379; no user; database 0). `timeout_ms` bounds
/// what one question to a server takes: connecting, asking and being answered (but not the look-up of a name, which has
/// the resolver's time). `ttl` is in seconds, 0 without end (30 days at most in memcached); sizes may end in `K`, `M`,
/// `G` or `T`, which are powers of 1024. In the path of a socket `?` and `%` are written as in that of a folder. Names
/// in the servers begin with the prefix. `item_max` is the size of an item that the memcached servers take (their
/// option `-I`): larger tiles are stored in parts. Of several memcached servers each has its share of the tiles; one
/// that fails takes that share with it and no more.
///
/// No server needs to be there now.
///
/// # Errors
///
/// `invalid argument` when the URI is wrong, and says in what; `unsupported` when this build leaves that kind of store
/// out; `store error` when there is no such folder and it cannot be made.
///
/// ```
/// let dir = std::env::temp_dir().join("tilekeep-doc");
/// # #[cfg(feature = "disk")]
/// let store = tilekeep::open_store(&format!("disk:{}?max=2G", dir.display()))?;
/// assert!(tilekeep::open_store("memory:")?.is_none());
/// assert!(tilekeep::open_store("disc:/tmp").is_err());
/// # let _ = std::fs::remove_dir_all(dir);
/// # Ok::<(), tilekeep::Error>(())
/// ```
pub fn open_store(uri: &str) -> Result<Option<Box<dyn TileStore>>> {
    let Some((scheme, rest)) = uri.split_once(':') else {
        return Err(wrong("a tile store is named as memory:, disk:DIR, memcached://… or redis://…".into()));
    };
    let (address, query) = rest.rsplit_once('?').unwrap_or((rest, ""));
    let store = Query::parse(query).and_then(|mut query| match scheme {
        "memory" if address.is_empty() => query.end(&[]).map(|()| None),
        "memory" => Err(wrong(format!("what does \"{address}\" mean after memory:?"))),
        "disk" => disk(address, &mut query).map(Some),
        "memcached" => memcached(address, &mut query).map(Some),
        "redis" | "valkey" => redis(address, &mut query).map(Some),
        "rediss" | "valkeys" => Err(Error::unsupported("connections to Redis over TLS")),
        _ => Err(wrong("there are memory:, disk:DIR, memcached://… and redis://…".into())),
    });
    // The rest of the URI may have a password in it.
    store.map_err(|error| error.context(format_args!("tile store {scheme}:")))
}

fn wrong(message: String) -> Error {
    Error::invalid(message)
}

#[cfg(feature = "disk")]
fn disk(address: &str, query: &mut Query) -> Result<Box<dyn TileStore>> {
    const DEFAULT_MAX: u64 = 4 << 30;
    let address = decoded(address.strip_prefix("//").unwrap_or(address))?;
    let max = query.size("max")?.unwrap_or(DEFAULT_MAX);
    query.end(&["max"])?;
    if address.is_empty() {
        return Err(wrong("it needs a folder: disk:DIR".into()));
    }
    Ok(Box::new(super::disk::DiskStore::open(std::path::Path::new(&address), max)?))
}

#[cfg(not(feature = "disk"))]
fn disk(_: &str, _: &mut Query) -> Result<Box<dyn TileStore>> {
    Err(Error::unsupported("this build has no feature disk"))
}

#[cfg(feature = "memcached")]
fn memcached(address: &str, query: &mut Query) -> Result<Box<dyn TileStore>> {
    let (servers, prefix) = match address.strip_prefix("unix:") {
        Some(path) => (vec![unix_socket(path)?], query.take("prefix").unwrap_or_default()),
        None => {
            let (hosts, prefix) = after_slashes(address)?;
            let server = |host| host_and_port(host, 11_211).map(|(host, port)| format!("{host}:{port}"));
            (hosts.split(',').map(server).collect::<Result<_>>()?, prefix.to_owned())
        }
    };
    let options = super::memcached::Options {
        servers,
        prefix: checked_prefix(&prefix)?,
        timeout: query.timeout()?,
        // More is a date to memcached, long past.
        ttl: query.number("ttl", 0, 2_592_000)?.unwrap_or(0),
        item_max: query.size("item_max")?.unwrap_or(1 << 20),
        connections: query.number("connections", 1, 1024)?.unwrap_or(8) as usize,
    };
    query.end(&["timeout_ms", "ttl", "item_max", "connections"])?;
    if !(1024..=1 << 30).contains(&options.item_max) {
        return Err(wrong(format!("item_max of {} bytes; it goes from 1K to 1G", options.item_max)));
    }
    Ok(Box::new(super::memcached::Memcached::new(options)))
}

#[cfg(any(feature = "memcached", feature = "redis"))]
fn unix_socket(path: &str) -> Result<String> {
    let path = decoded(path)?;
    if cfg!(not(unix)) {
        return Err(Error::unsupported("Unix sockets on this system"));
    }
    if path.is_empty() {
        return Err(wrong("it needs the path of a socket: unix:PATH".into()));
    }
    Ok(format!("unix:{path}"))
}

#[cfg(not(feature = "memcached"))]
fn memcached(_: &str, _: &mut Query) -> Result<Box<dyn TileStore>> {
    Err(Error::unsupported("this build has no feature memcached"))
}

#[cfg(feature = "redis")]
fn redis(address: &str, query: &mut Query) -> Result<Box<dyn TileStore>> {
    let by_socket = address.strip_prefix("unix:");
    let (server, username, password, database) = match by_socket {
        Some(path) => {
            let mut taken = |key| query.take(key).map(|text| decoded(&text)).transpose();
            let (username, password) = (taken("username")?, taken("password")?);
            (unix_socket(path)?, username, password, query.number("database", 0, 65_535)?.unwrap_or(0))
        }
        None => {
            let (authority, database) = after_slashes(address)?;
            let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
            let (host, port) = host_and_port(host, 6379)?;
            let (username, password) = match user.map(|user| user.split_once(':').unwrap_or((user, ""))) {
                Some((name, password)) => (Some(decoded(name)?), Some(decoded(password)?)),
                None => (None, None),
            };
            let database = if database.is_empty() { Ok(0) } else { database.parse::<u16>() };
            let database =
                database.map_err(|_| wrong("the database after the / is a number from 0 to 65535".into()))?;
            (format!("{host}:{port}"), username, password, u32::from(database))
        }
    };
    let options = super::redis::Options {
        server,
        username: username.filter(|name| !name.is_empty()),
        password: password.filter(|password| !password.is_empty()),
        database,
        prefix: checked_prefix(&query.take("prefix").unwrap_or_default())?,
        timeout: query.timeout()?,
        ttl: query.number("ttl", 0, 1 << 31)?.unwrap_or(0),
        connections: query.number("connections", 1, 1024)?.unwrap_or(8) as usize,
    };
    if options.username.is_some() && options.password.is_none() {
        return Err(wrong("a user without a password".into()));
    }
    query.end(&["prefix", "timeout_ms", "ttl", "connections"])?;
    Ok(Box::new(super::redis::Redis::new(options)))
}

#[cfg(not(feature = "redis"))]
fn redis(_: &str, _: &mut Query) -> Result<Box<dyn TileStore>> {
    Err(Error::unsupported("this build has no feature redis"))
}

/// What lies between `//` and the next `/`, and what comes after that.
#[cfg(any(feature = "memcached", feature = "redis"))]
fn after_slashes(address: &str) -> Result<(&str, &str)> {
    let rest = address.strip_prefix("//").ok_or_else(|| wrong("it needs //HOST:PORT".into()))?;
    Ok(rest.split_once('/').unwrap_or((rest, "")))
}

/// `HOST`, `HOST:PORT`, `[::1]` or `[::1]:PORT`.
#[cfg(any(feature = "memcached", feature = "redis"))]
fn host_and_port(text: &str, default: u16) -> Result<(String, u16)> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok().filter(|port| *port != 0)),
        _ => (text, Some(default)),
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let has_brackets = bare.len() != host.len();
    match port {
        Some(port) if !bare.is_empty() && (has_brackets || !bare.contains(':')) => Ok((host.to_owned(), port)),
        _ => Err(wrong(format!("\"{text}\" is not HOST:PORT; an IPv6 address goes in brackets"))),
    }
}

/// What names in a server begin with: letters that mean nothing in any protocol or pattern.
#[cfg(any(feature = "memcached", feature = "redis"))]
fn checked_prefix(prefix: &str) -> Result<String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':');
    match prefix {
        "" => Ok("tilekeep".into()),
        _ if prefix.len() <= 100 && prefix.chars().all(fine) => Ok(prefix.into()),
        _ => Err(wrong(format!("prefix \"{prefix}\": up to 100 letters, digits and any of . _ - : may be in it"))),
    }
}

/// `text` with the bytes for `%41` and the like.
#[cfg(any(feature = "disk", feature = "memcached", feature = "redis"))]
fn decoded(text: &str) -> Result<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let digits = rest.split_at_checked(2).and_then(|(digits, after)| {
            rest = after;
            let digits = std::str::from_utf8(digits).ok().filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
            u8::from_str_radix(digits, 16).ok()
        });
        bytes.push(digits.ok_or_else(|| wrong("a % without two hexadecimal digits; % itself is written %25".into()))?);
    }
    String::from_utf8(bytes).map_err(|_| wrong("what its % escapes stand for is not UTF-8".into()))
}

/// `key=value` pairs after the `?`.
struct Query(Vec<(String, String)>);

impl Query {
    fn parse(text: &str) -> Result<Self> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let Some((key, value)) = pair.split_once('=') else {
                return Err(wrong(format!("\"{pair}\" is not KEY=VALUE")));
            };
            if pairs.iter().any(|(other, _)| other == key) {
                return Err(wrong(format!("{key} is said twice")));
            }
            pairs.push((key.into(), value.into()));
        }
        Ok(Self(pairs))
    }

    #[cfg(any(feature = "disk", feature = "memcached", feature = "redis"))]
    fn take(&mut self, key: &str) -> Option<String> {
        let at = self.0.iter().position(|(other, _)| other == key)?;
        Some(self.0.swap_remove(at).1)
    }

    #[cfg(any(feature = "disk", feature = "memcached"))]
    fn size(&mut self, key: &str) -> Result<Option<u64>> {
        let Some(text) = self.take(key) else { return Ok(None) };
        let (digits, shift) = match text.chars().last().map(|c| c.to_ascii_uppercase()) {
            Some('K') => (&text[..text.len() - 1], 10),
            Some('M') => (&text[..text.len() - 1], 20),
            Some('G') => (&text[..text.len() - 1], 30),
            Some('T') => (&text[..text.len() - 1], 40),
            _ => (&text[..], 0),
        };
        let bytes = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<u64>().ok()).flatten();
        let bytes = bytes.and_then(|bytes| bytes.checked_mul(1 << shift)).filter(|bytes| *bytes > 0);
        let error = || wrong(format!("{key}={text} is not a size; 500000, 64K, 512M, 20G and 1T are"));
        bytes.map(Some).ok_or_else(error)
    }

    #[cfg(any(feature = "memcached", feature = "redis"))]
    fn number(&mut self, key: &str, low: u32, high: u32) -> Result<Option<u32>> {
        let Some(text) = self.take(key) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| (low..=high).contains(number));
        number.map(Some).ok_or_else(|| wrong(format!("{key}={text} is not a number from {low} to {high}")))
    }

    #[cfg(any(feature = "memcached", feature = "redis"))]
    fn timeout(&mut self) -> Result<std::time::Duration> {
        let ms = self.number("timeout_ms", 1, 600_000)?.unwrap_or(500);
        Ok(std::time::Duration::from_millis(u64::from(ms)))
    }

    /// Everything has been taken.
    fn end(&self, known: &[&str]) -> Result<()> {
        match self.0.first() {
            None => Ok(()),
            Some((key, _)) if known.is_empty() => Err(wrong(format!("it has no option {key}, nor any other"))),
            Some((key, _)) => Err(wrong(format!("it has no option {key}; there are {}", known.join(", ")))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(uri: &str, word: &str) {
        let Err(error) = open_store(uri) else { panic!("{uri} was opened") };
        let text = error.to_string();
        assert!(text.contains(word), "{uri}: {text}");
        assert!(!text.contains('\n') && !text.contains("secret"), "{uri}: {text}");
    }

    #[test]
    fn a_wrong_uri_is_refused_by_the_name_of_what_is_wrong() {
        let cases = [
            ("", "disk:DIR"),
            ("/var/tiles", "disk:DIR"),
            ("disc:/var/tiles", "disc"),
            ("memory:64M", "64M"),
            ("memory:?max=1", "max"),
        ];
        for (uri, word) in cases {
            refused(uri, word);
        }
        assert!(open_store("memory:").unwrap().is_none());
    }

    #[cfg(feature = "disk")]
    #[test]
    fn a_wrong_folder_or_size_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().display();
        for max in ["", "0", "-1", "1.5G", "1X", "G", "99999999999999999999", "20000000T", "+5"] {
            refused(&format!("disk:{path}?max={max}"), &format!("max={max}"));
        }
        refused(&format!("disk:{path}?mx=1G"), "mx");
        refused(&format!("disk:{path}?max"), "KEY=VALUE");
        refused(&format!("disk:{path}?max=1G&max=2G"), "twice");
        refused("disk:", "disk:DIR");
        refused("disk:a%4", "%25");
        std::fs::write(dir.path().join("file"), b"x").unwrap();
        refused(&format!("disk:{path}/file/x"), "file");
        for max in ["4096", "64K", "2m", "20G", "1T"] {
            assert!(open_store(&format!("disk://{path}/a%20b?max={max}")).unwrap().is_some());
        }
        assert!(dir.path().join("a b").is_dir());
    }

    #[cfg(feature = "memcached")]
    #[test]
    fn a_wrong_memcached_address_is_refused() {
        let cases = [
            ("memcached:host", "//HOST"),
            ("memcached://", "HOST:PORT"),
            ("memcached://a,,b", "HOST:PORT"),
            ("memcached://a:0", "a:0"),
            ("memcached://a:port", "a:port"),
            ("memcached://::1:11211", "brackets"),
            ("memcached://a/white space", "white space"),
            ("memcached://a?timeout=5", "timeout;"),
            ("memcached://a?timeout_ms=0", "timeout_ms=0"),
            ("memcached://a?item_max=1", "item_max"),
            ("memcached://a?prefix=b", "prefix;"),
            ("memcached:unix:", "unix:PATH"),
            ("memcached:unix:/run/%4", "%25"),
            ("memcached:unix:/run/a?prefix=*", "prefix"),
        ];
        for (uri, word) in cases {
            refused(uri, word);
        }
        for fine in ["memcached://a", "memcached://a:1,b:2/maps?ttl=60", "memcached://[::1]:5,[::2]", "memcached://a/"]
        {
            assert!(open_store(fine).unwrap().is_some());
        }
        let unix = open_store("memcached:unix:/run/a%20b.sock?prefix=maps&ttl=60");
        assert_eq!(unix.is_ok_and(|store| store.is_some()), cfg!(unix));
    }

    #[cfg(feature = "redis")]
    #[test]
    fn a_wrong_redis_address_is_refused_without_its_password() {
        let cases = [
            ("redis:host", "//HOST"),
            ("redis://u:secret@", "HOST:PORT"),
            ("redis://u:secret@h/five", "database"),
            ("redis://u:secret@h:x", "h:x"),
            ("redis://u:secret@h?prefix=*", "prefix"),
            ("redis://u:secret@h?db=5", "db"),
            ("rediss://u:secret@h", "TLS"),
            ("redis:unix:", "unix:PATH"),
            ("redis:unix:/run/a?password=secret&database=x", "database=x"),
            ("redis:unix:/run/a?password=secret&pass=y", "pass;"),
            ("redis:unix:/run/a?username=u", "password"),
        ];
        for (uri, word) in cases {
            refused(uri, word);
        }
        let unix = open_store("redis:unix:/run/a%20b.sock?username=u&password=p%26ss&database=5&ttl=60");
        assert_eq!(unix.is_ok_and(|store| store.is_some()), cfg!(unix));
        for fine in ["redis://h", "valkey://u:p%40ss@h:1/5?prefix=a.b&ttl=9", "redis://[::1]:7/"] {
            assert!(open_store(fine).unwrap().is_some());
        }
    }

    #[test]
    fn a_kind_that_was_left_out_says_which_feature_it_needs() {
        for (on, uri, feature) in [
            (cfg!(feature = "disk"), "disk:/nowhere", "feature disk"),
            (cfg!(feature = "memcached"), "memcached://a", "feature memcached"),
            (cfg!(feature = "redis"), "redis://a", "feature redis"),
        ] {
            if !on {
                refused(uri, feature);
            }
        }
    }
}
