//! The two ways in which an address is written, taken apart into parameters.
//!
//! As lax as libpq: a `/` or a `?` in a password needs no percent sign, a `@` does.

use super::InvalidAddress;

/// Parameters as they were found; of one that is there twice the last one holds.
pub(super) struct Parameters {
    pub(super) pairs: Vec<(String, String)>,
    /// Whether an unknown name may be a piece of a password that was not quoted or encoded.
    pub(super) is_doubtful: bool,
}

const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

pub(super) fn is_url(text: &str) -> bool {
    SCHEMES.iter().any(|scheme| text.len() > scheme.len() && text.starts_with(scheme))
}

/// A name and an equals sign come first.
pub(super) fn is_words(text: &str) -> bool {
    let name = text.split_once('=').map_or("", |(name, _)| name.trim());
    !name.is_empty() && name.bytes().all(is_of_a_name)
}

const fn is_of_a_name(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte == b'_'
}

pub(super) fn parameters(text: &str) -> Result<Parameters, InvalidAddress> {
    match SCHEMES.iter().find_map(|scheme| text.strip_prefix(scheme)) {
        Some(rest) => of_url(rest),
        None => of_words(text),
    }
}

/// `[USER[:PASSWORD]@][HOST[:PORT][,…]][/DATABASE][?NAME=VALUE[&…]]`.
fn of_url(text: &str) -> Result<Parameters, InvalidAddress> {
    let mut pairs = Vec::new();
    let rest = match text.split_once('@') {
        Some((credentials, rest)) => {
            of_credentials(credentials, &mut pairs)?;
            rest
        }
        None => text,
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (hosts, database) = rest.split_once('/').unwrap_or((rest, ""));
    if hosts.contains('@') || database.contains('@') {
        return Err(InvalidAddress::Form("a `@` in the user or password must be written %40"));
    }
    of_hosts(hosts, &mut pairs)?;
    if !database.is_empty() {
        pairs.push(("dbname".to_owned(), decoded("dbname", database)?));
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or(InvalidAddress::Form("a parameter after `?` has no value"))?;
        // What else could stand here is decided by name; a wrong escape is not worth telling of which.
        let name = decoded("a parameter", name)?;
        pairs.push((name, decoded("a parameter", value)?));
    }
    Ok(Parameters { pairs, is_doubtful: query.contains('@') || database.contains('@') })
}

fn of_credentials(text: &str, pairs: &mut Vec<(String, String)>) -> Result<(), InvalidAddress> {
    let (user, password) = match text.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (text, None),
    };
    if user.contains('/') {
        return Err(InvalidAddress::Form("a `@` behind the host must be written %40, a `/` in the user %2F"));
    }
    if !user.is_empty() {
        pairs.push(("user".to_owned(), decoded("user", user)?));
    }
    if let Some(password) = password {
        pairs.push(("password".to_owned(), decoded("password", password)?));
    }
    Ok(())
}

/// `host` and `port` as the words have them: lists of the same length.
fn of_hosts(text: &str, pairs: &mut Vec<(String, String)>) -> Result<(), InvalidAddress> {
    if text.is_empty() {
        return Ok(());
    }
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for entry in text.split(',') {
        let (host, port) = match entry.strip_prefix('[') {
            Some(bracketed) => {
                let (address, rest) =
                    bracketed.split_once(']').ok_or(InvalidAddress::Form("host: a `[` is not closed"))?;
                let port = rest.strip_prefix(':').or_else(|| rest.is_empty().then_some(""));
                (address, port.ok_or(InvalidAddress::Form("host: behind `]` comes `:PORT` or nothing"))?)
            }
            None => match entry.split_once(':') {
                Some((_, port)) if port.contains(':') => {
                    return Err(InvalidAddress::Form("host: an IPv6 address is written in brackets"));
                }
                split => split.unwrap_or((entry, "")),
            },
        };
        hosts.push(decoded("host", host)?);
        ports.push(decoded("port", port)?);
    }
    if hosts.iter().any(|host| !host.is_empty()) {
        pairs.push(("host".to_owned(), hosts.join(",")));
    }
    if ports.iter().any(|port| !port.is_empty()) {
        pairs.push(("port".to_owned(), ports.join(",")));
    }
    Ok(())
}

fn decoded(parameter: &'static str, text: &str) -> Result<String, InvalidAddress> {
    const EXPECTED: &str = "UTF-8, its special characters as %XX";
    let wrong = InvalidAddress::Value { parameter, expected: EXPECTED };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let escaped = if *byte == b'%' { after.split_first_chunk::<2>() } else { None };
        match escaped.and_then(|(hex, after)| Some((hex_byte(*hex)?, after))) {
            Some((0, _)) => return Err(wrong),
            Some((byte, after)) => {
                bytes.push(byte);
                rest = after;
            }
            // A percent sign that begins no escape is itself, as the driver has read it so far.
            None => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).map_err(|_| wrong)
}

fn hex_byte(digits: [u8; 2]) -> Option<u8> {
    let text = str::from_utf8(&digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u8::from_str_radix(text, 16).ok()
}

/// `NAME = VALUE` with white space between; a value in single quotes may hold white space, `\` takes the next as it is.
fn of_words(text: &str) -> Result<Parameters, InvalidAddress> {
    let (mut pairs, mut is_doubtful) = (Vec::new(), false);
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=').ok_or(InvalidAddress::Form(
            "it is NAME=VALUE, white space between; a value with white space is quoted '…'",
        ))?;
        let name = name.trim_end();
        let (value, after, is_quoted) = word(after.trim_start())?;
        pairs.push((name.to_owned(), value));
        is_doubtful |= name == "password" && !is_quoted;
        rest = after.trim_start();
    }
    Ok(Parameters { pairs, is_doubtful })
}

/// The value that `text` begins with, what comes behind it, and whether it was quoted.
fn word(text: &str) -> Result<(String, &str, bool), InvalidAddress> {
    let (is_quoted, body) = text.strip_prefix('\'').map_or((false, text), |body| (true, body));
    let mut value = String::new();
    let mut letters = body.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\'' if is_quoted => return Ok((value, &body[at + 1..], true)),
            '\\' => value.extend(letters.next().map(|(_, letter)| letter)),
            letter if !is_quoted && letter.is_whitespace() => return Ok((value, &body[at..], false)),
            letter => value.push(letter),
        }
    }
    if is_quoted { Err(InvalidAddress::Form("a quoted value is not closed")) } else { Ok((value, "", false)) }
}
