//! What a line of a log says, as far as it can be told: when, where, how bad, how long it took, and of what kind.
//!
//! Understands `2026-03-14T09:00:00.527Z host program LEVEL text`, syslog with either of its timestamps, and takes
//! anything else as text of unknown time from this machine.

/// A line, understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Line<'a> {
    /// Milliseconds; only differences mean something, as syslog's timestamps have no year.
    pub time_ms: Option<i64>,
    pub host: Option<&'a str>,
    pub level: Level,
    /// What is left after timestamp and host.
    pub text: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

impl Level {
    pub fn name(self) -> &'static str {
        match self {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        }
    }

    fn from_word(word: &str) -> Option<Level> {
        let word = word.trim_matches(|c: char| !c.is_ascii_alphabetic());
        let is = |names: &[&str]| names.iter().any(|name| word.eq_ignore_ascii_case(name));
        if is(&["error", "err", "fatal", "crit", "critical", "panic", "emerg", "alert", "failed", "failure"])
        {
            Some(Level::Error)
        } else if is(&["warn", "warning"]) {
            Some(Level::Warn)
        } else if is(&["info", "notice"]) {
            Some(Level::Info)
        } else if is(&["debug", "trace"]) {
            Some(Level::Debug)
        } else {
            None
        }
    }
}

impl<'a> Line<'a> {
    pub fn parse(line: &'a str) -> Line<'a> {
        let (time_ms, rest) = match timestamp(line) {
            Some((time_ms, rest)) => (Some(time_ms), rest),
            None => (None, line),
        };
        let (host, text) = match (time_ms, rest.split_once(' ')) {
            // `dpkg.log` and the like have a timestamp and no host.
            (Some(_), Some((host, text))) if looks_like_host(host, text) => (Some(host), text),
            _ => (None, rest),
        };
        // The level is a word near the start, or else the most alarming word anywhere.
        let early = text.split(' ').take(3).find_map(Level::from_word);
        let level =
            early.or_else(|| text.split(' ').filter_map(Level::from_word).max()).unwrap_or(Level::Info);
        Line { time_ms, host, level, text }
    }

    /// How long something took, and what: `path=/cart duration_ms=12` is `("/cart", 12.0)`.
    pub fn duration(&self) -> Option<(&'a str, f64)> {
        let mut subject = None;
        let mut duration_ms = None;
        for (name, value) in self.text.split(' ').filter_map(|word| word.split_once('=')) {
            match name {
                "path" | "route" | "uri" | "query" => subject = Some(value),
                "duration" | "duration_ms" | "took" | "latency" | "latency_ms" | "elapsed" | "elapsed_ms" => {
                    duration_ms = milliseconds(value, name.ends_with("_ms"));
                }
                _ => {}
            }
        }
        let program = self.text.split([' ', '[', ':']).next().unwrap_or_default();
        Some((subject.unwrap_or(program), duration_ms?))
    }

    /// The text without what varies from line to line: `user=u7 from 10.0.0.9` becomes `user=* from #`.
    pub fn shape(&self) -> String {
        let mut shape = String::with_capacity(self.text.len());
        for word in self.text.split_whitespace() {
            if !shape.is_empty() {
                shape.push(' ');
            }
            match word.split_once('=') {
                Some((name, _)) if !name.is_empty() => {
                    shape.push_str(name);
                    shape.push_str("=*");
                }
                _ if word.bytes().any(|byte| byte.is_ascii_digit()) => shape.push('#'),
                _ => shape.push_str(word),
            }
        }
        shape
    }
}

fn looks_like_host(word: &str, text: &str) -> bool {
    let host = !word.is_empty()
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
        && Level::from_word(word).is_none();
    // After a host stands a program: `kernel:`, `sshd[211]:`, or `shop INFO`.
    let mut words = text.split(' ');
    let program = words.next().unwrap_or_default();
    host && (program.ends_with(':') || words.next().and_then(Level::from_word).is_some())
}

fn milliseconds(value: &str, already: bool) -> Option<f64> {
    let digits = value.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(value.len());
    let number: f64 = value[..digits].parse().ok()?;
    match value[digits..].trim_end_matches([',', ';', ')']) {
        "" if already => Some(number),
        "ms" => Some(number),
        "" | "s" => Some(number * 1000.0),
        "us" | "µs" => Some(number / 1000.0),
        _ => None,
    }
}

/// The timestamp at the start of a line, and what follows it.
fn timestamp(line: &str) -> Option<(i64, &str)> {
    iso(line).or_else(|| syslog(line))
}

/// `2026-03-14T09:00:00.527Z`, with a space instead of the T, with an offset, with or without a fraction.
fn iso(line: &str) -> Option<(i64, &str)> {
    let bytes = line.as_bytes();
    let separators = [(4, b"-".as_slice()), (7, b"-"), (10, b"T "), (13, b":"), (16, b":")];
    if bytes.len() < 19 || separators.iter().any(|(at, allowed)| !allowed.contains(&bytes[*at])) {
        return None;
    }
    let number = |from: usize, to: usize| line.get(from..to)?.parse::<i64>().ok();
    let day = days(number(0, 4)?, number(5, 7)?, number(8, 10)?)?;
    let mut time_ms = ((day * 24 + number(11, 13)?) * 60 + number(14, 16)?) * 60_000 + number(17, 19)? * 1000;
    let mut rest = line.get(19..)?;
    if let Some(fraction) = rest.strip_prefix(['.', ',']) {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        let ms = format!("{:0<3}", &fraction[..digits.min(3)]);
        time_ms += ms.parse::<i64>().ok()?;
        rest = &fraction[digits..];
    }
    let (zone, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    time_ms -= offset_ms(zone)?;
    Some((time_ms, rest))
}

/// `Z`, nothing, or `+02:00`.
fn offset_ms(zone: &str) -> Option<i64> {
    let (sign, digits) = match zone {
        "" | "Z" => return Some(0),
        _ => match zone.split_at_checked(1)? {
            ("+", digits) => (1, digits),
            ("-", digits) => (-1, digits),
            _ => return None,
        },
    };
    let (hours, minutes) = digits.split_once(':').or_else(|| digits.split_at_checked(2))?;
    Some(sign * (hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?) * 60_000)
}

/// `Mar 14 09:00:00`.
fn syslog(line: &str) -> Option<(i64, &str)> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = MONTHS.iter().position(|month| line.starts_with(month))?;
    let day: i64 = line.get(4..6)?.trim_start().parse().ok()?;
    let clock = line.get(7..15)?;
    let mut parts = clock.split(':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    let day = days(1970, i64::try_from(month).ok()? + 1, day)?;
    let time_ms = (((day * 24 + hour) * 60 + minute) * 60 + second) * 1000;
    Some((time_ms, line.get(15..)?.strip_prefix(' ')?))
}

/// Days from 1970-01-01 (Howard Hinnant's algorithm `days_from_civil`).
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_understood() {
        let check = |line: &str, time_ms: Option<i64>, host: Option<&str>, level: Level, text: &str| {
            assert_eq!(Line::parse(line), Line { time_ms, host, level, text });
        };
        let nine = 1_773_478_800_000; // 2026-03-14T09:00:00Z
        check(
            "2026-03-14T09:00:00.527Z web-1 shop ERROR no luck",
            Some(nine + 527),
            Some("web-1"),
            Level::Error,
            "shop ERROR no luck",
        );
        check(
            "2026-03-14T11:00:00+02:00 box sshd[211]: session opened",
            Some(nine),
            Some("box"),
            Level::Info,
            "sshd[211]: session opened",
        );
        check(
            "Jan  2 00:00:01 box kernel: usb 1-1: device not responding, error -71",
            Some(86_401_000),
            Some("box"),
            Level::Error,
            "kernel: usb 1-1: device not responding, error -71",
        );
        check(
            "2026-03-14 09:00:00 status installed libc6:amd64 2.36",
            Some(nine),
            None,
            Level::Info,
            "status installed libc6:amd64 2.36",
        );
        check("WARNING: disk is getting full", None, None, Level::Warn, "WARNING: disk is getting full");
        check("", None, None, Level::Info, "");
    }

    #[test]
    fn what_only_looks_like_a_timestamp_is_text() {
        let check = |line: &str| assert_eq!(Line::parse(line).time_ms, None, "{line}");
        check("2026-13-14T09:00:00Z month");
        check("2026-03-14");
        check("2026-03-14T09:00:xxZ second");
        check("2026-03-14T09:00:00+xx zone");
        check("Mar 99 09:00:00 day");
        check("Marvellous things happened today");
        check("Mär 14 09:00:00 not ASCII");
        check("日本語のログの行です、とても長い行");
    }

    #[test]
    fn durations_are_found_with_what_took_so_long() {
        let check = |text: &str, expected: Option<(&str, f64)>| {
            let line = Line { time_ms: None, host: None, level: Level::Info, text };
            assert_eq!(line.duration(), expected, "{text}");
        };
        check("shop INFO request path=/cart duration_ms=12", Some(("/cart", 12.0)));
        check("backup[7]: done took=1.5s", Some(("backup", 1500.0)));
        check("db: slow query latency=250us", Some(("db", 0.25)));
        check("db: query duration=0.012", Some(("db", 12.0)));
        check("shop INFO duration_ms=soon", None);
        check("shop INFO took=3parsecs", None);
        check("nothing here", None);
    }

    #[test]
    fn shapes_forget_what_varies() {
        let check = |text: &str, expected: &str| assert_eq!(Line::parse(text).shape(), expected);
        check("request id=8f3a path=/cart  status=200", "request id=* path=* status=*");
        check("session opened from 10.0.0.9", "session opened from #");
        check("a =b c", "a =b c");
    }
}
